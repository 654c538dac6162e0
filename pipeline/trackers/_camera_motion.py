"""Camera motion between two frames, from the picture (`CameraMotion`) or boxes (`shared_motion`).

Sparse optical flow (Lucas and Kanade 1981, in pyramids: Bouguet 2000) on a small grey picture and a
similarity fitted to it by RANSAC (Fischler and Bolles 1981), as multi-object trackers have used it
since BoT-SORT (Aharon et al. 2022). A fixed camera costs only the test for movement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.data import Image
from pipeline.core.scaling import averaged
from pipeline.core.yuv import YuvImage
from pipeline.trackers._association import CandidatePairs, Matches, grown
from pipeline.trackers._track_table import Float64


class Similarity(NamedTuple):
    """A similarity transform: (x, y) goes to turn (x, y) + shift, `turn` f64[2,2] scaled."""

    turn: Float64
    shift: Float64
    scale: float

    def points(self, xy: Float64) -> Float64:
        """Return the moved points f64[2,n]."""
        return self.turn @ xy + self.shift[:, None]

    def boxes(self, xyxy: Float64) -> Float64:
        """Return boxes f64[4,n] around the moved centres, scaled and upright."""
        half = (xyxy[2:] - xyxy[:2]) * (self.scale / 2)
        centre = self.points((xyxy[:2] + xyxy[2:]) / 2)
        return np.concatenate((centre - half, centre + half))


# Boxes are grown by this share of their size on each side, because after a shake they lie beside
# one another (Yang et al. 2023, C-BIoU), and must overlap at least this much.
_GROWN = 0.3
_MIN_OVERLAP = 0.1
# A shift is accepted from this many tracks on, and beyond this many standard errors. The standard
# deviation of normal errors is 1.5 times their median absolute deviation.
_MIN_TRACKS = 4
_ERRORS = 2.0
_SIGMA_OF_MAD = 1.5
_STRAIGHT = np.eye(2)


def shared_motion(predicted: Float64, seen: Float64) -> Similarity | None:
    """Return the shift that most tracks have in common beyond what was predicted for them.

    Each track f64[4,T] is matched temporarily with a detection f64[4,N] near it; the median
    prediction error is the camera's motion, because people do not all turn at once. None if there
    are few tracks or they do not agree.
    """
    if min(predicted.shape[1], seen.shape[1]) < _MIN_TRACKS:
        return None
    pairs = CandidatePairs(_enlarged(predicted), _enlarged(seen))
    pairs.weigh_by_height(predicted, seen)
    matches = Matches(predicted.shape[1], seen.shape[1])
    matches.match(pairs, pairs.overlap - _MIN_OVERLAP)
    tracks, found = matches.pairs
    if len(tracks) < _MIN_TRACKS:
        return None
    missed = seen.take(found, 1) - predicted.take(tracks, 1)
    missed = (missed[:2] + missed[2:]) / 2
    shift = _median(missed)
    deviation = _SIGMA_OF_MAD * _median(np.abs(missed - shift[:, None]))
    shift[np.abs(shift) <= _ERRORS * deviation / np.sqrt(len(tracks))] = 0
    return Similarity(_STRAIGHT, shift, 1.0) if shift.any() else None


def _enlarged(xyxy: Float64) -> Float64:
    return grown(xyxy, (xyxy[2:] - xyxy[:2]) * _GROWN)


def _median(values: Float64) -> Float64:
    """Return the medians f64[2] of two rows; numpy's own loses 48 bytes with each call."""
    values = np.sort(values, axis=1)
    half = values.shape[1] // 2
    middle: Float64 = (values[:, half] + values[:, -half - 1]) / 2
    return middle


# Long side of the grey picture that the flow is found in, of the sample that the camera is tested
# by, and the shortest side of a picture worth looking at.
_LONG_SIDE = 320
_SAMPLE_SIDE = 96
_MIN_SIDE = 32
# Cells by which the sample is judged: the camera moved if a quarter of them changed by more grey
# levels than noise. Sky and road change little; walking people cover fewer cells.
_CELLS = (12, 8)
_MANY = 24
_NOISE = 2.0
# Noise that turned out not to be a move is learned with this margin, up to the second value; a
# move, which keeps changing the picture, is then noticed a little later and resets it.
_MORE = 1.25
_MAX_NOISE = 8.0
_CORNERS = 200
# A fit is accepted if this many corners agree with it, and this share of all.
_MIN_INLIERS = 12
_MIN_PART = 0.4
_MAX_SCALE = 1.3
# A smaller move of every corner of the grey picture, in its pixels, is noise of the fit: noise of a
# compressed picture triggers it on fixed cameras.
_MIN_MOVE = 0.25
_NONE = np.empty((0, 0), np.uint8)


