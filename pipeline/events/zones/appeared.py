"""Events of kind "appeared" in the whole picture: which tracks cause one, and when it happened.

A track counts once it was seen for `seen_s` and has moved by `min_move` sizes of its box, at its
present class and height and outside masks. What stands is no event however often its track breaks;
what sets off is one, at the moment it set off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.events.zones.geometry import Bools, Float64, Geometry
from pipeline.events.zones.schema import Appeared, CameraZones, Zone
from pipeline.events.zones.track_states import MOMENT, Int64, SeenTracks, rows_of_ids

GROWTH = 0.25
"""Share by which both sides of a box must grow or shrink to count as a move along the line of
sight."""
_ROUNDING_US = 2000  # containers round times to a millisecond
_COLUMNS = np.dtype(
    [
        ("id", np.int64),
        ("seen_us", np.int64),  # last detection, whether it counts or not
        ("since_us", np.int64),  # first detection that counts
        ("reported", np.bool_),
        ("anchor", np.float64, 4),  # box of the first detection that counts
        ("still", np.float64, MOMENT),  # last moment about at the anchor
    ]
)


class Appearance(NamedTuple):
    """A track that appeared: its id, its class now, and the moment f64[7] it happened."""

    track_id: int
    class_id: int
    moment: Float64


class AppearedDetector:
    """The state of every track of a source, on pictures of `size` (width, height).

    `counts` returns bool[n]: objects of these classes count.
    """

    def __init__(
        self,
        rules: Appeared,
        camera: CameraZones,
        size: tuple[int, int],
        counts: Callable[[Int64], Bools],
    ) -> None:
        self._rules, self._counts = rules, counts
        self._gone_us = round(camera.gone_s * 1e6)
        self._seen_us = max(round(rules.seen_s * 1e6) - _ROUNDING_US, 0)
        self._min_height = rules.min_height * size[1]
        masks = [Zone(name=f"{i}", points=points) for i, points in enumerate(rules.masks)]
        self._masks = Geometry(CameraZones(size=camera.size, zones=tuple(masks)), size)
        self._states: NDArray[Any] = np.zeros(0, _COLUMNS)

    def carry_over(self, before: AppearedDetector) -> None:
        """Take over the tracks of a detector with other rules, on pictures of the same size."""
        self._states = before._states

    def update(self, now: int, seen: SeenTracks) -> list[Appearance]:
        """Update with the tracks of a frame; return those that appeared."""
        states = self._states
        states = states[states["seen_us"] + self._gone_us > now]
        rows, fresh = rows_of_ids(states["id"], seen.id)
        if fresh.any():
            more = np.zeros(int(np.count_nonzero(fresh)), _COLUMNS)
            more["id"] = seen.id[fresh]
            more["since_us"] = -1
            states = np.concatenate([states, more])
            states = states[states["id"].argsort(kind="stable")]
            rows = states["id"].searchsorted(seen.id)
        self._states = states
        states["seen_us"][rows] = now
        fits = self._fits(seen)
        rows, moment = rows[fits], seen.moment[fits]
        begins = states["since_us"][rows] < 0
        first = rows[begins]
        states["since_us"][first] = now
        states["anchor"][first] = moment[begins, 3:]
        share = _moved(states["anchor"][rows], moment[:, 3:])
        still = share <= self._rules.min_move / 2
        still &= begins | (self._rules.min_move > 0)
        states["still"][rows[still]] = moment[still]
        due = ~states["reported"][rows] & (share >= self._rules.min_move)
        due &= now - states["since_us"][rows] >= self._seen_us
        states["reported"][rows[due]] = True
        class_id = seen.class_id[fits]
        return [
            Appearance(int(states["id"][row]), int(class_id[i]), states["still"][row].copy())
            for i, row in zip(due.nonzero()[0].tolist(), rows[due].tolist(), strict=True)
        ]

    def save(self) -> dict[str, NDArray[Any]]:
        """Return copies of all columns, by name."""
        return {name: self._states[name].copy() for name in _COLUMNS.names or ()}

    def load(self, columns: Mapping[str, Any]) -> None:
        """Restore what `save` gave; raises KeyError, ValueError."""
        states = np.zeros(len(columns["id"]), _COLUMNS)
        for name in _COLUMNS.names or ():
            if columns[name].shape != states[name].shape:
                raise ValueError(f"{name}: got {columns[name].shape}")
            states[name] = columns[name]
        self._states = states

    def _fits(self, seen: SeenTracks) -> Bools:
        """Return bool[n]: the detection counts."""
        fits = self._counts(seen.class_id) & (seen.height >= self._min_height)
        if self._rules.masks:
            fits &= ~self._masks.look(seen.foot)[1].any(axis=1)
        return fits


def _moved(before: Float64, now: Float64) -> Float64:
    """Return f64[n]: how far boxes have moved, in sizes of the first box; xyxy f64[n,4] each.

    Sideways only as far as both edges of an axis went: a box that is partly hidden moves one. A box
    of which both sides grew or shrank by a quarter came nearer or went away: that is a move of 1.
    """
    shift = (now - before).reshape(-1, 2, 2)  # [n, first or second corner, x or y]
    together = np.sign(shift[:, 0]) == np.sign(shift[:, 1])
    along = np.where(together, np.abs(shift).min(axis=1), 0)
    was, is_ = before[:, 2:] - before[:, :2], now[:, 2:] - now[:, :2]
    size = np.sqrt(np.maximum(was.prod(axis=1), 1))
    ratio = is_ / np.maximum(was, 1)
    nearer = (ratio >= 1 + GROWTH).all(axis=1) | (ratio <= 1 / (1 + GROWTH)).all(axis=1)
    moved: Float64 = np.hypot(along[:, 0], along[:, 1]) / size
    return np.where(nearer, np.maximum(moved, 1), moved)
