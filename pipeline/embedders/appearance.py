"""Colours and edges of an object, stripe by stripe: a descriptor without weights, for any class.

A box is cut into horizontal stripes, because people wear one colour above another and cars have
windows above doors. Each stripe gives a histogram of colours (hue for colourful pixels, grey
level for others) and one of gradient directions; pixels at the sides, where the background is,
count less. Stripes: Gray and Tao, Viewpoint Invariant Pedestrian Recognition with
an Ensemble of Localized Features, ECCV 2008; weights toward the middle: Farenzena et al., SDALF,
CVPR 2010; gradients: Dalal and Triggs 2005. Square roots of histograms make the cosine of two
vectors the Bhattacharyya coefficient (Arandjelovic and Zisserman 2012).
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pipeline.core.data import Float32, Image
from pipeline.core.errors import ModelError
from pipeline.core.options import OptionsModel
from pipeline.embedders._crops import crops, unit_rows

_HEIGHT, _WIDTH = 48, 24
_HUES, _GREYS, _DIRECTIONS = 12, 8, 8
_COLOURS = _HUES + _GREYS
# From this saturation on a pixel counts only as its hue; below it, partly as grey.
_COLOURFUL = 0.4
# The hue of darker pixels is unreliable, however saturated they are.
_DARK = 0.15
# Standard deviation of the pixel weights, as a share of the width.
_SPREAD = 0.15


class Options(OptionsModel):
    """Options of the descriptor of colours and edges."""

    stripes: int = Field(8, ge=1, le=_HEIGHT // 2)
    """Horizontal stripes that a box is cut into."""
    texture: float = Field(0.3, ge=0, le=1)
    """Weight of the edges in the descriptor; the rest is colours."""
    min_similarity: float = Field(0.85, ge=0, lt=1)
    """Minimum cosine similarity of two crops of one object."""


def build(options: Options) -> Appearance:
    """Return the embedder, not yet open."""
    return Appearance(options)


class Appearance:
    """An Embedder (pipeline.core.interfaces) made with NumPy and OpenCV only."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.min_similarity = options.min_similarity
        self._is_open = False

    def open(self) -> None:
        """Does nothing: there are no weights to load."""
        self._is_open = True

    def embed(self, image: Image, xyxy: Float32) -> Float32:
        """Return a unit vector f32[N,D] for each box f32[N,4] of a picture BGR u8[H,W,3]."""
        if not self._is_open:
            raise ModelError("embedder appearance: embed before open")
        import cv2

        stripes, size = self._options.stripes, (_WIDTH, _HEIGHT)
        parts = stripes * (_COLOURS + _DIRECTIONS)
        if not len(xyxy):
            return np.empty((0, parts), np.float32)
        small = [cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in crops(image, xyxy)]
        pixels = np.stack(small).astype(np.float32) / np.float32(255)
        share = self._options.texture
        found = np.concatenate(
            (
                np.sqrt((1 - share) * _histograms(*_colours(pixels), _COLOURS, stripes)),
                np.sqrt(share * _histograms(*_directions(pixels), _DIRECTIONS, stripes)),
            ),
            axis=1,
        )
        return unit_rows(found)

    def close(self) -> None:
        """Does nothing: there is nothing to release."""
        self._is_open = False


def _histograms(place: Float32, weight: Float32, bins: int, stripes: int) -> Float32:
    """Return f32[N,stripes*bins]: histograms of weights f32[N,K,H,W] by bin, one per stripe.

    A row sums to 1, with equal shares for all stripes; a stripe without any weight is uniform.
    """
    n, _, height, width = place.shape
    across = np.exp(-0.5 * np.square((np.arange(width) - (width - 1) / 2) / (_SPREAD * width)))
    stripe = np.arange(height) * stripes // height
    cell = (np.arange(n)[:, None, None, None] * stripes + stripe[:, None]) * bins + place
    sums = np.bincount(
        cell.astype(np.intp).ravel(), (weight * across).ravel(), minlength=n * stripes * bins
    ).reshape(n, stripes, bins)
    sums += 1e-3 * across.sum()  # so that a few stray pixels do not decide a stripe's colour
    return np.asarray((sums / sums.sum(2, keepdims=True) / stripes).reshape(n, -1), np.float32)


def _shared(position: Float32, bins: int, *, is_circle: bool) -> tuple[Float32, Float32]:
    """Return the two bins nearest to a position 0..bins, and their weights: f32[2,...]."""
    low = np.floor(position - 0.5)
    part = position - 0.5 - low
    both = np.stack((low, low + 1))
    both = both % bins if is_circle else both.clip(0, bins - 1)
    return both, np.stack((1 - part, part))


def _colours(pixels: Float32) -> tuple[Float32, Float32]:
    """Return the bins f32[N,4,H,W] of pixels f32[N,H,W,3], two of hue and two of grey, and weights.

    The weights of a pixel add up to one: hue as far as it is colourful, grey level for the rest.
    """
    import cv2

    n = len(pixels)
    hsv = np.asarray(
        cv2.cvtColor(pixels.reshape(n * _HEIGHT, _WIDTH, 3), cv2.COLOR_BGR2HSV), np.float32
    )
    hue, saturation, value = np.moveaxis(hsv.reshape(n, _HEIGHT, _WIDTH, 3), 3, 0)
    colourful = (saturation / _COLOURFUL).clip(0, 1) * (value / _DARK).clip(0, 1)
    hues, hue_parts = _shared(np.float32(_HUES / 360) * hue, _HUES, is_circle=True)
    greys, grey_parts = _shared(value * _GREYS, _GREYS, is_circle=False)
    place = np.concatenate((hues, greys + _HUES))
    weight = np.concatenate((hue_parts * colourful, grey_parts * (1 - colourful)))
    return np.moveaxis(place, 0, 1), np.moveaxis(weight, 0, 1)


def _directions(pixels: Float32) -> tuple[Float32, Float32]:
    """Return the two bins f32[N,2,H,W] of each pixel's gradient, and its strength in each."""
    grey = pixels.mean(3)
    down, right = np.gradient(grey, axis=(1, 2))
    angle = np.mod(np.arctan2(down, right), np.pi) * (_DIRECTIONS / np.pi)
    bins, parts = _shared(angle, _DIRECTIONS, is_circle=True)
    weight = parts * np.hypot(down, right)
    return np.moveaxis(bins, 0, 1), np.moveaxis(weight, 0, 1)
