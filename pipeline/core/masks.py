"""Mask of one object: which pixels of the frame it covers; stored coarsely, decoded on demand.

The network's own coarse mask is stored, one fp16 number per cell within the object's box: at most
160 x 160 cells for an input of 640 x 640, whatever the size of the frame. That takes as much as a
bit per pixel of the network's input. A bit per cell would be smaller, but networks are trained for
outlines between cells, where their numbers change sign: against the masks of random networks, bits
reached an IoU of three quarters, a byte per cell 0.98. Names of formats are COCO's (Lin et al.,
2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]

_MAX_IN_MATRIX = 1 << 21
"""Pixels decoded at a time: 8 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Mask of one object in a frame of `size` (height, width), cut by its box `xyxy`.

    `numbers` f16[h,w] are the cells of a grid that lies at `region` (left, top, right, bottom), in
    pixels of the frame: above 0 inside of the object, below outside. Between the middles of cells
    they change linearly; a pixel is part of the object where its middle is above 0. Raises
    ValueError for another type or shape.
    """

    numbers: NDArray[np.float16]
    region: Box
    xyxy: Box
    size: tuple[int, int]

    def __post_init__(self) -> None:
        numbers = self.numbers
        if not isinstance(numbers, np.ndarray) or numbers.dtype != np.float16 or numbers.ndim != 2:
            came = getattr(numbers, "dtype", type(numbers).__name__)
            raise ValueError(f"Mask.numbers: want float16 array (h, w), got {came}")
        if not all(np.isfinite((*self.region, *self.xyxy))):
            raise ValueError("Mask: region and xyxy want finite numbers")

    @classmethod
    def from_numbers(
        cls, numbers: NDArray[Any], region: Box, xyxy: Box, size: tuple[int, int]
    ) -> Self:
        """Return the mask of a network's numbers f[h,w], above 0 inside; the rest as in Mask.

        They are divided by the largest, because fp16 ends at 65,504.
        """
        numbers = np.nan_to_num(np.asarray(numbers, np.float32))
        largest = np.float32(np.abs(numbers).max(initial=0) or 1)
        return cls((numbers / largest).astype(np.float16), region, xyxy, size)

    @classmethod
    def from_pixels(cls, pixels: NDArray[np.bool_], xyxy: Box | None = None) -> Self:
        """Return the mask of pixels bool[H,W] of a frame; `xyxy` is by default the box around them.

        It takes two bytes per pixel of the box; masks from networks are smaller.
        """
        size = pixels.shape[0], pixels.shape[1]
        if xyxy is None:
            rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
            if not len(rows):
                return cls(np.zeros((0, 0), np.float16), (0, 0, 0, 0), (0, 0, 0, 0), size)
            ends = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            xyxy = float(ends[0]), float(ends[1]), float(ends[2]), float(ends[3])
        left, top, right, bottom = _whole_pixels(xyxy, size)
        cut = pixels[top:bottom, left:right]
        numbers = np.where(cut, np.float16(1), np.float16(-1))
        return cls(numbers, (left, top, right, bottom), xyxy, size)

    def cropped(self) -> tuple[NDArray[np.bool_], int, int]:
        """Return bool[h,w], the pixels of the box, and where its top left corner is: left, top."""
        left, top, right, bottom = _whole_pixels(self.xyxy, self.size)
        out = np.zeros((max(bottom - top, 0), max(right - left, 0)), np.bool_)
        if not out.size or not self.numbers.size:
            return out, left, top
        numbers = self.numbers.astype(np.float32)
        x0, y0, x1, y1 = self.region
        rows = _weights(top, bottom, y0, y1, len(numbers)) @ numbers
        columns = _weights(left, right, x0, x1, numbers.shape[1]).T
        step = max(_MAX_IN_MATRIX // out.shape[1], 1)
        for first in range(0, len(out), step):
            np.greater(rows[first : first + step] @ columns, 0, out=out[first : first + step])
        return out, left, top

    def decode(self) -> NDArray[np.bool_]:
        """Return bool[H,W]: the pixels of the whole frame."""
        pixels, left, top = self.cropped()
        out = np.zeros(self.size, np.bool_)
        out[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return out

    @property
    def area(self) -> int:
        """Return how many pixels the object covers."""
        return int(np.count_nonzero(self.cropped()[0]))

    @property
    def nbytes(self) -> int:
        """Return the memory of the numbers, in bytes."""
        return int(self.numbers.nbytes)

    def polygons(self) -> list[NDArray[np.float32]]:
        """Return the outlines f32[K,2] of the mask's parts, K >= 3, in pixels of the frame.

        Holes are filled, because a polygon has none. Points are the centres of pixels at the rim,
        as in OpenCV and COCO's tools; parts of one or two pixels are omitted.
        """
        import cv2

        pixels, left, top = self.cropped()
        if not pixels.size:
            return []
        found, _ = cv2.findContours(
            pixels.view(np.uint8),
            cv2.RETR_EXTERNAL,
            cv2.CHAIN_APPROX_SIMPLE,
            offset=(left, top),
        )
        parts = [part.reshape(-1, 2).astype(np.float32) for part in found if len(part) >= 3]
        return sorted(parts, key=len, reverse=True)

    def counts(self) -> list[int]:
        """Return COCO's uncompressed RLE: alternating lengths of runs outside and inside.

        Pixels run down each column of the frame, columns from left to right.
        """
        pixels, left, top = self.cropped()
        height, width = self.size
        # Between two columns lie the rest of one and the head of the next: an empty row
        # separates runs if the box does not reach from edge to edge.
        framed = np.zeros((pixels.shape[1], pixels.shape[0] + 2), np.int8)
        framed[:, 1:-1] = pixels.T
        steps = np.diff(framed, axis=1)
        column, begin = np.nonzero(steps == 1)
        _, end = np.nonzero(steps == -1)
        places = np.empty(2 * len(begin), np.int64)
        places[0::2] = (column + left) * height + top + begin
        places[1::2] = (column + left) * height + top + end
        runs = np.diff(places, prepend=0, append=height * width)
        return _without_gaps(runs.tolist())

    def rle(self) -> dict[str, Any]:
        """Return COCO's RLE in pycocotools' form: {"size": [H, W], "counts": text}."""
        return {"size": list(self.size), "counts": _compressed(self.counts())}

    def moved(self, x: float, y: float, size: tuple[int, int]) -> Self:
        """Return the mask within a larger frame of `size`, in which its frame begins at (x, y)."""
        by = np.array((x, y, x, y), float)
        region, xyxy = (np.add(box, by).tolist() for box in (self.region, self.xyxy))
        return replace(self, region=tuple(region), xyxy=tuple(xyxy), size=size)


def rows_of(masks: Sequence[Mask], rows: NDArray[Any] | slice) -> tuple[Mask, ...]:
    """Return the masks picked by a boolean mask, an index array or a slice."""
    if isinstance(rows, slice):
        return tuple(masks[rows])
    return tuple(masks[row] for row in np.arange(len(masks))[rows].tolist())


def _whole_pixels(xyxy: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the pixels whose top left corners lie in a box: first, first, behind the last."""
    limits = (size[1], size[0], size[1], size[0])
    ends = (int(np.ceil(min(max(edge, 0), end))) for edge, end in zip(xyxy, limits, strict=True))
    left, top, right, bottom = ends
    return left, top, max(right, left), max(bottom, top)


