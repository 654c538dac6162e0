"""Limit on the size of pictures, and the size in a picture's header."""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.sources._file.heif import boxes, heif_header

if TYPE_CHECKING:
    from av import FFmpegError
    from av.video.codeccontext import VideoCodecContext

MAX_MEGAPIXELS = 400.0
"""Default limit; the largest cameras have 150 to 250 megapixels."""
_MAX_TAGS = 4096
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Types of TIFF's tags: BYTE, SHORT, LONG and LONG8."""


def too_large(width: int, height: int, max_megapixels: float) -> str | None:
    """Return the message that a picture has more pixels than allowed, None if it has not."""
    if width * height <= max_megapixels * 1e6:
        return None
    return (
        f"{width}x{height} is {width * height / 1e6:.0f} megapixels, "
        f"more than max_megapixels: {max_megapixels:g}"
    )


def decoder_limit(max_megapixels: float) -> dict[str, str]:
    """Return the option that makes FFmpeg's decoders refuse larger pictures."""
    return {"max_pixels": str(min(int(max_megapixels * 1e6), 2**31 - 1))}


def was_too_large(error: FFmpegError, context: VideoCodecContext, max_megapixels: float) -> bool:
    """Return whether a decoder with `decoder_limit` failed because of it.

    The error differs: a refused size is set to 0, or kept without allocated memory.
    """
    if error.errno == errno.ENOMEM or too_large(context.width, context.height, max_megapixels):
        return True
    return error.errno == errno.EINVAL and context.width == 0


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) from the header of a picture, None for unknown formats.

    Supports JPEG, PNG, GIF, BMP, WebP, TIFF, JPEG 2000, HEIC, AVIF and Netpbm (PBM to PAM).
    """
    for begins, size in _PARSERS:
        if begins.match(data):
            try:
                return size(data)
            except (struct.error, ValueError, IndexError):
                return None
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return the size in the frame header, SOF0 to SOF15 (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # without a length
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Return the size of a VP8, VP8L or VP8X chunk (RFC 9649)."""
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def tiff_tags(data: bytes) -> dict[int, int]:
    """Return {tag: number} of the first directory of a TIFF or of EXIF, whole numbers only.

    TIFF 6.0, section 2, and BigTIFF. If a tag occurs twice the first counts, as in libtiff. Raises
    struct.error if the directory is cut off.
    """
    order = "<" if data[:2] == b"II" else ">"
    is_big = b"+" in data[2:4]
    offset, number, entry, value = ("Q", "Q", 20, 12) if is_big else ("I", "H", 12, 8)
    (at,) = struct.unpack_from(order + offset, data, 8 if is_big else 4)
    (count,) = struct.unpack_from(order + number, data, at)
    at += struct.calcsize(number)
    found: dict[int, int] = {}
    for n in range(min(count, _MAX_TAGS)):
        tag, kind = struct.unpack_from(f"{order}HH", data, at + n * entry)
        if kind in _WHOLE_NUMBERS and tag not in found:
            (found[tag],) = struct.unpack_from(
                order + _WHOLE_NUMBERS[kind], data, at + n * entry + value
            )
    return found


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    """Return ImageWidth and ImageLength of the first directory."""
    tags = tiff_tags(data)
    return (tags[256], tags[257]) if 256 in tags and 257 in tags else None


def _netpbm_size(data: bytes) -> tuple[int, int] | None:
    """Return the size in the text at the head of a PBM, PGM, PPM or PAM."""
    words = re.sub(rb"#[^\r\n]*", b" ", data[2:2048]).split()
    if data[1:2] == b"7":
        return int(words[words.index(b"WIDTH") + 1]), int(words[words.index(b"HEIGHT") + 1])
    return int(words[0]), int(words[1])


def _jpeg2000_size(data: bytes) -> tuple[int, int]:
    """Return the size in a codestream's SIZ (ITU-T T.800, A.5.1)."""
    right, bottom, left, top = struct.unpack_from(">4I", data, 8)
    return right - left, bottom - top


def _boxed_jpeg2000_size(data: bytes) -> tuple[int, int] | None:
    """Return the size in the codestream's box (ITU-T T.800, I.5.4), or None without one.

    The boxes are walked: a search would find a box's name in another box's content.
    """
    for kind, body in boxes(data):
        if kind == b"jp2c":
            return _jpeg2000_size(body)
    return None


def _bmp_size(data: bytes) -> tuple[int, int]:
    if data[14:18] == b"\x0c\0\0\0":  # OS/2's header
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _heif_size(data: bytes) -> tuple[int, int] | None:
    header = heif_header(data)
    return None if header is None else (header.width, header.height)


_PARSERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], tuple[int, int] | None]], ...] = (
    (re.compile(rb"\xff\xd8"), _jpeg_size),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png_size),
    (re.compile(rb"GIF8"), _gif_size),
    (re.compile(rb"BM"), _bmp_size),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), _webp_size),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), _tiff_size),
    (re.compile(rb"P[1-7]"), _netpbm_size),
    (re.compile(rb".{4}ftyp", re.DOTALL), _heif_size),
    (re.compile(rb"\0\0\0\x0cjP  \r\n"), _boxed_jpeg2000_size),
    (re.compile(rb"\xff\x4f\xff\x51"), _jpeg2000_size),
)
"""First bytes of each format, and the function that reads its size."""
