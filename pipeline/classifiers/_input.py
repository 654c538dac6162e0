"""Preprocessing of pictures for a classifier: crop, resize and scale as in its training.

Pictures are resized with Pillow, whose filters use every pixel: networks are trained with Pillow or
libraries that do the same, and resizing with OpenCV would shift scores by 0.1.
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
"""Mean and standard deviation of ImageNet's pixels (0 to 1, RGB), used to train most networks."""
REDUCING_GAP = 3.0
"""Much larger pictures are first reduced by an integer factor, to at least this many times the
size; according to Pillow the difference cannot be seen."""


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Input format of a network.

    `size` is (height, width); `mean` and `std` are RGB, of pixels from 0 to 1; `crop` is the side
    of the centre crop as a share of the shorter side.
    """

    size: tuple[int, int]
    mean: Three = IMAGENET_MEAN
    std: Three = IMAGENET_STD
    crop: float = 0.875
    interpolation: Interpolation = "bicubic"


def resized(image: Image, options: InputOptions) -> Image:
    """Return the centre crop of a picture BGR u8[H,W,3] as u8[height,width,3], still BGR."""
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
