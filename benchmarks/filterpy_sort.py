"""SORT as it is usually written: one filterpy filter and one Python object per track.

What our tracker is measured beside, in speed and in outcome. Bewley et al., ICIP 2016, with the
matrices and the rules of the published code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lap
import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import iou_of_xyxy

if TYPE_CHECKING:
    from filterpy.kalman import KalmanFilter

Float64 = NDArray[np.float64]


def published_filter(measured: Float64) -> KalmanFilter:
    """Return the published filter, started at centre x, centre y, scale, ratio."""
    from filterpy.kalman import KalmanFilter  # it takes seconds, with scipy

    kalman = KalmanFilter(dim_x=7, dim_z=4)
    kalman.F[[0, 1, 2], [4, 5, 6]] = 1
    kalman.H = np.eye(4, 7)
    kalman.P = np.diag([10.0] * 4 + [1e4] * 3)
    kalman.Q = np.diag([1, 1, 1, 1, 1e-2, 1e-2, 1e-4])
    kalman.R = np.diag([1.0, 1.0, 10.0, 10.0])
    kalman.x[:4, 0] = measured
    return kalman


def measure(box: Float64) -> Float64:
    """Return centre x, centre y, scale, ratio of one xyxy box."""
    width, height = box[2] - box[0], box[3] - box[1]
    return np.array([box[0] + width / 2, box[1] + height / 2, width * height, width / height])


class ObjectTrack:
    """One object with a filter of its own."""

    def __init__(self, box: Float64, ident: int) -> None:
        self.filter = published_filter(measure(box))
        self.ident = ident
        self.missed = 0
        self.streak = 0

    def box(self) -> Float64:
        """Return xyxy of the filter's state."""
        x, y, scale, ratio = self.filter.x[:4, 0]
        width = np.sqrt(scale * ratio)
        height = scale / width
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])

    def predict(self) -> Float64:
        """Move on by one frame and return xyxy."""
        if self.filter.x[6, 0] + self.filter.x[2, 0] <= 0:
            self.filter.x[6] = 0
        self.filter.predict()
        if self.missed:
            self.streak = 0
        self.missed += 1
        return self.box()

    def update(self, box: Float64) -> None:
        """Take a detection."""
        self.missed = 0
        self.streak += 1
        self.filter.update(measure(box).reshape(4, 1))


class ObjectSort:
    """The published rules over a list of ObjectTrack."""

    def __init__(self, max_age: int = 1, min_hits: int = 3, min_iou: float = 0.3) -> None:
        self.max_age, self.min_hits, self.min_iou = max_age, min_hits, min_iou
        self.tracks: list[ObjectTrack] = []
        self.frame = 0
        self.given = 0

    def update(self, boxes: Float64) -> Float64:
        """Return f64[N,5]: xyxy and id of the tracks to be reported."""
        self.frame += 1
        predicted = np.array([track.predict() for track in self.tracks]).reshape(-1, 4)
        taken = self._match(boxes, predicted)
        for row, box in enumerate(boxes):
            if row not in taken:
                self.given += 1
                self.tracks.append(ObjectTrack(box, self.given))
        early = self.frame <= self.min_hits
        reported = [
            np.append(track.box(), track.ident)
            for track in self.tracks
            if not track.missed and (early or track.streak >= self.min_hits)
        ]
        self.tracks = [track for track in self.tracks if track.missed <= self.max_age]
        return np.array(reported).reshape(-1, 5)

    def _match(self, boxes: Float64, predicted: Float64) -> set[int]:
        taken: set[int] = set()
        if len(boxes) and len(predicted):
            iou = iou_of_xyxy(boxes, predicted)
            _, of_box, _ = lap.lapjv(-iou, extend_cost=True)
            for row, track in enumerate(of_box):
                if track >= 0 and iou[row, track] >= self.min_iou:
                    self.tracks[track].update(boxes[row])
                    taken.add(row)
        return taken
