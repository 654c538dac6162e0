"""Regions to blur: boxes with a margin that grows with speed, filled over missed frames.

`HeldRegions` works online and can only hold and extrapolate; `planned_regions` knows the whole
track, so it interpolates gaps and begins before the first box.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import cxcywh_from_xyxy, usable_xyxy
from pipeline.core.data import ClassNames
from pipeline.core.errors import UsageError

BlurGroup = Literal["person", "vehicle", "face"]
BlurShape = Literal["box", "mask"]
Boxes = NDArray[np.float64]

GROUPS: Mapping[str, frozenset[str]] = {
    "person": frozenset({"person", "pedestrian", "people", "rider", "cyclist"}),
    "vehicle": frozenset(
        {"car", "van", "truck", "lorry", "bus", "coach", "motorcycle", "motorbike", "bicycle",
         "bike", "tram", "train", "trailer", "caravan", "vehicle", "cyclist"}
    ),
}  # fmt: skip
"""Classes of each group, by the names that detectors use."""

HOLD_S = 0.5
"""How long a region is kept after the last box and, if the future is known, before the first."""
MARGIN = 0.1  # share of the box, on each side
SPEED_MARGIN_S = 0.1  # seconds of movement, on each side
MISSED_MARGIN = 0.5  # growth per second without a box, as a share of the box
MAX_MISSED_MARGIN = 0.4
MAX_GAP_S = 5.0
"""Longer gaps are not filled: the object may have been anywhere."""
_NEW_SHARE = 0.5  # weight of the newest step in the velocity


def classes_of(groups: Iterable[str], class_names: ClassNames, where: str) -> frozenset[int]:
    """Return the ids of all classes in `groups`; raises UsageError for a group without a class.

    "face" is not a class of the detector and is ignored here.
    """
    found: set[int] = set()
    for group in groups:
        if group == "face":
            continue
        ids = {number for number, name in class_names.items() if name.lower() in GROUPS[group]}
        if not ids:
            known = ", ".join(class_names.values()) or "no class names"
            raise UsageError(f"{where}: nothing there is a {group} (there is: {known})")
        found |= ids
    return frozenset(found)


def with_margin(xyxy: Boxes, speed: Boxes, missed_s: NDArray[np.float64] | float = 0.0) -> Boxes:
    """Return [N,4] boxes grown on each side, more with `speed` [N,2] in pixels per second."""
    missed = np.minimum(np.asarray(missed_s, float) * MISSED_MARGIN, MAX_MISSED_MARGIN)
    size = xyxy[:, 2:] - xyxy[:, :2]
    margin = size * (MARGIN + missed).reshape(-1, 1) + np.abs(speed) * SPEED_MARGIN_S
    return np.concatenate([xyxy[:, :2] - margin, xyxy[:, 2:] + margin], axis=1)


def _union(a: Boxes, b: Boxes) -> Boxes:
    return np.concatenate([np.minimum(a[:, :2], b[:, :2]), np.maximum(a[:, 2:], b[:, 2:])], axis=1)


@dataclass(slots=True)
class _Held:
    """The last box of a track, when it was seen, and its velocity in pixels per second."""

    xyxy: Boxes
    seen_s: float
    velocity: Boxes = field(default_factory=lambda: np.zeros(2))


class HeldRegions:
    """Regions of one source, updated frame by frame.

    Those of a lost track are kept for `hold_s`.
    """

    def __init__(self, hold_s: float = HOLD_S) -> None:
        self._hold_s = hold_s
        self._held: dict[int, _Held] = {}

    def reset(self) -> None:
        """Forget all tracks: the next frame does not continue the previous one."""
        self._held.clear()

    def update(self, now_s: float, track_id: Sequence[int], xyxy: Boxes) -> Boxes:
        """Return the regions [M,4] of a frame with these boxes; id 0 means no identity."""
        fine = usable_xyxy(xyxy)
        regions = [np.empty((0, 4))]
        current: set[int] = set()
        for number, box in zip(np.asarray(track_id)[fine].tolist(), xyxy[fine], strict=True):
            speed = np.zeros(2)
            if number:
                current.add(number)
                speed = self._seen(number, box, now_s).velocity
            regions.append(with_margin(box[None], speed[None]))
        for number, held in [*self._held.items()]:
            missed_s = now_s - held.seen_s
            if missed_s > self._hold_s or missed_s < 0:
                del self._held[number]
            elif number not in current:
                moved = held.xyxy + np.tile(held.velocity * missed_s, 2)
                where = _union(held.xyxy[None], moved[None])
                regions.append(with_margin(where, held.velocity[None], missed_s))
        return np.concatenate(regions)

    def _seen(self, number: int, box: Boxes, now_s: float) -> _Held:
        held = self._held.get(number)
        if held is None or now_s <= held.seen_s:
            velocity = np.zeros(2) if held is None else held.velocity
        else:
            step = cxcywh_from_xyxy(box)[:2] - cxcywh_from_xyxy(held.xyxy)[:2]
            velocity = step / (now_s - held.seen_s)
            velocity = held.velocity * (1 - _NEW_SHARE) + velocity * _NEW_SHARE
        self._held[number] = _Held(box.copy(), now_s, velocity)
        return self._held[number]


@dataclass(frozen=True, slots=True, eq=False)
class PlannedRegions:
    """Regions of a whole video: `frame` i64[N] in order and `xyxy` f64[N,4]."""

    frame: NDArray[np.int64]
    xyxy: Boxes

    def at(self, frame: int) -> Boxes:
        """Return the regions [M,4] of one frame."""
        first, last = np.searchsorted(self.frame, [frame, frame + 1])
        return self.xyxy[first:last]


def planned_regions(
    frame: NDArray[np.int64], track_id: NDArray[np.int64], xyxy: Boxes, fps: float,
    hold_s: float = HOLD_S,
) -> PlannedRegions:  # fmt: skip
    """Return the regions of recorded boxes, given in any order; id 0 means no identity.

    Gaps are interpolated linearly between the boxes on both sides. `fps` converts frames to
    seconds.
    """
    fine = usable_xyxy(xyxy)
    frame, track_id, xyxy = frame[fine], track_id[fine], xyxy[fine]
    frames = [frame[track_id == 0]]
    boxes = [with_margin(xyxy[track_id == 0], np.zeros((len(frames[0]), 2)))]
    order = np.lexsort((frame, track_id))
    order = order[track_id[order] > 0]
    frame, track_id, xyxy = frame[order], track_id[order], xyxy[order]
    new = (np.diff(track_id) != 0) | (np.diff(frame) > MAX_GAP_S * fps)
    for rows in np.split(np.arange(len(frame)), np.flatnonzero(new) + 1):
        if len(rows):
            every, regions = _filled(frame[rows], xyxy[rows], fps, hold_s)
            frames.append(every)
            boxes.append(regions)
    whole, regions = np.concatenate(frames), np.concatenate(boxes)
    order = np.argsort(whole, kind="stable")
    return PlannedRegions(whole[order], regions[order])


def _filled(
    frame: NDArray[np.int64], xyxy: Boxes, fps: float, hold_s: float
) -> tuple[NDArray[np.int64], Boxes]:
    """Return every frame of one piece of a track, held frames included, and its regions."""
    frame, first = np.unique(frame, return_index=True)
    xyxy = xyxy[first]
    hold = max(1, round(hold_s * fps))
    every = np.arange(frame[0] - hold, frame[-1] + hold + 1)
    boxes = np.stack([np.interp(every, frame, xyxy[:, side]) for side in range(4)], axis=1)
    inside = slice(hold, len(every) - hold)
    centre = cxcywh_from_xyxy(boxes)[:, :2]
    speed = np.zeros_like(centre)
    if len(frame) > 1:
        speed[inside] = np.gradient(centre[inside], axis=0) * fps
        speed[:hold], speed[-hold:] = speed[hold], speed[-hold - 1]
    # Its path before and after is unknown: anything between standing still and moving on.
    away_s = np.clip(every - frame[-1], 0, None) - np.clip(frame[0] - every, 0, None)
    moved = boxes + np.tile(speed * (away_s / fps)[:, None], 2)
    nearest = np.searchsorted(frame, every).clip(0, len(frame) - 1)
    missed = np.minimum(
        np.abs(frame[nearest] - every), np.abs(every - frame[(nearest - 1).clip(0)])
    )
    return every, with_margin(_union(boxes, moved), speed, missed / fps)
