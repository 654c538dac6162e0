"""Probe: finds a network's layout from its answer to a synthetic picture, before the first frame.

The picture has edges, shapes of several sizes and noise, to which any detector responds. No object
in it needs to be found: even without detections a layout's numbers follow its rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from pipeline.core.data import Float32, Image
from pipeline.detectors.common.backend import LayoutOverrides, Network, Placing
from pipeline.detectors.common.decoding import Size
from pipeline.detectors.common.layouts import (
    Layout,
    LayoutVariant,
    find_variant,
    only_variant,
    variant_named,
)

Run = Callable[[Image, int], Float32]
"""(picture u8[H,W,3] BGR of the network's input size, number for white) to f32[rows, columns]."""


@dataclass(frozen=True, slots=True)
class RecognisedLayout:
    """Layout of a network's output, the value of white, and warnings.

    `placing` and `repeats` as in Layout, None for the layout's own; `is_family` is set for networks
    of families beyond YOLO.
    """

    variant: LayoutVariant
    pixel_max: int | None
    doubts: tuple[str, ...] = ()
    placing: Placing | None = None
    repeats: bool = False
    is_family: bool = False

    @property
    def layout(self) -> Layout:
        """Return the layout of the network's output."""
        layout = self.variant.layout(self.pixel_max)
        placing = self.placing or layout.placing
        return replace(layout, placing=placing, repeats=self.repeats)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RecognisedLayout:
        """Restore an object from its `dataclasses.asdict`."""
        variant = LayoutVariant(
            **{**values["variant"], "strides": tuple(values["variant"]["strides"])}
        )
        return cls(**{**values, "variant": variant, "doubts": tuple(values["doubts"])})


def recognise(network: Network, run: Run, forced: LayoutOverrides) -> RecognisedLayout:
    """Return a network's layout; raises ModelError if none fits, or several do."""
    pixel_max = forced.input_scale or network.pixel_max
    names = forced.names or len(network.names) or None
    size = network.input_size
    answer = run(picture(size), pixel_max or 1)
    # The number of boxes may depend on the picture.
    varies = None in network.output_shape
    shape = network.output_shape if varies else (1, *answer.shape)
    doubts = []
    if forced.layout is None:
        variant = find_variant(shape, size, names, network.end2end, answer)
    else:
        variant, why = variant_named(forced.layout, shape, size, names, answer)
        if why:
            doubts.append(f"layout: {forced.layout} was set, but on the probe picture {why}")
    return RecognisedLayout(replace(variant, usual=True), pixel_max, tuple(doubts))


def expect(network: Network, forced: LayoutOverrides) -> RecognisedLayout | None:
    """Return the layout by shape and class names alone, if each box's best class can prove it.

    None if several layouts are possible, or if the whole output must be checked.
    """
    names = forced.names or len(network.names) or None
    variant = only_variant(network.output_shape, network.input_size, names, network.end2end)
    if forced.layout is not None or variant is None or variant.layout().best_only is None:
        return None
    pixel_max = forced.input_scale or network.pixel_max
    return RecognisedLayout(replace(variant, usual=True), pixel_max)


@lru_cache(maxsize=2)
def picture(size: Size) -> Image:
    """Return the probe picture u8[H,W,3] BGR: a street's rough shapes, and noise in one quarter."""
    import cv2

    height, width = size
    shade = np.linspace(235, 60, height, dtype=np.float32)[:, None, None]
    canvas = np.broadcast_to(shade * np.array([1.0, 0.9, 0.8], np.float32), (height, width, 3))
    image = np.ascontiguousarray(canvas.astype(np.uint8))
    random = np.random.default_rng(20)
    for part in (3, 5, 8, 14, 25):
        for _ in range(4):
            x, y = int(random.integers(width)), int(random.integers(height))
            across, up = max(width // part, 2), max(height // part, 2)
            colour = [int(each) for each in random.integers(0, 256, 3)]
            cv2.rectangle(image, (x, y), (x + across, y + up // 2), colour, -1)
            cv2.ellipse(image, (x, y), (across // 6 + 1, up // 2), 0, 0, 360, colour[::-1], -1)
            cv2.circle(image, (x + across // 4, y + up // 2), up // 6 + 1, (20, 20, 20), -1)
    noisy = image[height // 2 :, width // 2 :]
    noisy[:] = random.integers(0, 256, noisy.shape, np.uint8)
    return image
