"""Drawing surface for boxes and labels: a BGR picture, or the NV12 planes that an encoder takes.

Every shape is drawn on each layer in the layer's own colours: once on BGR; on planes once in luma
and once in chroma, which has half the resolution in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.yuv import Image, YuvColour, yuv_matrix

Colour = tuple[int, int, int]
Point = Sequence[int]


class _Layer(NamedTuple):
    """One array to draw on; one of its pixels covers `step` x `step` pixels of the picture."""

    pixels: Image
    step: int


class LabelStyle(NamedTuple):
    """A filled bar of `size` (width, height) with text in it, `origin` from its top left corner."""

    size: tuple[int, int]
    origin: tuple[int, int]
    font_scale: float
    thickness: int
    ground: Colour
    ink: Colour


class Canvas:
    """A picture that is drawn on in place; colours are (blue, green, red), points (x, y)."""

    def __init__(self, layers: Sequence[_Layer], colour: YuvColour | None = None) -> None:
        self._layers, self._yuv = layers, colour

    @classmethod
    def on(cls, image: Image | Canvas) -> Canvas:
        """Return a canvas over BGR u8[H,W,3]; a canvas is returned as it is."""
        return image if isinstance(image, Canvas) else cls([_Layer(image, 1)])

    @classmethod
    def on_nv12(cls, planes: Image, colour: YuvColour) -> Canvas:
        """Return a canvas over u8[H*3/2,W]: luma, then pairs of Cb and Cr of every other pixel."""
        height, width = planes.shape[0] * 2 // 3, planes.shape[1]
        pairs = planes[height:].reshape(height // 2, width // 2, 2)
        return cls([_Layer(planes[:height], 1), _Layer(pairs, 2)], colour)

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width)."""
        height, width = self._layers[0].pixels.shape[:2]
        return height, width

    def line(
        self, one: Point, other: Point, colour: Colour, line: int, *, smooth: bool = False
    ) -> None:
        """Draw a straight line, `line` pixels wide."""
        import cv2

        kind = cv2.LINE_AA if smooth else cv2.LINE_8
        for (pixels, step), value in self._each(colour):
            cv2.line(pixels, _at(one, step), _at(other, step), value, _width(line, step), kind)

    def faded_line(
        self, one: Point, other: Point, colour: Colour, strength: float, line: int
    ) -> None:
        """Draw a line in the colour mixed with that of the pixel below its middle.

        This looks like fading and costs no blending.
        """
        import cv2

        x, y = (one[0] + other[0]) // 2, (one[1] + other[1]) // 2
        for (pixels, step), value in self._each(colour):
            below = np.atleast_1d(pixels[y // step, x // step]).tolist()
            mixed = [c * strength + b * (1 - strength) for c, b in zip(value, below, strict=False)]
            cv2.line(pixels, _at(one, step), _at(other, step), mixed, _width(line, step))

    def rectangle(self, corner: Point, other: Point, colour: Colour, line: int) -> None:
        """Draw an outline."""
        import cv2

        for (pixels, step), value in self._each(colour):
            cv2.rectangle(pixels, _at(corner, step), _at(other, step), value, _width(line, step))

    def disc(self, centre: Point, radius: int, colour: Colour) -> None:
        """Draw a filled circle."""
        import cv2

        for (pixels, step), value in self._each(colour):
            size = max(1, radius // step)
            cv2.circle(pixels, _at(centre, step), size, value, cv2.FILLED, cv2.LINE_AA)

    def polyline(
        self, points: NDArray[np.int32], colour: Colour, line: int, *, closed: bool
    ) -> None:
        """Draw lines through points i32[N,2], back to the first where `closed`."""
        import cv2

        for (pixels, step), value in self._each(colour):
            at = points // step
            cv2.polylines(pixels, [at], closed, value, _width(line, step), cv2.LINE_AA)

    def arrow(self, start: Point, tip: Point, colour: Colour, line: int) -> None:
        """Draw an arrow."""
        import cv2

        for (pixels, step), value in self._each(colour):
            ends = _at(start, step), _at(tip, step)
            cv2.arrowedLine(pixels, *ends, value, _width(line, step), cv2.LINE_AA, 0, 0.35)

    def text(self, text: str, origin: Point, scale: float, colour: Colour, line: int) -> None:
        """Write one line of text from the left end of its baseline on."""
        import cv2

        font = cv2.FONT_HERSHEY_SIMPLEX
        for (pixels, step), value in self._each(colour):
            if step == 1:
                cv2.putText(pixels, text, origin, font, scale, value, line, cv2.LINE_AA)
                continue
            # OpenCV draws on one, three or four channels: here it draws a mask that is blended.
            (wide, high), below = cv2.getTextSize(text, font, scale, line)
            left, top = (max(0, at) // step * step for at in (origin[0], origin[1] - high - line))
            size = (high + below + 2 * line + step, wide + 2 * line + step)
            ink = np.zeros([side // step * step for side in size], np.uint8)
            at = origin[0] - left, origin[1] - top
            cv2.putText(ink, text, at, font, scale, 255, line, cv2.LINE_AA)
            region = pixels[top // step :, left // step :][
                : ink.shape[0] // step, : ink.shape[1] // step
            ]
            small = cv2.resize(ink, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
            region[:] = _blended(region, small[: region.shape[0], : region.shape[1]], value)

    def label(self, text: str, corner: Point, style: LabelStyle) -> None:
        """Draw a bar with text, its top left corner at `corner`, on planes at even pixels."""
        step = self._layers[-1].step
        x, y = corner[0] // step * step, corner[1] // step * step
        patches = _patches(text, style, self._yuv)
        for (pixels, scale), patch in zip(self._layers, patches, strict=True):
            room = pixels[y // scale :, x // scale :]
            high, wide = min(len(room), len(patch)), min(room.shape[1], patch.shape[1])
            room[:high, :wide] = patch[:high, :wide]

    def cover(self, mask: NDArray[np.bool_], corner: Point, colour: Colour, share: float) -> None:
        """Blend a colour over the pixels of bool[h,w], whose top left pixel is at `corner`."""
        import cv2

        left, top = corner
        for (pixels, step), value in self._each(colour):
            skip_x, skip_y = -left % step, -top % step
            mine = mask[skip_y::step, skip_x::step]
            if not mine.size:
                continue
            y, x = (top + skip_y) // step, (left + skip_x) // step
            region = pixels[y : y + mine.shape[0], x : x + mine.shape[1]]
            mine = mine[: region.shape[0], : region.shape[1]]
            ground = np.empty_like(region)
            ground[...] = value if region.ndim == 3 else value[0]
            covered = cv2.addWeighted(region, 1 - share, ground, share, 0)
            np.copyto(region, covered, where=mine[..., None] if region.ndim == 3 else mine)

    def _each(self, colour: Colour) -> Iterator[tuple[_Layer, tuple[float, ...]]]:
        return zip(self._layers, _values(colour, self._yuv), strict=True)


def _at(point: Point, step: int) -> Any:
    return point if step == 1 else (point[0] // step, point[1] // step)


def _width(line: int, step: int) -> int:
    return max(1, (line + step - 1) // step)


@lru_cache(maxsize=4096)
def _values(colour: Colour, yuv: YuvColour | None) -> tuple[tuple[float, ...], ...]:
    """Return a colour's values on each layer."""
    if yuv is None:
        return (colour,)
    y, cb, cr = (yuv_matrix(yuv) @ (*colour, 1.0)).clip(0, 255).round().tolist()
    return (y,), (cb, cr)


@lru_cache(maxsize=512)
def _patches(text: str, style: LabelStyle, yuv: YuvColour | None) -> list[Image]:
    """Return a label rendered for each layer."""
    import cv2

    wide, high = style.size
    if yuv is not None:
        wide, high = wide + wide % 2, high + high % 2
    if yuv is None:
        patch: Image = np.empty((high, wide, 3), np.uint8)
        patch[...] = style.ground
        cv2.putText(
            patch, text, style.origin, cv2.FONT_HERSHEY_SIMPLEX, style.font_scale, style.ink,
            style.thickness, cv2.LINE_AA,
        )  # fmt: skip
        return [patch]
    ink = np.zeros((high, wide), np.uint8)
    cv2.putText(
        ink, text, style.origin, cv2.FONT_HERSHEY_SIMPLEX, style.font_scale, 255,
        style.thickness, cv2.LINE_AA,
    )  # fmt: skip
    halved = cv2.resize(ink, (wide // 2, high // 2), interpolation=cv2.INTER_AREA)
    grounds, inks = _values(style.ground, yuv), _values(style.ink, yuv)
    luma, chroma = (
        _blended(np.array(ground, np.float32), np.asarray(part), over)
        for part, ground, over in zip((ink, halved), grounds, inks, strict=True)
    )
    return [luma[..., 0], chroma]


def _blended(ground: NDArray[Any], ink: Any, colour: tuple[float, ...]) -> Image:
    """Return the ground blended with a colour by the ink u8[h,w]; 255 covers it entirely."""
    part = np.asarray(ink)[..., None] / np.float32(255)
    mixed = part * np.array(colour, np.float32) + (1 - part) * ground
    return np.asarray(mixed.round().astype(np.uint8))
