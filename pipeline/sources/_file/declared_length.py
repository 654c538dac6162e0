"""Truncation check: whether a video file is as long as its outermost structure declares."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

EBML, MATROSKA_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_MP4_FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide"})
TS_SYNC, TS_PACKET = 0x47, 188
# Some writers round sizes up to even or aligned numbers.
PADDING = 16


def missing_bytes(path: Path) -> int:
    """Return how many bytes of the container at `path` are cut off, 0 if none or unknown.

    Supports RIFF (AVI), ISO base media (MP4, MOV, 3GP), EBML (Matroska, WebM) and an incomplete
    last MPEG-TS packet. This works for any frame rate and any index; raw streams and program
    streams do not declare a length. Raises OSError if the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(TS_PACKET + 1)
        file.seek(0)
        if head[:1] == head[TS_PACKET:] == bytes([TS_SYNC]):
            return -size % TS_PACKET
        end = _declared_end(file, head)
    missing = 0 if end is None else end - size
    return missing if missing > PADDING else 0


def is_whole(path: Path) -> bool:
    """Return whether the container itself proves that nothing is cut off its end.

    RIFF and Matroska do, by the size of their content; boxes and packets may end anywhere. Raises
    OSError if the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        file.seek(0)
        end = _declared_end(file, head) if head[:4] in (b"RIFF", EBML) else None
    return end is not None and size + PADDING >= end


def _declared_end(file: BinaryIO, head: bytes) -> int | None:
    if head[:4] == b"RIFF":
        return _end_of_riff(file)
    if head[:4] == EBML:
        return _end_of_segment(file)
    if head[4:8] in _MP4_FIRST_BOXES:
        return _end_of_boxes(file)
    return None


def _end_of_riff(file: BinaryIO) -> int | None:
    """Return where the last RIFF chunk ends (AVI over 1 GB has several in sequence)."""
    end = 0
    while True:
        file.seek(end)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            return end or None
        size = int.from_bytes(head[4:], "little")
        # A recorder that was killed, or wrote to a pipe, never returned to fill in the size.
        if size in (0, 0xFFFFFFFF):
            return None
        end += 8 + size


def _end_of_boxes(file: BinaryIO) -> int | None:
    """Return where the last top-level box ends (ISO/IEC 14496-12, section 4.2)."""
    end = 0
    while True:
        file.seek(end)
        head = file.read(16)
        if len(head) < 8 or not head[4:8].isalnum():
            return end or None
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8:  # 0 means "to the end of the file"
            return None
        end += size


def _end_of_segment(file: BinaryIO) -> int | None:
    """Return where the Segment element ends (RFC 8794, sections 4 and 5)."""
    file.read(4)
    header_size = ebml_size(file)
    if header_size is None:
        return None
    file.seek(header_size, 1)
    if file.read(4) != MATROSKA_SEGMENT:
        return None
    size = ebml_size(file)
    return None if size is None else file.tell() + size


def ebml_size(file: BinaryIO) -> int | None:
    """Return the variable-length number at the file's position; None for "unknown" and the end."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    more = 8 - first[0].bit_length()
    value_bits = 7 * (more + 1)
    value = int.from_bytes(first + file.read(more), "big") & ((1 << value_bits) - 1)
    return None if value == (1 << value_bits) - 1 else value
