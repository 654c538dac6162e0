"""Line crossings and zone visits: decides when a track has crossed, entered, stayed or left.

A change of sides counts once the foot point was clearly off the border (a twentieth of the box's
height) for `settle_s` without another change; the event has the moment in which it happened, the
first frame on the side that held. Thus standing on a line is no crossing however long it lasts.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from pipeline.events.zones.geometry import Bools, Geometry, Rows
from pipeline.events.zones.schema import CameraZones, Line, Zone
from pipeline.events.zones.track_states import Decision, Decisions, Int64, SeenTracks, TrackStates

CLEAR_HEIGHTS = 0.05
"""Distance from a border that counts as clear, in heights of the box."""
PASSED_HEIGHTS = 0.1
"""Minimum way through a zone, in heights of the box, that counts as passing it between two
frames."""
_NEVER = np.iinfo(np.int64).max
_ROUNDING_US = 2000  # containers round times to a millisecond


class ClassFilter(Protocol):
    """Which classes count at which zone or line."""

    def __call__(self, class_id: Int64) -> Bools:
        """Return bool[n,zones]: objects of this class count in this zone."""


class CrossingDetector:
    """The state machine of every track of a source at every zone and line of `camera`."""

    def __init__(self, camera: CameraZones, size: tuple[int, int], counts_in: ClassFilter) -> None:
        self._zones = camera.zones_and_lines
        self._geometry = Geometry(camera, size)
        self._counts_in = counts_in
        self._settle_us = max(round(camera.settle_s * 1e6) - _ROUNDING_US, 0)
        self._gone_us = round(camera.gone_s * 1e6)
        dwells = [
            zone.dwell_s if isinstance(zone, Zone) else None for zone in camera.zones_and_lines
        ]
        self._dwell_us = np.array(
            [_NEVER if each is None else round(each * 1e6) - _ROUNDING_US for each in dwells],
            np.int64,
        )
        self._dwells = bool((self._dwell_us < _NEVER).any())
        self.states = TrackStates.empty(
            len(camera.zones_and_lines), len(self._geometry.zone_of_edge)
        )

    def carry_over(self, before: CrossingDetector, now: int) -> None:
        """Take over the tracks of a detector with other zones, on pictures of the same size.

        A track inside a zone stays inside if there is still one of that name around its position.
        """
        old = {(type(zone), zone.name): i for i, zone in enumerate(before._zones)}
        origin = [old.get((type(zone), zone.name), -1) for zone in self._zones]
        edges = len(self._geometry.zone_of_edge)
        states = self.states = before.states.with_zones(np.array(origin, np.intp), edges)
        for i, zone in enumerate(self._zones):
            if isinstance(zone, Line):
                states.armed[:, i] = False
        states.side, inside = self._geometry.look(states.foot)
        inside &= self._counts_in(states.class_id)
        states.pending[~states.armed] = False
        rows, zones = (~states.armed | (inside != states.inside)).nonzero()
        states.inside, states.net[:] = inside, 0
        states.add_side_change(rows, zones, now)

    def update(self, now: int, seen: SeenTracks) -> Decisions:
        """Update with the tracks of a frame; yield the events that are decided by it."""
        states = self.states
        rows, fresh = states.rows_for(seen.id)
        side, inside = self._geometry.look(seen.foot)
        inside &= self._counts_in(seen.class_id)
        before = np.where(fresh[:, None], seen.foot, states.foot[rows])
        touched = inside != states.inside[rows]
        flips = side != states.side[rows]
        flips[fresh] = False
        i, edge = flips.nonzero()
        if len(i):
            met = self._geometry.crossed(before[i], seen.foot[i], edge)
            i, edge = i[met], edge[met]
            zone = self._geometry.zone_of_edge[edge]
            touched[i, zone] = True
            np.add.at(states.net, (rows[i], zone), np.where(side[i, edge], 1, -1))
        touched[fresh] = True
        states.side[rows], states.inside[rows] = side, inside
        states.foot[rows], states.height[rows] = before, seen.height
        states.class_id[rows], states.seen_us[rows] = seen.class_id, now
        states.moment[rows] = seen.moment
        i, zone = touched.nonzero()
        if len(i):
            states.add_side_change(rows[i], zone, now)
        states.foot[rows] = seen.foot
        yield from self._decide(now, rows)
        yield from self._dwell(now, rows)

    def _decide(self, now: int, rows: Rows) -> Decisions:
        """Yield events of side changes that have held for `settle_s`, clearly off the border."""
        states = self.states
        i, zone = states.pending[rows].nonzero()
        if not len(i):
            return
        row = rows[i]
        clear = self._is_clear(row, zone)
        since = states.clear_us[row, zone]
        since = np.where(clear, np.minimum(since, now), _NEVER)
        states.clear_us[row, zone] = since
        # A track that begins outside is outside at once.
        begins = clear & ~states.armed[row, zone] & ~states.inside[row, zone]
        one, of = row[begins], zone[begins]
        states.armed[one, of], states.pending[one, of], states.net[one, of] = True, False, 0
        due = clear & ~begins & (now - since >= self._settle_us)
        for one_row, one_zone in zip(row[due].tolist(), zone[due].tolist(), strict=True):
            yield from self._settle(one_row, one_zone)

    def _is_clear(self, rows: Rows, zones: Rows) -> Bools:
        """Return bool[k]: the foot point is not just about on the border."""
        far = np.maximum(self.states.height[rows] * CLEAR_HEIGHTS, 1)
        clear: Bools = self._geometry.distance(self.states.foot[rows], zones) >= np.minimum(
            far, self._geometry.reach[zones]
        )
        return clear

    def _settle(self, row: int, zone: int) -> Decisions:
        """Yield the events that the side changes since the last decision add up to."""
        states, what = self.states, self._zones[zone]
        net, inside = int(states.net[row, zone]), bool(states.inside[row, zone])
        reported = bool(states.reported[row, zone])
        entered, last = int(states.entered_us[row, zone]), states.last[row, zone]
        changed, since = int(states.changed_us[row, zone]), int(states.since_us[row, zone])
        armed = bool(states.armed[row, zone])
        states.pending[row, zone], states.net[row, zone] = False, 0
        states.armed[row, zone] = True
        counts = bool(self._counts_in(states.class_id[row : row + 1])[0, zone])
        if isinstance(what, Line):
            if net and armed and counts:
                direction = "in" if net > 0 else "out"
                yield from [Decision("cross", row, zone, last, direction)] * abs(net)
        elif inside and not reported:
            states.reported[row, zone], states.dwelt[row, zone] = True, False
            states.entered_us[row, zone] = changed
            yield Decision("enter", row, zone, last)
        elif reported and not inside:
            states.reported[row, zone] = False
            yield Decision("leave", row, zone, last, dwell_us=changed - entered)
        elif not reported and armed and counts and self._passed(row, zone):
            yield Decision("enter", row, zone, states.first[row, zone])
            yield Decision("leave", row, zone, last, dwell_us=changed - since)

    def _passed(self, row: int, zone: int) -> bool:
        """Return whether the way since the last decision led through the zone, not along it."""
        states = self.states
        was, now = states.anchor[row, zone], states.foot[row]
        far = math.dist(was, now) >= PASSED_HEIGHTS * states.height[row]
        return far and self._geometry.passes(was, now, zone)

    def _dwell(self, now: int, rows: Rows) -> Decisions:
        states = self.states
        if not (self._dwells and states.reported.any()):
            return
        stayed = now - states.entered_us[rows]
        due = stayed >= self._dwell_us
        due &= states.reported[rows] & states.inside[rows] & ~states.dwelt[rows]
        for i, zone in np.argwhere(due).tolist():
            row = int(rows[i])
            states.dwelt[row, zone] = True
            moment = states.moment[row]
            yield Decision("dwell", row, zone, moment, dwell_us=int(stayed[i, zone]))

    def end_unseen(self, now: int) -> Decisions:
        """Decide about the tracks that were not seen for `gone_s`, and forget them.

        One that was inside left when last seen; one that had just crossed has crossed.
        """
        states = self.states
        silent = states.seen_us + self._gone_us <= now
        if not silent.any():
            return
        rows = silent.nonzero()[0]
        for row in rows[states.seen_us[rows].argsort(kind="stable")].tolist():
            open_ = (states.pending[row] & states.armed[row]).nonzero()[0]
            clear = self._is_clear(np.full(len(open_), row), open_)
            for zone in open_[clear].tolist():
                yield from self._settle(row, zone)
            for zone in states.reported[row].nonzero()[0].tolist():
                stayed = int(states.seen_us[row] - states.entered_us[row, zone])
                yield Decision("leave", row, zone, states.moment[row], dwell_us=stayed)
        states.keep(~silent)