def _weights(first: int, end: int, low: float, high: float, cells: int) -> NDArray[np.float32]:
    """Return f32[end-first,cells]: how much each cell counts for each pixel along a side.

    The cells divide the side from `low` to `high` evenly; beyond the centres of the outer cells
    their numbers are constant.
    """
    pixels = np.arange(first, end)
    place = (pixels + 0.5 - low) * (cells / max(high - low, 1e-9)) - 0.5
    place = place.clip(0, cells - 1)
    cell = np.minimum(place.astype(np.int64), max(cells - 2, 0))
    share = (place - cell).astype(np.float32)
    weights = np.zeros((len(pixels), cells), np.float32)
    weights[np.arange(len(pixels)), cell] = 1 - share
    if cells > 1:
        weights[np.arange(len(pixels)), cell + 1] = share
    return weights


def _without_gaps(runs: list[int]) -> list[int]:
    """Return runs with empty runs between them merged; the first may have length 0."""
    joined = runs[:1]
    for place in range(1, len(runs), 2):
        inside, outside = runs[place], runs[place + 1]
        if joined[-1] == 0 and len(joined) > 1:
            joined.pop()
            joined[-1] += inside
        else:
            joined.append(inside)
        joined.append(outside)
    if len(joined) > 1 and joined[-1] == 0:
        joined.pop()
    return joined


def _compressed(counts: Sequence[int]) -> str:
    """Return COCO's compressed text for runs.

    From the third on, a run is stored as its difference to the last but one; every number is
    written in groups of five bits, lowest first, with a sixth bit for continuation, as characters
    from 48 on.
    """
    text = bytearray()
    for place, count in enumerate(counts):
        number = count - counts[place - 2] if place > 2 else count
        while True:
            group = number & 0x1F
            number >>= 5
            more = number != (-1 if group & 0x10 else 0)
            text.append(48 + (group | 0x20 if more else group))
            if not more:
                break
    return text.decode("ascii")
