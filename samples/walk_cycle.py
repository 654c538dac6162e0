"""Bend the legs of a standing figure into a walk cycle.

Joint angles are smooth curves through the values that gait textbooks give for level walking at an
easy pace. The two legs are told apart from the feet upwards; skin weights are smooth steps across
hip, knee and ankle height, so any upright figure in trousers or a short skirt can walk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HIP, CROTCH, KNEE, ANKLE = 0.515, 0.45, 0.285, 0.045  # heights as shares of the body height
BAND = 0.015  # thickness of the slices in which the legs are told apart, same unit


def _step(low: float, high: float, value: Array) -> Array:
    """Return 0 below `low`, 1 above `high` and a smooth step between them."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _bump(phase: float, centre: float, width: float) -> float:
    """Return a bell of height 1 around `centre` on the circle of phases 0..1."""
    away = (phase - centre + 0.5) % 1 - 0.5
    return float(np.exp(-((away / width) ** 2)))


def leg_angles(phase: float) -> tuple[float, float, float]:
    """Return (hip, knee, ankle) flexion in degrees; phase 0 is the heel's touch-down."""
    hip = 7 + 23 * float(np.cos(2 * np.pi * (phase + 0.03)))
    knee = 4 + 12 * _bump(phase, 0.14, 0.08) + 52 * _bump(phase, 0.73, 0.12)
    ankle = -16 * _bump(phase, 0.62, 0.08) + 7 * _bump(phase, 0.42, 0.12)
    return hip, knee, ankle


def _two_means(points: Array, centres: Array) -> tuple[Array, Array]:
    """Return (bool[N]: nearer to the second centre, the two centres moved to their points)."""
    for _ in range(8):
        far = np.linalg.norm(points[:, None] - centres, axis=2)
        second = far[:, 1] < far[:, 0]
        for k, mine in enumerate((~second, second)):
            if mine.any():
                centres[k] = (points[mine].min(0) + points[mine].max(0)) / 2
    return second, centres


def leg_sides(xyz: Array) -> tuple[Array, Array]:
    """Return the share of the second leg in each vertex [V] and the legs' paths [2,bands,2].

    The paths hold (x, z) of both legs' centres per slice of `BAND` from the ground up.
    """
    tall = xyz[:, 1].max()
    band = np.floor(xyz[:, 1] / (tall * BAND)).astype(int)
    ground = xyz[xyz[:, 1] < 0.06 * tall][:, [0, 2]]
    middle, spread = np.median(ground, axis=0), np.ptp(ground, axis=0)
    apart = np.array([spread[0] / 4, 0.0])
    centres = np.stack([middle - apart, middle + apart])
    side = np.zeros(len(xyz))
    path = np.zeros((2, int(CROTCH / BAND) + 1, 2))
    for k in range(path.shape[1]):
        mine = (band >= max(k - 1, 0)) & (band <= k + 1) if k > 2 else band <= 3
        if mine.any():
            second, centres = _two_means(xyz[mine][:, [0, 2]], centres.copy())
            exact = band[mine] == k
            side[np.flatnonzero(mine)[exact]] = second[exact]
        path[:, k] = centres
    above = band >= path.shape[1]
    split = path[:, -1, 0].mean()
    side[above] = _step(split - 0.03 * tall, split + 0.03 * tall, xyz[above, 0])
    return side, path


def _bend(xyz: Array, weight: Array, height: float, depth: float, degrees: float) -> Array:
    """Return `xyz` turned about the lateral axis at (height, depth), each by its weight."""
    angle = np.radians(degrees) * weight
    y, z = xyz[:, 1] - height, xyz[:, 2] - depth
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([xyz[:, 0], height + y * cos + z * sin, depth - y * sin + z * cos], axis=1)


def posed(xyz: Array, phase: float) -> Array:
    """Return the figure `xyz` [V,3] (y up, feet at 0, facing +z) at `phase` of its walk."""
    tall = xyz[:, 1].max()
    share = xyz[:, 1] / tall
    side, path = leg_sides(xyz)
    hips = float(np.median(xyz[(share > 0.5) & (share < 0.56), 2]))
    out = np.zeros_like(xyz)
    for leg, (of_leg, shift) in enumerate(((1 - side, 0.0), (side, 0.5))):
        hip, knee, ankle = leg_angles((phase + shift) % 1)
        at_knee, at_ankle = (path[leg, int(h / BAND), 1] for h in (KNEE, ANKLE + 0.03))
        one = _bend(
            xyz, 1 - _step(ANKLE - 0.01, ANKLE + 0.02, share), ANKLE * tall, at_ankle, ankle
        )
        one = _bend(one, 1 - _step(KNEE - 0.04, KNEE + 0.04, share), KNEE * tall, at_knee, -knee)
        lean = np.degrees(np.arctan2(at_ankle - hips, (HIP - ANKLE) * tall))
        one = _bend(one, 1 - _step(HIP - 0.06, HIP + 0.035, share), HIP * tall, hips, hip - lean)
        out += one * of_leg[:, None]
    out[:, 1] -= out[:, 1].min()
    return out


def stride_of(xyz: Array) -> float:
    """Return how far the figure walks in one cycle: twice the gap between its feet in stride."""
    sole = xyz[:, 1] < 0.03 * xyz[:, 1].max()
    side, _ = leg_sides(xyz)
    stance = posed(xyz, 0.0)
    ahead, behind = (float(stance[sole & mine, 2].mean()) for mine in (side == 0, side == 1))
    return 2 * abs(ahead - behind)
