"""Letterbox: places a picture in a network's input and maps boxes back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.core.data import Float32, Image
from pipeline.core.yuv import YuvImage
from pipeline.detectors.common.backend import Placing

_MUCH_LARGER = 2
PADDING = 114
"""Grey level around the picture, as used in training YOLO networks."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Letterbox of a picture of `image_size` in an input of `input_size`; all (height, width).

    The picture is scaled to `scaled_size` and placed with its top left corner at `offset`
    (top, left).
    """

    image_size: tuple[int, int]
    input_size: tuple[int, int]
    scaled_size: tuple[int, int]
    offset: tuple[int, int]


@lru_cache(maxsize=64)
def fit(
    image_size: tuple[int, int], target: tuple[int, int], stride: int | None, centred: bool = True
) -> Letterbox:
    """Return the letterbox that makes `image_size` as large as `target` allows.

    With a `stride` the padding is cut to what makes both sides a multiple of it (a rectangle, not
    a square); without one the input is exactly `target`. `centred` shares the padding between
    both sides, the odd pixel right and below; otherwise all of it is right and below.
    """
    scale = min(target[0] / image_size[0], target[1] / image_size[1])
    # A picture a thousand times as wide as high would otherwise lose its last row.
    height, width = (max(round(side * scale), 1) for side in image_size)
    pad_y, pad_x = target[0] - height, target[1] - width
    if stride is not None:
        pad_y, pad_x = pad_y % stride, pad_x % stride
    offset = (pad_y // 2, pad_x // 2) if centred else (0, 0)
    return Letterbox(image_size, (height + pad_y, width + pad_x), (height, width), offset)


MIN_SIDE, MAX_SIDE = 800, 1333
"""Shorter and longest side in training of R-CNN networks (Lin et al., Feature Pyramid Networks,
2017)."""


@lru_cache(maxsize=64)
def place(
    image_size: tuple[int, int], target: tuple[int, int], stride: int | None, placing: Placing
) -> Letterbox:
    """Return the letterbox for the given placement; the other arguments are those of `fit`.

    The aspect ratio is kept, with padding all around (`letterbox`) or right and below (`corner`),
    or the picture is stretched to the target. `native` and `shortest` are for networks that accept
    any size and ignore the target: the picture as it is, or scaled so that its shorter side is
    `MIN_SIDE`.
    """
    if placing in ("letterbox", "corner"):
        return fit(image_size, target, stride, placing == "letterbox")
    if placing == "stretch":
        size = target
    elif placing == "native":
        size = image_size
    else:
        scale = min(MIN_SIDE / min(image_size), MAX_SIDE / max(image_size))
        height, width = (max(round(side * scale), 1) for side in image_size)
        size = (height, width)
    return Letterbox(image_size, size, size, (0, 0))


def paste(image: Image | YuvImage, box: Letterbox, canvas: Image) -> None:
    """Scale `image` into its place on `canvas` u8[input_size, 3]; the padding is not touched.

    Large planes are converted to BGR after scaling, which at 1080p leaves a ninth of the pixels to
    convert. For smaller ones that would save little, so their result stays the same to the last
    bit.
    """
    (top, left), (height, width) = box.offset, box.scaled_size
    place = canvas[top : top + height, left : left + width]
    if isinstance(image, YuvImage):
        if box.image_size[0] * box.image_size[1] >= _MUCH_LARGER * height * width:
            image.scaled(box.scaled_size, place)
            return
        image = image.bgr
    if box.scaled_size == box.image_size:
        np.copyto(place, image)
    else:
        import cv2

        cv2.resize(image, (width, height), dst=place, interpolation=cv2.INTER_LINEAR)


def undo_xyxy(xyxy: Float32, box: Letterbox) -> Float32:
    """Convert boxes f32[N,4] from pixels of the network's input to pixels of the picture, clipped.

    Boxes with a non-finite number become NaN, so that clipping cannot turn an infinite box into one
    as large as the picture.
    """
    (top, left), (height, width) = box.offset, box.image_size
    scale_y, scale_x = box.scaled_size[0] / height, box.scaled_size[1] / width
    out = xyxy - np.array((left, top, left, top), np.float32)
    out /= np.array((scale_x, scale_y, scale_x, scale_y), np.float32)
    broken = ~np.isfinite(out).all(axis=1)
    np.clip(out, 0, np.array((width, height, width, height), np.float32), out=out)
    out[broken] = np.nan
    return out
