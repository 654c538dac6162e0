"""Checks a container's own structure, when times raise doubts: is it whole, and what it counts.

Demuxers skip to the next part that makes sense, and often do not report it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipeline.sources._file.declared_length import (
    EBML,
    MATROSKA_SEGMENT,
    PADDING,
    TS_PACKET,
    TS_SYNC,
    ebml_size,
)

_BLOCK_PACKETS = 1 << 14
_RIFF_HEADER = 12
_INDEX_ENTRY = np.dtype([("id", "S4"), ("flags", "<u4"), ("place", "<u4"), ("size", "<u4")])


def structure_fault(path: Path, pid: int) -> str:
    """Return what is wrong with a container's structure, "" if nothing, or if it cannot be known.

    Supports MPEG-TS (`pid` is the video's), Matroska and AVI. Raises OSError.
    """
    with path.open("rb") as file:
        head = file.read(TS_PACKET + 1)
        file.seek(0)
        if head[:1] == head[TS_PACKET:] == bytes([TS_SYNC]):
            return _transport_fault(file, pid)
        chunks = None
        if head[:4] == EBML:
            chunks = _matroska_ends(file)
        elif head[:4] == b"RIFF":
            chunks = _riff_ends(file)
        size = path.stat().st_size
        for start, end in chunks or ():
            if end is None or end > size + PADDING:
                return f"its structure is broken at byte {start}"
    return ""


def empty_frames(path: Path, stream: int) -> int:
    """Return how many frames of an AVI stream are empty and repeat the previous picture.

    They have a size of 0 in its index; 0 without an index. Raises OSError.
    """
    with path.open("rb") as file:
        file.seek(_RIFF_HEADER)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"idx1":
                data = file.read(size)
                entries = np.frombuffer(data[: len(data) // 16 * 16], _INDEX_ENTRY)
                own = np.isin(entries["id"], [b"%02ddc" % stream, b"%02ddb" % stream])
                return int((own & (entries["size"] == 0)).sum())
            file.seek(size + size % 2, 1)
    return 0


def _transport_fault(file: BinaryIO, pid: int) -> str:
    """Return what a transport stream has lost: overwritten packets, or gaps in their counters.

    If a counter restarts at a random access point, files may have been joined: elsewhere a break is
    a loss (ISO/IEC 13818-1, 2.4.3.2 to 2.4.3.5). A stream that marks no random access points may be
    joined anywhere.
    """
    unreadable = inside = at_others = 0
    last, marks_keys = -1, False
    while data := file.read(TS_PACKET * _BLOCK_PACKETS):
        cells = np.frombuffer(data, np.uint8)[: len(data) // TS_PACKET * TS_PACKET]
        cells = cells.reshape(-1, TS_PACKET)
        is_packet = cells[:, 0] == TS_SYNC
        unreadable += int((~is_packet).sum())
        pids = (cells[:, 1].astype(np.int32) & 0x1F) << 8 | cells[:, 2]
        own = cells[is_packet & (pids == pid)]
        own = own[(own[:, 3] & 0x10) > 0]  # counted are those with a payload
        if not len(own):
            continue
        counters = (own[:, 3] & 0x0F).astype(np.int16)
        before = np.concatenate(([counters[0] - 1 if last < 0 else last], counters[:-1]))
        steps = (counters - before) % 16
        begins = (own[:, 1] & 0x40) > 0
        flags = np.where(((own[:, 3] & 0x20) > 0) & (own[:, 4] > 0), own[:, 5], 0)
        is_key = (flags & 0x40) > 0
        lost = (steps > 1) & ~((flags & 0x80) > 0)  # 0: sent twice, as it may be
        inside += int((lost & ~begins).sum())
        at_others += int((lost & begins & ~is_key).sum())
        marks_keys = marks_keys or bool(is_key.any())
        last = int(counters[-1])
    breaks = inside + at_others * marks_keys
    if unreadable:
        return f"{unreadable} of its transport packets are unreadable"
    return f"its transport packets are not complete at {breaks} places" if breaks else ""


def _matroska_ends(file: BinaryIO) -> Iterator[tuple[int, int | None]]:
    """Yield (start, end) of the Segment's elements; end None if there is no element."""
    file.read(4)
    header_size = ebml_size(file)
    file.seek(header_size or 0, 1)
    if header_size is None or file.read(4) != MATROSKA_SEGMENT:
        return
    size = ebml_size(file)
    if size is None:  # a recorder that wrote to a pipe
        return
    end_of_all = file.tell() + size
    while (start := file.tell()) < end_of_all:
        first = file.read(1)
        if not first:
            return
        if first[0] < 0x10:  # IDs have one to four bytes
            yield start, None
            return
        file.seek(8 - first[0].bit_length(), 1)
        at = file.tell()
        length = file.read(1)
        file.seek(at)
        size = ebml_size(file)
        if size is None:  # 0 begins no size; all ones is "unknown", as of a live stream
            if length == b"\0":
                yield start, None
            return
        end = file.tell() + size
        yield start, end
        file.seek(end)


def _riff_ends(file: BinaryIO) -> Iterator[tuple[int, int | None]]:
    """Yield (start, end) of the chunks in every RIFF; end None if there is no chunk."""
    while (start := file.tell()) >= 0:
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"RIFF":  # AVI over 1 GB has several, one after the other
            file.seek(4, 1)
            continue
        if size == 0xFFFFFFFF or not any(head):  # a recorder that was killed; space kept free
            return
        end = start + 8 + size + size % 2
        yield start, end if head[:4].isascii() and head[:4].decode().isprintable() else None
        file.seek(end)
