"""Where tracks are with regard to areas from frame to frame, and what is decided about it.

A change of sides counts once the foot point was clearly off the border (a twentieth of the box's
height) for `settle_s` without another change; it is told with the moment in which it happened, the
first frame on the side that held. Thus standing on a line is no crossing however long it lasts.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from pipeline.events.zones.geometry import Bools, Geometry, Rows
from pipeline.events.zones.schema import CameraZones, Line
from pipeline.events.zones.track_states import Decision, Decisions, Int64, SeenTracks, TrackStates

CLEAR_HEIGHTS = 0.05
"""How far off a border is clear, in heights of the box."""
PASSED_HEIGHTS = 0.1
"""How far one must get, in heights of the box, to have passed through a zone in no time."""
_NEVER = np.iinfo(np.int64).max
_ROUNDING_US = 2000  # containers round times to a millisecond


class ClassFilter(Protocol):
    """Says which objects count where."""

    def __call__(self, class_id: Int64) -> Bools:
        """Return bool[n,areas]: objects of this class count in this area."""


class CrossingDetector:
    """The tracks of one source with regard to the areas of `camera` on pictures of one size."""

    def __init__(
        self, camera: CameraZones, size: tuple[int, int], class_counts: ClassFilter
    ) -> None:
        self._areas = camera.areas
        self._geometry = Geometry(camera, size)
        self._counts_there = class_counts
        self._settle_us = max(round(camera.settle_s * 1e6) - _ROUNDING_US, 0)
        self._gone_us = round(camera.gone_s * 1e6)
        dwells = [getattr(area, "dwell_s", None) for area in camera.areas]
        self._dwell_us = np.array(
            [_NEVER if each is None else round(each * 1e6) - _ROUNDING_US for each in dwells],
            np.int64,
        )
        self._dwells = bool((self._dwell_us < _NEVER).any())
        self.states = TrackStates.empty(len(camera.areas), len(self._geometry.area_of_edge))

    def carry_over(self, before: CrossingDetector, now: int) -> None:
        """Take over the tracks that were followed with other areas on pictures of this size.

        Whoever is in a zone stays in it, if there is one of that name and the place is in it.
        """
        old = {(type(area), area.name): i for i, area in enumerate(before._areas)}
        origin = [old.get((type(area), area.name), -1) for area in self._areas]
        edges = len(self._geometry.area_of_edge)
        states = self.states = before.states.with_areas(np.array(origin, np.intp), edges)
        for i, area in enumerate(self._areas):
            if isinstance(area, Line):
                states.armed[:, i] = False
        states.side, inside = self._geometry.look(states.foot)
        inside &= self._counts_there(states.class_id)
        states.pending[~states.armed] = False
        rows, areas = (~states.armed | (inside != states.inside)).nonzero()
        states.inside, states.net[:] = inside, 0
        states.add_side_change(rows, areas, now)

    def observe(self, now: int, seen: SeenTracks) -> Decisions:
        """Take in where tracks are now, and yield what that decides."""
        states = self.states
        rows, fresh = states.place(seen.id)
        side, inside = self._geometry.look(seen.foot)
        inside &= self._counts_there(seen.class_id)
        before = np.where(fresh[:, None], seen.foot, states.foot[rows])
        touched = inside != states.inside[rows]
        flips = side != states.side[rows]
        flips[fresh] = False
        i, edge = flips.nonzero()
        if len(i):
            met = self._geometry.crossed(before[i], seen.foot[i], edge)
            i, edge = i[met], edge[met]
            area = self._geometry.area_of_edge[edge]
            touched[i, area] = True
            np.add.at(states.net, (rows[i], area), np.where(side[i, edge], 1, -1))
        touched[fresh] = True
        states.side[rows], states.inside[rows] = side, inside
        states.foot[rows], states.height[rows] = before, seen.height
        states.class_id[rows], states.seen_us[rows] = seen.class_id, now
        states.moment[rows] = seen.moment
        i, area = touched.nonzero()
        if len(i):
            states.add_side_change(rows[i], area, now)
        states.foot[rows] = seen.foot
        yield from self._decide(now, rows)
        yield from self._dwell(now, rows)

    def _decide(self, now: int, rows: Rows) -> Decisions:
        """Decide what has held for long enough, clearly off the border."""
        states = self.states
        i, area = states.pending[rows].nonzero()
        if not len(i):
            return
        row = rows[i]
        clear = self._is_clear(row, area)
        since = states.clear_us[row, area]
        since = np.where(clear, np.minimum(since, now), _NEVER)
        states.clear_us[row, area] = since
        # Whoever is outside to begin with, is it at once.
        begins = clear & ~states.armed[row, area] & ~states.inside[row, area]
        one, of = row[begins], area[begins]
        states.armed[one, of], states.pending[one, of], states.net[one, of] = True, False, 0
        due = clear & ~begins & (now - since >= self._settle_us)
        for one_row, one_area in zip(row[due].tolist(), area[due].tolist(), strict=True):
            yield from self._settle(one_row, one_area)

    def _is_clear(self, rows: Rows, areas: Rows) -> Bools:
        """Return bool[k]: the foot point is not just about on the border."""
        far = np.maximum(self.states.height[rows] * CLEAR_HEIGHTS, 1)
        clear: Bools = self._geometry.distance(self.states.foot[rows], areas) >= np.minimum(
            far, self._geometry.reach[areas]
        )
        return clear

    def _settle(self, row: int, area: int) -> Decisions:
        """Tell what the changes of sides since the last decision come to."""
        states, what = self.states, self._areas[area]
        net, inside, told = (
            int(states.net[row, area]), bool(states.inside[row, area]), bool(states.told[row, area])
        )  # fmt: skip
        entered, last = int(states.entered_us[row, area]), states.last[row, area]
        changed, since = int(states.changed_us[row, area]), int(states.since_us[row, area])
        armed = bool(states.armed[row, area])
        states.pending[row, area], states.net[row, area] = False, 0
        states.armed[row, area] = True
        counts = bool(self._counts_there(states.class_id[row : row + 1])[0, area])
        if isinstance(what, Line):
            if net and armed and counts:
                direction = "in" if net > 0 else "out"
                yield from [Decision("cross", row, area, last, direction)] * abs(net)
        elif inside and not told:
            states.told[row, area], states.dwelt[row, area] = True, False
            states.entered_us[row, area] = changed
            yield Decision("enter", row, area, last)
        elif told and not inside:
            states.told[row, area] = False
            yield Decision("leave", row, area, last, dwell_us=changed - entered)
        elif not told and armed and counts and self._passed(row, area):
            yield Decision("enter", row, area, states.first[row, area])
            yield Decision("leave", row, area, last, dwell_us=changed - since)

    def _passed(self, row: int, area: int) -> bool:
        """Return whether the way since the last decision led through the zone, not along it."""
        states = self.states
        was, now = states.anchor[row, area], states.foot[row]
        far = math.dist(was, now) >= PASSED_HEIGHTS * states.height[row]
        return far and self._geometry.passes(was, now, area)

    def _dwell(self, now: int, rows: Rows) -> Decisions:
        states = self.states
        if not (self._dwells and states.told.any()):
            return
        stayed = now - states.entered_us[rows]
        due = stayed >= self._dwell_us
        due &= states.told[rows] & states.inside[rows] & ~states.dwelt[rows]
        for i, area in np.argwhere(due).tolist():
            row = int(rows[i])
            states.dwelt[row, area] = True
            moment = states.moment[row]
            yield Decision("dwell", row, area, moment, dwell_us=int(stayed[i, area]))

    def end_unseen(self, now: int) -> Decisions:
        """Decide about the tracks that were not seen for `gone_s`, and forget them.

        Who was inside left when last seen; who had just crossed and did not come back, crossed.
        """
        states = self.states
        silent = states.seen_us + self._gone_us <= now
        if not silent.any():
            return
        rows = silent.nonzero()[0]
        for row in rows[states.seen_us[rows].argsort(kind="stable")].tolist():
            open_ = (states.pending[row] & states.armed[row]).nonzero()[0]
            clear = self._is_clear(np.full(len(open_), row), open_)
            for area in open_[clear].tolist():
                yield from self._settle(row, area)
            for area in states.told[row].nonzero()[0].tolist():
                stayed = int(states.seen_us[row] - states.entered_us[row, area])
                yield Decision("leave", row, area, states.moment[row], dwell_us=stayed)
        states.keep(~silent)
