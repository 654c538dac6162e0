"""Jitter of boxes, measured on the tracks themselves, and the motion of each class.

The jitter is what is left of a box's foot point after a quadratic fit over about a second (Savitzky
& Golay 1964), in shares of the box's height, by its median absolute deviation. Errors of successive
boxes are alike, so n of them say less than n independent ones: their variance counts times
(1 + r) / (1 - r), r their correlation from row to row (variance of the mean of an AR(1) series).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Motion:
    """How a kind of object moves and stands.

    `acceleration_psd` m^2/s^3: the velocity changes by its root in a second; `speed_sd` m/s before
    anything is known; `half_depth_m`: from the edge that the camera sees to the middle.
    """

    acceleration_psd: float
    speed_sd: float
    half_depth_m: float


_WALKING, _RIDING = Motion(0.25, 2.0, 0.15), Motion(1.0, 6.0, 0.4)
_CAR, _TRUCK, _OTHER = Motion(4.0, 20.0, 1.5), Motion(4.0, 20.0, 3.0), Motion(4.0, 20.0, 0.0)
MOTIONS: Mapping[str, Motion] = {
    **dict.fromkeys(("person", "pedestrian", "dog", "cat", "sheep", "cow", "horse"), _WALKING),
    **dict.fromkeys(("bicycle", "cyclist", "bike", "rider"), _RIDING),
    **dict.fromkeys(("motorcycle", "motorbike"), Motion(4.0, 15.0, 0.5)),
    **dict.fromkeys(("car", "van", "vehicle"), _CAR),
    **dict.fromkeys(("truck", "bus", "train", "tram"), _TRUCK),
}
"""By class name; other classes move as cars do and stand at the middle of the lower edge."""


def motion_of(class_name: str) -> Motion:
    """Return how objects of a class move."""
    return MOTIONS.get(class_name.lower(), _OTHER)


@dataclass(frozen=True, slots=True)
class Jitter:
    """Standard deviation of the foot point in shares of the box's height, across and up."""

    across: float
    up: float
    correlation: float
    """From row to row, 0..0.9."""

    def variances(self, heights: Floats) -> Floats:
        """Return f64[N,2], px^2 of boxes of these heights in px, as if errors were independent."""
        wider = (1 + self.correlation) / (1 - self.correlation)
        shares = np.array((self.across, self.up))
        sizes: Floats = np.maximum(heights[:, None] * shares, MIN_PX) ** 2 * wider
        return sizes


DEFAULT_JITTER = Jitter(0.02, 0.02, 0.3)
"""Where a file is too short to measure it."""
MIN_PX = 0.5
_MIN_ROWS = 100
_MIN_WINDOW, _MAX_WINDOW = 7, 31
_MAX_CORRELATION = 0.9
_OF_MAD = 1.4826  # a normal distribution's standard deviation in median absolute deviations


def measure_jitter(feet: Floats, heights: Floats, track: Ints, t: Floats) -> Jitter:
    """Return the jitter of f64[N,2] foot points in px, in order of track i64[N], t f64[N] s."""
    steps = np.diff(t)[np.diff(track) == 0]
    steps = steps[steps > 0]
    if len(steps) < _MIN_ROWS:
        return DEFAULT_JITTER
    step = float(np.median(steps))
    window = int(np.clip(round(1 / step) | 1, _MIN_WINDOW, _MAX_WINDOW))
    half = window // 2
    if len(t) <= window:
        return DEFAULT_JITTER
    low, high = np.arange(len(t) - 2 * half), np.arange(2 * half, len(t))
    whole = (track[low] == track[high]) & (t[high] - t[low] < 1.2 * 2 * half * step)
    if whole.sum() < _MIN_ROWS:
        return DEFAULT_JITTER
    weights = _quadratic(half)
    left = np.array([feet[half:-half, axis] - np.convolve(feet[:, axis], weights, "valid")
                     for axis in (0, 1)]).T / heights[half:-half, None]  # fmt: skip
    # Of white noise the fit takes this share of the variance away.
    kept = np.sqrt(1 - weights[half])
    across, up = (
        _OF_MAD * np.median(np.abs(left[whole, axis] - np.median(left[whole, axis]))) / kept
        for axis in (0, 1)
    )
    correlation = _correlation(left, whole, (across, up), weights)
    return Jitter(float(across), float(up), correlation)


def _quadratic(half: int) -> Floats:
    """Return the weights with which a window's rows give its quadratic fit's middle."""
    at = np.arange(-half, half + 1.0)
    weights: Floats = np.linalg.pinv(np.vander(at, 3, increasing=True))[0]
    return weights


def _correlation(
    left: Floats, whole: NDArray[np.bool_], sizes: tuple[float, float], weights: Floats
) -> float:
    pairs = whole[1:] & whole[:-1]
    one, other = left[:-1][pairs], left[1:][pairs]
    fine = (np.abs(one) < 4 * np.array(sizes)).all(axis=1)
    fine &= (np.abs(other) < 4 * np.array(sizes)).all(axis=1)
    if fine.sum() < _MIN_ROWS:
        return DEFAULT_JITTER.correlation
    one, other = one[fine], other[fine]
    found = (one * other).sum(axis=0) / np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    middle = len(weights) // 2
    # What the fit alone leaves of white noise.
    own = (float(weights[1:] @ weights[:-1]) - 2 * weights[middle + 1]) / (1 - weights[middle])
    return float(np.clip(np.nan_to_num(found.mean()) - own, 0, _MAX_CORRELATION))
