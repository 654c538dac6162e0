"""Converts HDR video and pictures (PQ and HLG, ITU-R BT.2100) to standard dynamic range.

Without conversion HDR pixels look dull and washed out, to people as well as to networks trained on
ordinary pictures.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18
"""Transfer characteristics by their numbers in ITU-T H.273."""
HDR = frozenset({PQ, HLG})

_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0
"""Reference white by ITU-R BT.2408, and the peak; everything brighter becomes white."""
_DISPLAY_GAMMA = 2.4  # ITU-R BT.1886
# ITU-R BT.2087: matrix from BT.2020 to BT.709 colours, here in the order blue, green, red.
_TO_BT709 = np.array(
    [[1.1187, -0.1006, -0.0182], [-0.0083, 1.1329, -0.1246], [-0.0728, -0.5876, 1.6605]], np.float32
)


def to_standard_range(bgr: NDArray[np.uint8], transfer: int) -> None:
    """Convert a PQ or HLG picture, BGR u8[H,W,3], in place to standard dynamic range.

    Up to about 90 cd/m2 greys keep their brightness relative to reference white; above that they
    are compressed. The colour matrix is meant for linear light; applied to these values it is fast,
    and off by 2 levels on average for colours of medium saturation (6 without it).
    """
    import cv2

    cv2.transform(cv2.LUT(bgr, _standard_levels(transfer)), _TO_BT709, dst=bgr)


@lru_cache(maxsize=2)
def _standard_levels(transfer: int) -> NDArray[np.uint8]:
    """Return u8[256]: the standard-range level for each PQ or HLG level."""
    signal = np.arange(256) / 255
    nits = _pq_to_nits(signal) if transfer == PQ else _hlg_to_nits(signal)
    light = _pq_to_nits(_compressed(_nits_to_pq(nits))) / _WHITE_NITS
    levels = 255 * light.clip(0, 1) ** (1 / _DISPLAY_GAMMA)
    return np.asarray(levels.round(), np.uint8)


_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128


def _pq_to_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cd/m2 (BT.2100, table 4, reference PQ EOTF)."""
    power = signal ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def _nits_to_pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    power = (nits / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def _hlg_to_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cd/m2 on a display of 1000 cd/m2 (BT.2100, table 5; its gamma on each colour)."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return np.asarray(_PEAK_NITS * scene**1.2)


def _compressed(pq: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map PQ signals up to the peak to PQ signals up to reference white (BT.2390, 5.4.1)."""
    peak, white = _nits_to_pq(np.array([_PEAK_NITS, _WHITE_NITS]))
    most = white / peak
    knee = 1.5 * most - 0.5
    signal = np.minimum(pq / peak, 1)
    t = (signal - knee) / (1 - knee)
    above = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return np.asarray(np.where(signal < knee, signal, above) * peak)
