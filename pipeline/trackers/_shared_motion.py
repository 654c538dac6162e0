"""How the camera moved between two frames, from the boxes alone."""

from __future__ import annotations

import numpy as np

from pipeline.trackers._columns import Float64
from pipeline.trackers._pairs import Matches, Pairs, grown
from pipeline.trackers._similarity import Similarity

# Boxes are grown by this part of their size on each side, for a camera that shook leaves them
# beside one another (Yang et al. 2023, C-BIoU), and must overlap at least so much.
_GROWN = 0.3
_LEAST_OVERLAP = 0.1
# A shift is believed from so many tracks on, and beyond so many standard errors. A deviation of
# normal errors is 1.5 times their median absolute deviation.
_LEAST_TRACKS = 4
_ERRORS = 2.0
_SIGMA_OF_MAD = 1.5
_STRAIGHT = np.eye(2)


def shared_motion(predicted: Float64, seen: Float64) -> Similarity | None:
    """Return the shift that most tracks have in common beyond what was predicted for them.

    Each track f64[4,T] is matched for a moment with a detection f64[4,N] near it; the median of
    what the predictions missed by is what the camera did, for people do not all turn at once.
    None where the tracks are few or do not agree.
    """
    if min(predicted.shape[1], seen.shape[1]) < _LEAST_TRACKS:
        return None
    pairs = Pairs(_near(predicted), _near(seen))
    pairs.weigh_by_height(predicted, seen)
    matches = Matches(predicted.shape[1], seen.shape[1])
    matches.match(pairs, pairs.overlap - _LEAST_OVERLAP)
    tracks, found = matches.pairs
    if len(tracks) < _LEAST_TRACKS:
        return None
    missed = seen.take(found, 1) - predicted.take(tracks, 1)
    missed = (missed[:2] + missed[2:]) / 2
    shift = _median(missed)
    deviation = _SIGMA_OF_MAD * _median(np.abs(missed - shift[:, None]))
    shift[np.abs(shift) <= _ERRORS * deviation / np.sqrt(len(tracks))] = 0
    return Similarity(_STRAIGHT, shift, 1.0) if shift.any() else None


def _near(xyxy: Float64) -> Float64:
    return grown(xyxy, (xyxy[2:] - xyxy[:2]) * _GROWN)


def _median(values: Float64) -> Float64:
    """Return the medians f64[2] of two rows; numpy's own loses 48 bytes with each call."""
    values = np.sort(values, axis=1)
    half = values.shape[1] // 2
    middle: Float64 = (values[:, half] + values[:, -half - 1]) / 2
    return middle
