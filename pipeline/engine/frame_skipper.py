"""Skips detection on some frames of a source, and interpolates their boxes.

A skipped frame gets its boxes from the frames around it: between two detected frames each object
moves in a straight line (files, where the next one can be waited for), after the last one it keeps
its speed (cameras). Trackers receive those boxes as detections, so every tracker works as without
skipping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import iou_of_xyxy
from pipeline.core.data import Detections, Float32, Frame
from pipeline.core.rate_limit import RateLimit

Every = int | Literal["auto"]

MAX_HELD = 30
"""Maximum number of a file's skipped frames held, with pictures, until the next detection."""
MAX_AHEAD_S = 1.0
"""Maximum time a box is extrapolated after the last detection."""
MAX_S = 0.2
"""`auto` detects at least this often, which bounds the delay for new objects."""
SAME_IOU = 0.3
"""Boxes of one class that overlap by less are not the same object."""
SURE_IOU, POOR_IOU = 0.8, 0.6
"""IoU with its predicted box: `auto` skips more above the first, fewer below the second."""
SURE_SCORE = 0.5
"""Objects with lower scores flicker: `auto` ignores them."""

Rows = NDArray[np.intp]
_NONE: Rows = np.empty(0, np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class _Key:
    """A detected frame: its time, boxes and their speed f32[N,2] in pixels/s."""

    at_s: float
    found: Detections
    speed: Float32

    def moved_to(self, at_s: float) -> Float32:
        """Return f32[N,4]: the expected boxes at another time."""
        shift = self.speed * np.float32(at_s - self.at_s)
        return self.found.xyxy + np.concatenate((shift, shift), axis=1)


class FrameSkipper:
    """Frame skipping of one source: `wants` for each frame in order, `learn` after a detection."""

    def __init__(self, every: Every) -> None:
        self._every = every
        self._epoch = 0
        self._gap = self._since = 0
        self._asked_s = self._last_s = 0.0
        self._limit = RateLimit()
        self._last: _Key | None = None
        self._before: _Key | None = None
        self._pairs = _NONE, _NONE
        self._forget()

    def wants(self, frame: Frame, max_fps: float | None = None) -> bool:
        """Return whether to detect on this frame, at most `max_fps` times per second."""
        at_s, step_s = frame.pts_s, frame.pts_s - self._last_s
        if frame.epoch != self._epoch:
            self._epoch = frame.epoch
            self._forget()
        self._last_s = at_s
        self._since += 1
        late = self._every == "auto" and at_s - self._asked_s + step_s > MAX_S + 1e-6
        if self._since < self._gap and not late:
            return False
        if max_fps is not None:
            if not self._limit.is_due(at_s, max_fps) and self._since < MAX_HELD:
                return False
            self._limit.take(at_s, max_fps)
        self._since, self._asked_s = 0, at_s
        return True

    def learn(self, frame: Frame, found: Detections) -> None:
        """Take the detections of a frame for which `wants` was true."""
        before, at_s = self._last, frame.pts_s
        speed = np.zeros((len(found), 2), np.float32)
        self._before, self._pairs = None, (_NONE, _NONE)
        if before is not None and at_s > before.at_s and frame.epoch == self._epoch:
            expected = before.moved_to(at_s)
            old, new = self._pairs = _same(expected, before.found.class_id, found)
            moved = _centre(found.xyxy[new]) - _centre(before.found.xyxy[old])
            speed[new] = (moved / np.float32(at_s - before.at_s) + before.speed[old]) / 2
            self._before = before
            if self._every == "auto":
                self._adapt(expected, before.found, found)
        self._last = _Key(at_s, found, speed)

    def at(self, frame: Frame) -> Detections:
        """Return the boxes of a skipped frame, before or after the last detected one."""
        last, before = self._last, self._before
        if last is None:
            return Detections.empty()
        if frame.pts_s > last.at_s + MAX_AHEAD_S:
            return Detections.empty()
        if before is None or frame.pts_s >= last.at_s:
            return Detections(last.moved_to(frame.pts_s), last.found.score, last.found.class_id)
        share = np.float32((frame.pts_s - before.at_s) / (last.at_s - before.at_s))
        old, new = self._pairs
        a, b = before.found[old], last.found[new]
        both = Detections(
            a.xyxy + (b.xyxy - a.xyxy) * share, a.score + (b.score - a.score) * share, b.class_id
        )
        # Boxes in only one of the two count up to the middle.
        nearer, rows = (before, old) if share < 0.5 else (last, new)
        alone = np.setdiff1d(np.arange(len(nearer.found)), rows)
        rest = nearer.found[alone]
        return Detections(
            np.concatenate((both.xyxy, nearer.moved_to(frame.pts_s)[alone])),
            np.concatenate((both.score, rest.score)),
            np.concatenate((both.class_id, rest.class_id)),
        )

    def _forget(self) -> None:
        self._gap = 1 if self._every == "auto" else self._every
        self._since = self._gap  # the first frame is detected on
        self._asked_s = self._last_s = 0.0
        self._limit = RateLimit()
        self._last = self._before = None
        self._pairs = _NONE, _NONE

    def _adapt(self, expected: Float32, before: Detections, found: Detections) -> None:
        """Skip one more frame while everything was as predicted, half as many after a surprise."""
        old, new = self._pairs
        sure = before.score[old] >= SURE_SCORE
        missed = np.setdiff1d(np.flatnonzero(before.score >= SURE_SCORE), old)
        appeared = np.setdiff1d(np.flatnonzero(found.score >= SURE_SCORE), new)
        overlap = np.diagonal(iou_of_xyxy(expected[old], found.xyxy[new]))[sure]
        worst = overlap.min() if len(overlap) else 1.0
        if len(missed) or len(appeared) or worst < POOR_IOU:
            self._gap = max(1, self._gap // 2)
        elif worst >= SURE_IOU:
            self._gap += 1  # `wants` looks at the clock


def _same(expected: Float32, class_id: NDArray[np.int32], found: Detections) -> tuple[Rows, Rows]:
    """Return the rows of both sides that show the same objects, best overlap first (greedy)."""
    overlap = iou_of_xyxy(expected, found.xyxy)
    overlap[class_id[:, None] != found.class_id[None, :]] = 0
    old: list[int] = []
    new: list[int] = []
    candidates = np.argwhere(overlap >= SAME_IOU)
    order = np.argsort(-overlap[tuple(candidates.T)], kind="stable")
    taken_old: set[int] = set()
    taken_new: set[int] = set()
    for i, j in candidates[order].tolist():
        if i not in taken_old and j not in taken_new:
            taken_old.add(i)
            taken_new.add(j)
            old.append(i)
            new.append(j)
    return np.array(old, np.intp), np.array(new, np.intp)


def _centre(xyxy: Float32) -> Float32:
    return (xyxy[:, :2] + xyxy[:, 2:]) / np.float32(2)
