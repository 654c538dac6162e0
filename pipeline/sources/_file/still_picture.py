"""Reader of pictures from files and bytes, for every command and the Python interface."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.data import Image
from pipeline.core.errors import SourceError
from pipeline.core.hdr import HDR, to_standard_range
from pipeline.core.install_hints import install_command
from pipeline.core.media_file import open_media
from pipeline.core.paths import home_path
from pipeline.sources._file.heif import HeifHeader, heif_header
from pipeline.sources._file.picture_header import (
    READABLE,
    alpha_of,
    objection,
    orientation_of,
    other_kind,
    page_count,
    transfer_of,
)
from pipeline.sources._file.picture_size import MAX_MEGAPIXELS

_HEAD_BYTES = 4096
_MAX_BYTES_PER_PIXEL = 8
"""Maximum bytes per pixel of an uncompressed file: four channels of 16 bits."""
_MAX_OTHER_BYTES = 2**26
"""Maximum bytes besides the pixels: previews, and the video that phones append to a picture."""
_BAND_PIXELS = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class StillPicture:
    """A decoded picture, or None with the reason.

    `pages` is how many pictures the file holds, of which `image` is the first; 0 for several of
    unknown number.
    """

    image: Image | None
    why: str = ""
    pages: int = 1


def read_picture(
    picture: str | os.PathLike[str] | bytes, max_megapixels: float = MAX_MEGAPIXELS
) -> Image:
    """Read a picture from a file, or from a file's bytes, upright, as BGR u8[H,W,3].

    Supports JPEG, PNG, WebP, AVIF, HEIC (tiled ones with the extra `heic`), GIF, TIFF, BMP, JPEG
    2000 and Netpbm: oriented by EXIF, 16 bits reduced to 8, HDR in standard range, transparent
    parts white, and the first picture of animations and multi-page files. Thread-safe.

    Raises SourceError with the reason in one line. A picture with more than `max_megapixels`, by
    its header, is refused before decoding.
    """
    if isinstance(picture, bytes | bytearray | memoryview):
        where, found = "picture", decode_picture(bytes(picture), max_megapixels)
    else:
        try:
            path = home_path(picture)
        except TypeError:
            kind = type(picture).__name__
            raise SourceError(
                f"picture: want a path or the bytes of a picture's file, got {kind}"
            ) from None
        where, found = str(path), load_picture(path, max_megapixels)
    if found.image is None:
        raise SourceError(f"{where}: not a readable picture: {found.why}")
    return found.image


def load_picture(path: Path, max_megapixels: float) -> StillPicture:
    """Read the picture in a file; a reason is returned instead of raising an exception.

    The file is not read by OpenCV, which crashes on names that are not UTF-8.
    """
    try:
        data = _content(path, max_megapixels)
        if isinstance(data, bytes):
            return decode_picture(data, max_megapixels)
    except MemoryError:
        return StillPicture(None, "there is not enough memory for it")
    except (OSError, ValueError) as error:  # ValueError: a null character in its name
        return StillPicture(None, getattr(error, "strerror", None) or "it cannot be read")
    return StillPicture(None, data)


def _content(path: Path, max_megapixels: float) -> bytes | str:
    """Return a file's bytes, or why they are not worth reading: a pipe, or endless zeros."""
    there = path.stat()
    if not stat.S_ISREG(there.st_mode):
        return "it is a folder" if path.is_dir() else "it is a pipe or device, not a file"
    limit = int(max_megapixels * 1e6 * _MAX_BYTES_PER_PIXEL) + _MAX_OTHER_BYTES
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if (kind := other_kind(head)) is not None:
            return f"it is {kind}; want {READABLE}"
        # No more at once than there is: Python takes the memory for what is asked of it.
        data = head + file.read(max(0, min(there.st_size, limit + 1) - len(head)))
    if len(data) > limit:
        return (
            f"its file is larger than {limit / 1e6:.0f} MB, by max_megapixels: {max_megapixels:g}"
        )
    return data


