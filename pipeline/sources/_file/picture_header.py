"""Reads a picture's header before decoding: reasons to refuse it, orientation, alpha, pages."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from pipeline.sources._file.heif import heif_header
from pipeline.sources._file.picture_size import picture_size, tiff_tags, too_large

READABLE = "JPEG, PNG, WebP, AVIF, HEIC, GIF, TIFF, BMP, JPEG 2000 or Netpbm"
"""Supported formats, for messages."""
MAX_SCANS = 20
"""Scans of a progressive JPEG that a picture of `max_megapixels` may have; smaller ones may have
more, by as much as they are smaller. Encoders write about 10."""

_MAX_PAGES = 10_000
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION, _EXTRA_SAMPLES, _DNG_VERSION = 274, 338, 50706
_OTHERS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(begins, re.DOTALL | re.IGNORECASE), what)
    for begins, what in (
        (rb"8BPS", "a Photoshop file (PSD)"),
        (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "JPEG XL"),
        (rb"II\xbc", "JPEG XR"),
        (rb"v/1\x01", "OpenEXR"),
        (rb"#\?(RADIANCE|RGBE)", "a Radiance HDR"),
        (rb"P[Ff]\s", "a PFM"),
        (rb"\x59\xa6\x6a\x95", "a Sun raster"),
        (rb"qoif", "a QOI"),
        (rb"\x00\x00[\x01\x02]\x00", "an icon (ICO)"),
        (rb"SIMPLE  =", "a FITS"),
        (rb".{128}DICM", "a DICOM"),
        (rb"IIU\x00|IIRO|FUJIFILM", "a camera's raw file"),
        (rb"%PDF", "a PDF"),
        (rb"%!PS", "PostScript"),
        (rb"\s*(<\?xml.*)?<svg", "an SVG"),
        (rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", "a web page"),
        (rb"PK\x03\x04", "a ZIP archive"),
        (rb"\x1f\x8b", "a gzip archive"),
        (rb"RIFF.{4}AVI |\x1a\x45\xdf\xa3|\x00\x00\x01[\xb3\xba]", "a video"),
        (rb".{4}ftyp(?!avi|mif|msf|hei|hev|miaf)", "a video"),
    )
)
"""First bytes of files mistaken for pictures, and what they are."""


def other_kind(head: bytes) -> str | None:
    """Describe a file that is not a supported picture, if its type is known."""
    return next((what for begins, what in _OTHERS if begins.match(head)), None)


def objection(data: bytes, max_megapixels: float) -> str | None:
    """Return why a picture must not be decoded, by its header and its end; None if it may be."""
    if not data:
        return "the file is empty"
    size = picture_size(data)
    if size is None:
        kind = other_kind(data[:4096])
        if kind is not None:
            return f"it is {kind}; want {READABLE}"
        return "it is cut off or of a kind that is not known"
    if 0 in size:
        return f"its header says {size[0]}x{size[1]} pixels"
    if (why := too_large(*size, max_megapixels)) is not None:
        return why
    if data[:2] == b"\xff\xd8":
        return _jpeg_objection(data, size[0] * size[1], max_megapixels * 1e6)
    if data[:4] in _TIFF and _is_raw(data):
        return f"it is a camera's raw file; want {READABLE}"
    return None


def _jpeg_objection(data: bytes, pixels: int, max_pixels: float) -> str | None:
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        return "it is cut off, the end of the JPEG is missing"
    # A small file of thousands of scans takes hours: each goes over all pixels.
    allowed = max(MAX_SCANS, int(MAX_SCANS * max_pixels / pixels))
    if data.count(b"\xff\xda") > allowed and (scans := _scans(data)) > allowed:
        return f"it has {scans} scans, more than the {allowed} allowed for its size"
    return None


def _scans(data: bytes) -> int:
    """Return the number of scans before the end of the first picture (ITU-T T.81, B.1.1)."""
    at, count = 2, 0
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xD9:
            break
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xDA:
            count += 1
            found = _NEXT_MARKER.search(data, at)
            at = len(data) if found is None else found.start()
    return count


_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""End of a scan's data, in which 0xFF is followed by 0 or is a restart marker."""


def _is_raw(data: bytes) -> bool:
    """Return whether a TIFF is a camera's raw file, whose first picture is its small preview."""
    try:
        tags = tiff_tags(data)
    except struct.error:
        return False
    return data[8:10] == b"CR" or _DNG_VERSION in tags or bool(tags.get(254, 0) & 1)