class CameraMotion:
    """Camera motion of one source, estimated frame by frame."""

    def __init__(self) -> None:
        self._grey = self._sample = _NONE
        self._noise = _NOISE

    def estimate(self, image: Image | YuvImage, objects: Float64) -> Similarity | None:
        """Return the motion since the last picture that moved; None if there is none, or unknown.

        While it stands still, each picture is compared with the same one, so that a slow motion is
        noticed eventually, in steps that exceed noise. The pixels of `objects` f64[4,n], xyxy in
        the last frame, are ignored.
        """
        height, width = image.shape[:2]
        if min(height, width) < _MIN_SIDE:
            return None
        import cv2

        level = 0.0
        step = max(max(height, width) // _SAMPLE_SIDE, 1)
        sample = _green(image, step)
        seen_before = sample.shape == self._sample.shape
        if seen_before:
            change = cv2.absdiff(self._sample, sample)
            cells = cv2.resize(change, _CELLS, interpolation=cv2.INTER_AREA)
            level = float(np.sort(cells, axis=None)[-_MANY])
            if level <= self._noise:
                return None
        shrink = min(_LONG_SIDE / max(height, width), 1.0)
        size = round(width * shrink), round(height * shrink)
        before, grey = self._grey, _small_grey(image, size)
        motion = _fit(before, grey, objects * shrink, shrink) if seen_before else None
        # A change without a move (light, noise) triggers the test once, not for ever.
        self._sample = sample
        if motion and _farthest(motion, width, height) * shrink < _MIN_MOVE:
            self._noise = max(self._noise, min(_MORE * level, _MAX_NOISE))
            return None
        self._grey, self._noise = grey, _NOISE
        return motion

    def save(self) -> dict[str, Any]:
        """Return the pictures u8 that the next one is compared with, by name."""
        return {"grey": self._grey, "sample": self._sample, "noise": np.array([self._noise])}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from where `save` was called; raises KeyError."""
        self._grey = state["grey"].astype(np.uint8)
        self._sample = state["sample"].astype(np.uint8)
        self._noise = float(state["noise"][0])


def _green(image: Image | YuvImage, step: int) -> Image:
    """Return the green of every `step`th pixel of every `step`th row."""
    if isinstance(image, YuvImage):
        return image.green(step)
    return np.ascontiguousarray(image[step // 2 :: step, step // 2 :: step, 1])


def _small_grey(image: Image | YuvImage, size: tuple[int, int]) -> Image:
    """Return the picture at `size` (width, height) in grey."""
    import cv2

    if isinstance(image, YuvImage):
        return image.grey((size[1], size[0]))
    return np.asarray(cv2.cvtColor(averaged(image, size[::-1]), cv2.COLOR_BGR2GRAY), np.uint8)


def _farthest(motion: Similarity, width: int, height: int) -> float:
    """Return how far the corner of the picture that moves most moves, in pixels."""
    corners = np.array([[0, width, 0, width], [0, 0, height, height]], np.float64)
    return float(np.hypot(*(motion.points(corners) - corners)).max())


def _fit(before: Any, grey: Any, objects: Float64, shrink: float) -> Similarity | None:
    """Return the similarity, in pixels of the whole picture, that most corners agree with."""
    import cv2

    mask = np.full(before.shape, 255, np.uint8)
    limit = np.array([mask.shape[1], mask.shape[0]] * 2)[:, None]
    for left, top, right, bottom in np.clip(objects, 0, limit).astype(np.intp).T:
        mask[top : bottom + 1, left : right + 1] = 0
    corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.01, 6, mask=mask)
    if corners is None or len(corners) < _MIN_INLIERS:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        before, grey, corners, np.empty_like(corners), winSize=(15, 15)
    )
    found = found.ravel() == 1
    if np.count_nonzero(found) < _MIN_INLIERS:
        return None
    # This draws with a generator of its own, always from the same seed.
    matrix, inliers = cv2.estimateAffinePartial2D(
        corners[found], moved[found], method=cv2.RANSAC, ransacReprojThreshold=1.0
    )
    if matrix is None or not np.isfinite(matrix).all():
        return None
    agree = np.count_nonzero(inliers)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if agree < max(_MIN_INLIERS, _MIN_PART * len(inliers)):
        return None
    if not 1 / _MAX_SCALE < scale < _MAX_SCALE:
        return None
    return Similarity(matrix[:, :2].copy(), matrix[:, 2] / shrink, scale)