def decode_picture(data: bytes, max_megapixels: float) -> StillPicture:
    """Decode the picture in a file's bytes, oriented as it says, to BGR u8[H,W,3].

    Its size is read from the header first: pictures above `max_megapixels`, or without a size, are
    not decoded. Truncated pictures count as unreadable.
    """
    if (why := objection(data, max_megapixels)) is not None:
        return StillPicture(None, why)
    header = heif_header(data)
    if header is not None and not header.is_avif:
        image, why = _decoded_heic(data, header)
    else:
        image, why = _decoded(data, header), ""
    if image is None:
        why = why or "it is damaged, cut off or of a kind that cannot be decoded"
        return StillPicture(None, why)
    if (transfer := transfer_of(data)) in HDR:
        image = np.require(image, requirements=["C", "W"])
        to_standard_range(image, transfer)
    return StillPicture(image, pages=page_count(data))


def _decoded(data: bytes, header: HeifHeader | None) -> Image | None:
    """Return what OpenCV decodes, upright, None if it cannot."""
    import cv2

    # OpenCV follows EXIF; AVIF says it in its own way, and repeats it in EXIF.
    flags = cv2.IMREAD_COLOR | (0 if header is None else cv2.IMREAD_IGNORE_ORIENTATION)
    array = np.frombuffer(data, np.uint8)
    image: Any = None
    try:
        if (alpha := alpha_of(data)) is not None:
            image = cv2.imdecode(array, cv2.IMREAD_UNCHANGED)
        if image is not None and image.ndim == 3 and image.shape[2] == 4:
            image = _on_white(image, is_premultiplied=alpha == "premultiplied")
            image = _oriented(image, orientation_of(data))
        else:
            image = cv2.imdecode(array, flags)
    except cv2.error as error:
        if error.code == cv2.Error.STS_NO_MEM:
            raise MemoryError from None
        return None
    return image if image is None or header is None else _upright(image, header)


def _decoded_heic(data: bytes, header: HeifHeader) -> tuple[Image | None, str]:
    """Return a HEIC's picture, or None and the reason: FFmpeg decodes those without tiles."""
    try:
        import pi_heif as heif
    except ImportError:
        try:
            import pillow_heif as heif
        except ImportError:
            heif = None
    if heif is not None:
        return _from_libheif(heif, data), ""
    if header.is_tiled:
        return None, f"it is a HEIC made of tiles: {install_command('heic')}"
    import av

    try:
        with open_media(io.BytesIO(data)) as container:
            image: Any = next(container.decode(video=0)).to_ndarray(format="bgr24")
    except (av.FFmpegError, StopIteration, IndexError, ValueError):
        return None, ""
    return _upright(image, header), ""


def _from_libheif(heif: Any, data: bytes) -> Image | None:
    """Return what libheif decodes, which is upright."""
    try:
        opened = heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True, bgr_mode=True)
        image = np.asarray(opened)
    except (ValueError, RuntimeError, OSError, EOFError, SyntaxError):
        return None
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, 2)
    if image.shape[2] == 4:
        return _on_white(image.copy(), is_premultiplied=opened.mode.endswith("a"))
    return np.ascontiguousarray(image)


def _on_white(image: Any, *, is_premultiplied: bool) -> Image:
    """Return the BGR of a BGRA picture, u8 or u16, on a white background.

    A fully transparent one is taken as opaque: its alpha channel is a mistake.
    """
    height, width = image.shape[:2]
    result = np.empty((height, width, 3), np.uint8)
    is_empty = not image[..., 3].any()
    rows = max(1, _BAND_PIXELS // width)
    for first in range(0, height, rows):
        band = image[first : first + rows]
        if band.dtype == np.uint16:
            band = (band >> 8).astype(np.uint8)
        bgr, alpha = band[..., :3], band[..., 3:].astype(np.uint16)
        if is_empty:
            result[first : first + rows] = bgr
        elif is_premultiplied:
            result[first : first + rows] = np.minimum(bgr + (255 - alpha), 255)
        else:
            result[first : first + rows] = (bgr * alpha + 255 * (255 - alpha) + 127) // 255
    return result


def _oriented(image: Image, orientation: int) -> Image:
    """Return a stored picture oriented by EXIF's orientation, 1 to 8."""
    if orientation > 4:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _upright(image: Image, header: HeifHeader) -> Image:
    if header.angle:
        image = np.rot90(image, header.angle)
    if header.mirror is not None:
        image = image[:, ::-1] if header.mirror == "left-right" else image[::-1]
    return np.ascontiguousarray(image)