def orientation_of(data: bytes) -> int:
    """Return the EXIF orientation of a PNG or WebP, 1 to 8; 1 if it has none.

    OpenCV applies that of a TIFF whatever flags it is given.
    """
    exif = b""
    if data[:8] == _PNG:
        exif = next((body for kind, body in _png_chunks(data) if kind == b"eXIf"), b"")
    elif data[:4] == b"RIFF":
        exif = next((body for kind, body in _riff_chunks(data) if kind == b"EXIF"), b"")
    try:
        found = tiff_tags(exif.removeprefix(b"Exif\0\0")).get(_ORIENTATION, 1)
    except struct.error:
        return 1
    return found if 1 <= found <= 8 else 1


def alpha_of(data: bytes) -> str | None:
    """Return "straight" or "premultiplied" if a picture may be transparent, else None.

    It describes the colours that OpenCV's decoder returns.
    """
    if data[:8] == _PNG:
        head = data[: max(data.find(b"IDAT"), 0)]
        return "straight" if data[25] in (4, 6) or b"tRNS" in head else None
    if data[:4] in _TIFF:
        return _tiff_alpha(data)
    return "straight" if _has_alpha(data) else None


def _has_alpha(data: bytes) -> bool:
    kind = data[12:16]
    if data[:4] == b"RIFF":
        if kind == b"VP8L":
            return bool(data[24] & 0x10)
        return kind == b"VP8X" and bool(data[20] & 0x10)
    if data[:3] == b"GIF":
        at = data.find(b"!\xf9\x04")
        return at > 0 and bool(data[at + 3 : at + 4] and data[at + 3] & 1)
    if data[:2] == b"BM":  # with a header that has a mask for alpha
        header = int.from_bytes(data[14:18], "little")
        return header >= 56 and any(data[66:70])
    if data[4:8] == b"ftyp":
        return b":auxiliary:alpha" in data[:65536]
    return b"cdef" in data[:4096] if data[4:8] == b"jP  " else False


def _tiff_alpha(data: bytes) -> str | None:
    """Return the kind of alpha by ExtraSamples; libtiff multiplies 8-bit colours by their alpha."""
    tags = tiff_tags(data)
    kind, bits = tags.get(_EXTRA_SAMPLES, 0), tags.get(258, 8)
    if kind not in (1, 2):
        return None
    return "straight" if kind == 2 and bits == 16 else "premultiplied"


def transfer_of(data: bytes) -> int | None:
    """Return the transfer characteristic that the header names (AVIF, HEIC, PNG's cICP), if any.

    It is a number of ITU-T H.273, such as those of HDR.
    """
    if data[:4] == b"\x89PNG":
        for kind, body in _png_chunks(data):
            if kind == b"cICP" and len(body) == 4:
                return body[1]
            if kind == b"IDAT":
                break
        return None
    header = heif_header(data)
    return None if header is None else header.transfer


def page_count(data: bytes) -> int:
    """Return how many pictures a file holds: 1, a number, or 0 for several of unknown number."""
    try:
        if data[:4] == b"\x89PNG":
            at = data.find(b"acTL", 0, data.find(b"IDAT"))
            return int.from_bytes(data[at + 4 : at + 8], "big") if at > 0 else 1
        if data[:4] == b"RIFF" and data[12:16] == b"VP8X" and data[20] & 2:
            return data.count(b"ANMF")
        if data[:3] == b"GIF":
            return 1 if data.count(b"!\xf9\x04") < 2 else 0
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_pages(data)
        header = heif_header(data)
    except (struct.error, IndexError):
        return 1
    return 0 if header is not None and header.is_sequence else 1


def _tiff_pages(data: bytes) -> int:
    """Return the number of directories, without smaller copies (NewSubfileType 1).

    The directories of a hostile file may refer to each other in a circle, and share entries.
    """
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    pages, seen, left = 0, set[int](), len(data)
    while at and at not in seen and len(seen) < _MAX_PAGES:
        seen.add(at)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        left -= 6 + count * 12
        if left < 0:
            break
        entries = [struct.unpack_from(f"{order}HHII", data, at + 2 + n * 12) for n in range(count)]
        pages += not any(tag == 254 and value & 1 for tag, _, _, value in entries)
        (at,) = struct.unpack_from(f"{order}I", data, at + 2 + count * 12)
    return max(1, pages)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + size]
        at += 12 + size


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
