"""How large a picture says it is, from its first bytes, and the limit on it."""

from __future__ import annotations

import struct

MAX_MEGAPIXELS = 400.0
"""Default limit; the largest cameras have 150 to 250 megapixels."""


def too_large(width: int, height: int, max_megapixels: float) -> str | None:
    """Return in words that a picture has more pixels than allowed, None if it has not."""
    if width * height <= max_megapixels * 1e6:
        return None
    return (
        f"{width}x{height} is {width * height / 1e6:.0f} megapixels, "
        f"more than max_megapixels: {max_megapixels:g}"
    )


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) by the header of a JPEG, PNG, GIF, BMP, WebP or TIFF, else None."""
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg_size(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack(">II", data[16:24])
        if data[:4] == b"GIF8":
            return struct.unpack("<HH", data[6:10])
        if data[:2] == b"BM":
            width, height = struct.unpack("<ii", data[18:26])
            return abs(width), abs(height)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_size(data)
    except (struct.error, IndexError):
        pass
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


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    """Return ImageWidth and ImageLength of the first directory (TIFF 6.0, section 2)."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack(f"{order}I", data[4:8])
    (count,) = struct.unpack(f"{order}H", data[at : at + 2])
    found: dict[int, int] = {}
    for n in range(count):
        entry = data[at + 2 + n * 12 : at + 14 + n * 12]
        tag, kind = struct.unpack(f"{order}HH", entry[:4])
        if tag in (256, 257):
            size = "H" if kind == 3 else "I"
            (found[tag],) = struct.unpack_from(f"{order}{size}", entry, 8)
    return (found[256], found[257]) if len(found) == 2 else None
