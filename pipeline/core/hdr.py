"""HDR video (PQ and HLG, ITU-R BT.2100) as pictures of standard range, which all else here is.

Shown as they are, its numbers look dull and washed out, to people and to networks that were trained
on ordinary pictures.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18
"""Transfer characteristics by their numbers in ITU-T H.273."""
HDR = frozenset({PQ, HLG})

_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0
"""Reference white by ITU-R BT.2408, and the brightest that is told apart: more is white."""
_DISPLAY_GAMMA = 2.4  # ITU-R BT.1886
# ITU-R BT.2087: colours of BT.2020 as those of BT.709, here for blue, green and red.
_TO_BT709 = np.array(
    [[1.1187, -0.1006, -0.0182], [-0.0083, 1.1329, -0.1246], [-0.0728, -0.5876, 1.6605]], np.float32
)


def to_standard_range(bgr: NDArray[np.uint8], transfer: int) -> None:
    """Change BGR u8[H,W,3] of PQ or HLG in place into what an ordinary display shows.

    Up to about 90 cd/m2 greys keep their brightness beside reference white; above they come closer
    together. The matrix of the colours is meant for linear light; on these numbers it is quick, and
    2 levels off on average for colours of medium saturation (without it 6).
    """
    import cv2

    cv2.transform(cv2.LUT(bgr, _standard_levels(transfer)), _TO_BT709, dst=bgr)


@lru_cache(maxsize=2)
def _standard_levels(transfer: int) -> NDArray[np.uint8]:
    """Return u8[256]: the level of standard range for each level of PQ or HLG."""
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
    """Return PQ signals up to the peak as such up to reference white (BT.2390, 5.4.1)."""
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
