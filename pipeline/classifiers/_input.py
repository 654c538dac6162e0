"""Preprocessing of pictures for a classifier: crop, resize, scale as in its training.

Pictures are resized by Pillow, whose filters look at every pixel: networks are trained on its
pictures or on those of libraries that do the same, and OpenCV's would move scores by 0.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.core.data import Float32, Image

Interpolation = Literal["bilinear", "bicubic"]
Three = tuple[float, float, float]

IMAGENET_MEAN: Three = (0.485, 0.456, 0.406)
IMAGENET_STD: Three = (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet's pixels from 0 to 1, RGB: what most networks are trained with."""
REDUCING_GAP = 3.0
"""Much larger pictures are first reduced by a whole number, to this many times the size at least;
what Pillow calls indistinguishable."""


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How a network wants its pictures.

    `size` is (height, width); `mean` and `std` are RGB, of pixels from 0 to 1; `crop` is the share
    of the shorter side that is cut out of the middle.
    """

    size: tuple[int, int]
    mean: Three = IMAGENET_MEAN
    std: Three = IMAGENET_STD
    crop: float = 0.875
    interpolation: Interpolation = "bicubic"


def resized(image: Image, options: InputOptions) -> Image:
    """Return the middle of a picture BGR u8[H,W,3] as u8[height,width,3], still BGR."""
    from PIL import Image as Pillow

    height, width = options.size
    rows, columns = image.shape[:2]
    scale = options.crop * min(rows / height, columns / width)
    tall, wide = height * scale, width * scale
    left, top = (columns - wide) / 2, (rows - tall) / 2
    small = Pillow.fromarray(np.ascontiguousarray(image)).resize(
        (width, height),
        Pillow.Resampling[options.interpolation.upper()],
        box=(left, top, left + wide, top + tall),
        reducing_gap=REDUCING_GAP,
    )
    return np.asarray(small)


def network_input(image: Image, options: InputOptions) -> Float32:
    """Return a picture BGR u8[H,W,3] as RGB planes f32[3,height,width]."""
    rgb = resized(image, options)[..., ::-1].astype(np.float32) / 255
    scaled = (rgb - np.array(options.mean, np.float32)) / np.array(options.std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))
