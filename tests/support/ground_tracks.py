"""Tracks of boxes that tremble over a known ground, with where the objects really were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from support.ground_views import SIZE, homography

from pipeline.core.sequences import RecordedSequence, VideoInfo
from pipeline.core.track_files import BoxTable

FPS = 25.0


def driving(
    rng: np.random.Generator, *, tracks: int = 20, rows: int = 100, jitter: float = 0.015,
    braking: float = 1.0, alike: float = 0.0,
) -> tuple[RecordedSequence, Any, Any]:  # fmt: skip
    """Return tracks in order of number and frame, true positions f64[N,2] and speeds f64[N].

    `jitter` is in shares of the box's height, `braking` in m/s that the velocity changes in a
    second, `alike` the correlation of the jitter from frame to frame.
    """
    dt, ground = 1 / FPS, homography()
    every = []
    for number in range(1, tracks + 1):
        velocity = np.array([rng.normal(0, 1), rng.choice([-1, 1]) * rng.uniform(4, 12)])
        place = np.array([rng.uniform(-5, 5), rng.uniform(18, 35)]) - velocity * rows * dt / 3
        error = np.zeros(2)
        for frame in range(rows):
            change = rng.normal(0, braking * np.sqrt(dt), 2)
            place = place + velocity * dt + change * dt / 2
            velocity = velocity + change
            pixel = ground.pixel_of(place[None])[0]
            if not np.isfinite(pixel).all():
                break
            height = 1500 * 1.6 / max(np.hypot(*place), 3)
            new = rng.normal(0, jitter * height, 2)
            error = alike * error + np.sqrt(1 - alike**2) * new
            x, y = pixel + error
            box = (x - 0.7 * height, y - height, x + 0.7 * height, y)
            every.append((frame, number, box, place, np.hypot(*velocity)))
    frame, number, boxes, places, speeds = zip(*every, strict=True)
    table = BoxTable.of(
        frame, number, boxes, pts_s=np.array(frame) * dt, class_id=np.zeros(len(frame)),
        size=np.tile(SIZE, (len(frame), 1)),
    )  # fmt: skip
    return sequence_of(table), np.array(places), np.array(speeds)


def sequence_of(table: BoxTable) -> RecordedSequence:
    length = int(table.frame.max(initial=-1)) + 1
    return RecordedSequence(
        "street", table, {0: "thing"}, Path("tracks.csv"), VideoInfo(FPS, length, *SIZE)
    )
