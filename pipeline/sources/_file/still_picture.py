"""One still picture, from its file's bytes to an upright BGR array."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.core.data import Image
from pipeline.sources._file.heif import HeifHeader, heif_header
from pipeline.sources._file.picture_size import picture_size, too_large

_MAX_PAGES = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class StillPicture:
    """A decoded picture, or None and in words why there is none.

    `pages` is how many pictures the file holds, of which `image` is the first; 0 for several of
    unknown number.
    """

    image: Image | None
    why: str = ""
    pages: int = 1


def decode_picture(data: bytes, max_megapixels: float) -> StillPicture:
    """Return the picture in a file's bytes, turned and mirrored as it says, as BGR u8[H,W,3].

    Its size is read from the header first: more than `max_megapixels` is not decoded, nor is what
    does not say its size. What is cut off counts as unreadable.
    """
    import cv2

    if not data:
        return StillPicture(None, "the file is empty")
    if (why := _objection(data, max_megapixels)) is not None:
        return StillPicture(None, why)
    image: Any
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        return StillPicture(None, "it is damaged, cut off or of a kind that cannot be decoded")
    header = heif_header(data)
    if header is not None:
        image = _upright(image, header)  # OpenCV follows EXIF, which AVIF does not use for this
    pages = 0 if header is not None and header.is_sequence else _pages(data)
    return StillPicture(image, pages=pages)


def _objection(data: bytes, max_megapixels: float) -> str | None:
    """Return why a picture is not to be decoded, by its header and end; None if it is."""
    size = picture_size(data)
    if size is None:
        return "it is cut off or of a kind that is not known"
    if (why := too_large(*size, max_megapixels)) is not None:
        return why
    if data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        return "it is cut off, the end of the JPEG is missing"
    return None


def _upright(image: Image, header: HeifHeader) -> Image:
    if header.angle:
        image = np.rot90(image, header.angle)
    if header.mirror is not None:
        image = image[:, ::-1] if header.mirror == "left-right" else image[::-1]
    return np.ascontiguousarray(image)


def _pages(data: bytes) -> int:
    """Return how many pictures an APNG, animated WebP or TIFF holds; 1 for what else it is."""
    try:
        if data[:4] == b"\x89PNG":
            at = data.find(b"acTL", 0, data.find(b"IDAT"))
            return int.from_bytes(data[at + 4 : at + 8], "big") if at > 0 else 1
        if data[:4] == b"RIFF" and data[12:16] == b"VP8X" and data[20] & 2:
            return data.count(b"ANMF")
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_pages(data)
    except (struct.error, IndexError):
        pass
    return 1


def _tiff_pages(data: bytes) -> int:
    """Return how many directories there are, smaller copies (NewSubfileType 1) left out."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    pages = 0
    for _ in range(_MAX_PAGES):
        if at == 0:
            break
        (count,) = struct.unpack_from(f"{order}H", data, at)
        entries = [struct.unpack_from(f"{order}HHII", data, at + 2 + n * 12) for n in range(count)]
        pages += not any(tag == 254 and value & 1 for tag, _, _, value in entries)
        (at,) = struct.unpack_from(f"{order}I", data, at + 2 + count * 12)
    return max(1, pages)
