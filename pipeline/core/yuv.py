"""Pictures as decoded planes: luma and subsampled chroma, in 4:2:0 half the bytes of BGR.

Colours follow ITU-T H.273: Y, Cb and Cr of a matrix with its weights of red and blue, in limited
range (Y 16 to 235, Cb and Cr 16 to 240) or full range (0 to 255).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.hdr import HDR, to_standard_range
from pipeline.core.scaling import averaged

Image = NDArray[np.uint8]
Size = tuple[int, int]

BT601, BT709, BT2020 = 6, 1, 9
# Weights of red and blue by H.273's matrix number; for any other, FFmpeg assumes BT.601.
_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
_BT601_WEIGHTS = (0.299, 0.114)
# FFmpeg's fast conversion of whole pictures to BGR rounds down at each step: on average by so many
# levels. Without this correction, what is converted here would be brighter.
_ROUNDED_DOWN = (0.8, 1.4, 0.9)


class YuvColour(NamedTuple):
    """Colour space of the planes: the matrix by its H.273 number, and the range.

    `transfer` is an H.273 number, too; only those of HDR matter, 16 (PQ) and 18 (HLG).
    """

    matrix: int = BT601
    full_range: bool = False
    transfer: int = BT709

    @property
    def is_hdr(self) -> bool:
        """Return whether the planes are of HDR; BGR made of them is of standard range."""
        return self.transfer in HDR


DEFAULT_COLOUR = YuvColour()


class YuvImage:
    """One picture: `luma` u8[H,W] and `chroma`, u8[h,w] twice (Cb, Cr) or u8[h,w,2] (NV12).

    Chroma has a row for each row of luma or for every two, the last of which may stand for one,
    and a column for each, every two or every four: 4:2:0 of most cameras and files, 4:2:2 of many
    that send JPEG, 4:4:4. The planes may be views of a decoder's memory: never write to them.
    `to_bgr` converts the whole picture to BGR, of HDR in standard range, if the source has a
    conversion of its own.
    """

    __slots__ = ("_bgr", "_making", "_to_bgr", "chroma", "colour", "luma")

    def __init__(
        self,
        luma: Image,
        chroma: tuple[Image, ...],
        colour: YuvColour = DEFAULT_COLOUR,
        to_bgr: Callable[[], Image] | None = None,
    ) -> None:
        shapes = [plane.shape for plane in chroma]
        if not luma.size or not _fits(luma.shape, shapes):
            raise ValueError(
                f"YuvImage: want Cb and Cr of every pixel, two or four of {luma.shape}, as two "
                f"planes or one of pairs; got {shapes}"
            )
        if any(plane.dtype != np.uint8 for plane in (luma, *chroma)):
            raise ValueError("YuvImage: want uint8 planes")
        self.luma, self.chroma, self.colour = luma, chroma, colour
        self._to_bgr = to_bgr
        self._bgr: Image | None = None
        self._making = threading.Lock()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of the picture as BGR, (H, W, 3)."""
        height, width = self.luma.shape
        return height, width, 3

    @property
    def nbytes(self) -> int:
        """Return the memory of its planes, and of BGR once it is made, in bytes."""
        planes = self.luma.size + sum(plane.size for plane in self.chroma)
        return planes + (0 if self._bgr is None else self._bgr.nbytes)

    @property
    def bgr(self) -> Image:
        """Return the whole picture as BGR u8[H,W,3], read-only, converted once by any thread."""
        if self._bgr is None:
            with self._making:
                if self._bgr is None:
                    height, width = self.luma.shape
                    made = self._to_bgr() if self._to_bgr else self.scaled((height, width))
                    made = made.view()
                    made.flags.writeable = False  # before another thread sees it
                    self._bgr, self._to_bgr = made, None
        return self._bgr

    def scaled(self, size: Size, into: Image | None = None, *, average: bool = False) -> Image:
        """Return the picture at `size` (height, width) as BGR, written to `into` if given.

        The planes are scaled first, so few pixels are converted. `average` takes the mean of the
        pixels that become one; otherwise the nearest are interpolated.
        """
        import cv2

        height, width = size
        planes: list[Any] = [self.luma, *self.chroma]
        for n, plane in enumerate(planes):
            if plane.shape[:2] == size:
                continue
            # Chroma may be enlarged at this size, and INTER_AREA would then take the nearest pixel.
            if average and height <= plane.shape[0] and width <= plane.shape[1]:
                planes[n] = averaged(plane, size)
            else:
                planes[n] = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
        matrix = _bgr_matrix(self.colour)
        # As one array of three channels: Y, Cb, Cr of each pixel.
        bgr: Any = cv2.transform(cv2.merge(planes), matrix, dst=into)
        if self.colour.is_hdr:
            to_standard_range(bgr, self.colour.transfer)
        return np.asarray(bgr, np.uint8)

    def grey(self, size: Size) -> Image:
        """Return the picture at `size` (height, width) in grey levels from 0 to 255."""
        import cv2

        small = averaged(self.luma, size)
        if self.colour.full_range:
            return np.asarray(small, np.uint8)
        small = np.maximum(small, 16)  # values below black would wrap around to bright ones
        return np.asarray(cv2.convertScaleAbs(small, alpha=255 / 219, beta=-16 * 255 / 219))

    def green(self, step: int) -> Image:
        """Return the green of every `step`th pixel of every `step`th row, from the middle on."""
        rows = slice(step // 2, None, step)
        luma = self.luma[rows, rows]
        both = _chroma_of_every(step, luma.shape, self._chroma_steps)
        if len(self.chroma) == 2:
            cb, cr = self.chroma[0][both], self.chroma[1][both]
        else:
            cb, cr = np.moveaxis(self.chroma[0][both], -1, 0)
        to_green = _bgr_matrix(self.colour)[1]
        green = to_green[0] * luma + to_green[1] * cb + to_green[2] * cr + to_green[3]
        return np.asarray(green.round().clip(0, 255).astype(np.uint8))

    def copy_nv12(self, into: Image) -> None:
        """Copy the planes into u8[H*3/2,W]: luma, then interleaved Cb and Cr (NV12).

        H and W are even; where a side of the picture is not, its last row or column is doubled.
        Chroma of more pixels becomes the mean of those that become one.
        """
        height, width = into.shape[0] * 2 // 3, into.shape[1]
        rows, columns = self.luma.shape
        np.copyto(into[:rows, :columns], self.luma)
        into[:rows, columns:width] = into[:rows, columns - 1 : columns]
        into[rows:height] = into[rows - 1]
        size = height // 2, width // 2
        pairs = into[height:].reshape(*size, 2)
        halved = [halved_chroma(plane, size) for plane in self.chroma]
        if len(halved) == 1:
            np.copyto(pairs, halved[0])
        else:
            import cv2

            cv2.merge(halved, dst=pairs)

    @property
    def _chroma_steps(self) -> tuple[int, int]:
        """Return how many rows and how many columns of luma share their chroma."""
        (rows, columns), (height, width) = self.chroma[0].shape[:2], self.luma.shape
        return -(-height // rows), -(-width // columns)


def _fits(luma: tuple[int, ...], chroma: list[tuple[int, ...]]) -> bool:
    """Return whether planes of these shapes make a picture."""
    if not chroma or chroma[0][2:] != ((2,) if len(chroma) == 1 else ()):
        return False
    if len(chroma) > 2 or chroma[-1] != chroma[0] or len(chroma[0]) < 2:
        return False
    rows, columns = ({-(-side // step) for step in (1, 2, 4)} for side in luma)
    return chroma[0][0] in rows and chroma[0][1] in columns


def halved_chroma(plane: Image, size: Size) -> Image:
    """Return chroma at `size` (height, width), as 4:2:0 has it: the mean of what becomes one."""
    rows, columns = plane.shape[:2]
    if (rows, columns) == size:
        return plane
    import cv2

    if columns == size[1] and rows == 2 * size[0]:  # INTER_AREA takes ten times as long
        return np.asarray(cv2.addWeighted(plane[::2], 0.5, plane[1::2], 0.5, 0), np.uint8)
    if rows >= size[0] and columns >= size[1]:
        return averaged(plane, size)
    return np.asarray(cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


@lru_cache(maxsize=16)
def _chroma_of_every(
    step: int, shape: tuple[int, int], shared: tuple[int, int]
) -> tuple[NDArray[np.intp], ...]:
    """Return the index of the chroma of every `step`th pixel of every `step`th row.

    `shared` is how many rows and columns of luma share their chroma.
    """
    at_y, at_x = (
        (step // 2 + step * np.arange(count)) // sharing
        for count, sharing in zip(shape, shared, strict=True)
    )
    return np.ix_(at_y, at_x)


@lru_cache(maxsize=16)
def _bgr_matrix(colour: YuvColour) -> NDArray[np.float32]:
    """Return f32[3,4], the matrix from (Y, Cb, Cr, 1) to B, G and R."""
    inverse = np.linalg.inv(yuv_matrix(colour)[:, :3])
    offset = -inverse @ yuv_matrix(colour)[:, 3] - _ROUNDED_DOWN
    return np.hstack([inverse, offset[:, None]]).astype(np.float32)


@lru_cache(maxsize=16)
def yuv_matrix(colour: YuvColour) -> NDArray[np.float64]:
    """Return f64[3,4], the matrix from (B, G, R, 1) to Y, Cb and Cr (H.273, equations 38 to 40)."""
    red, blue = _WEIGHTS.get(colour.matrix, _BT601_WEIGHTS)
    luma = np.array([blue, 1 - red - blue, red])
    cb = (np.array([1.0, 0, 0]) - luma) / (2 * (1 - blue))
    cr = (np.array([0, 0, 1.0]) - luma) / (2 * (1 - red))
    if colour.full_range:
        scale, base = (1.0, 1.0), 0.0
    else:
        scale, base = (219 / 255, 224 / 255), 16.0
    rows = np.stack([luma * scale[0], cb * scale[1], cr * scale[1]])
    return np.hstack([rows, [[base], [128.0], [128.0]]])
