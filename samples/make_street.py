"""Make `street.mp4` and its exact ground truth `street_gt.txt` from the pictures beside them.

    python samples/make_street.py

Needs numpy, OpenCV and PyAV, as Trackline itself does. The same seed gives the same pictures (the
encoder's bytes vary a little), and the ground truth is computed in integers, so it is the same on
every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from backdrop import street
from street_scene import (
    CAST,
    FPS,
    FRAMES,
    HEIGHT,
    WIDTH,
    Bytes,
    Placed,
    far_to_near,
    ground_truth,
    in_frame,
    shifted,
)

FOLDER = Path(__file__).resolve().parent
SEED = 7
NOISE = 2.0  # grey levels, as a camera sensor leaves them
SHADE = 0.5  # how much light the deepest shadow takes
CREDIT = (
    "Models CC BY 3.0: Reallusion, Scopia, BlendSwap (Ruff); CC0: BlendSwap (Ulanbek, Ndakasha), "
    "Bricks25 and Gravel04 from CC0Textures. See samples/README.md of Trackline."
)


def draw(picture: Bytes, item: Placed) -> None:
    """Lay the cut-out `item` over `picture`, with eighths of a pixel blended."""
    cell = item.picture.bgra[item.phase].astype(np.int32)
    alpha = cell[:, :, 3:]
    weighted = np.concatenate([cell[:, :, :3] * alpha // 255, alpha], axis=2)
    y, x, part = in_frame(
        shifted(weighted, item.left % 8, item.top % 8), item.left // 8, item.top // 8
    )
    colour, cover = part[:, :, :3] / 64, part[:, :, 3:] / (64 * 255)
    colour = colour * (1 + CAST[item.row].warmth * np.array([-0.12, 0.0, 0.12]))
    picture[y, x] = np.clip(picture[y, x] * (1 - cover) + colour, 0, 255).astype(np.uint8)


def darken(picture: Bytes, items: list[Placed]) -> None:
    """Lay the shadows of all `items` on the empty street; where two meet, the darker counts."""
    shade = np.zeros((HEIGHT, WIDTH), np.int32)
    for item in items:
        cell = item.picture.shadow[item.phase].astype(np.int32)
        moved = shifted(cell, item.left % 8, item.top % 8)
        y, x, part = in_frame(moved, item.left // 8, item.top // 8)
        shade[y, x] = np.maximum(shade[y, x], part)
    light = 1 - SHADE * shade[:, :, None] / (64 * 255)
    picture[:] = (picture * light).astype(np.uint8)


def pictures() -> Iterator[Bytes]:
    """Yield BGR u8 [HEIGHT,WIDTH,3] of every frame."""
    rng = np.random.default_rng(SEED)
    empty = street(rng)
    for frame in range(FRAMES):
        items = far_to_near(frame)
        picture = empty.copy()
        darken(picture, items)
        for item in items:
            draw(picture, item)
        soft = cv2.GaussianBlur(picture, (0, 0), 0.55)
        grain = rng.normal(0, NOISE, (HEIGHT, WIDTH, 1))
        yield np.clip(soft + grain, 0, 255).astype(np.uint8)


def encode(path: Path) -> None:
    """Write the clip: H.264, yuv420p, index first, so that a browser plays it while loading."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        container.metadata["title"] = "Trackline sample street"
        container.metadata["comment"] = CREDIT
        stream = container.add_stream("libx264", rate=Fraction(FPS))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "24", "preset": "slow"}
        for picture in pictures():
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    """Write both files beside this script."""
    lines = ground_truth()
    (FOLDER / "street_gt.txt").write_text("\n".join(lines) + "\n")
    encode(FOLDER / "street.mp4")
    size = (FOLDER / "street.mp4").stat().st_size
    sys.stdout.write(f"{FRAMES} frames, {len(lines)} boxes, {size / 1e6:.2f} MB\n")


if __name__ == "__main__":
    main()
