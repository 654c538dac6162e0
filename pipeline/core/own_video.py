"""Recognises videos that this program wrote by a tag in the file: they are no recordings."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

OWN_TAG = {"encoding_tool": "Trackline annotated video"}
"""The tag, as FFmpeg's muxers take it."""
_MARK = OWN_TAG["encoding_tool"].encode()
_HEAD_BYTES = 1 << 16
_MAX_BOXES = 64


def is_own_video(path: Path) -> bool:
    """Return whether a file is an MP4 or MKV that this program wrote; takes a few short reads.

    False if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
            if head[:4] == b"\x1a\x45\xdf\xa3":  # EBML: tags come before the pictures
                return _MARK in file.read(_HEAD_BYTES)
            return head[4:] == b"ftyp" and _MARK in _user_data(file)
    except OSError:
        return False


def _user_data(file: BinaryIO) -> bytes:
    """Return the beginning of an MP4's box moov/udta, b"" without one (ISO/IEC 14496-12, 8.10)."""
    at = 0
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind == b"udta":
            return file.read(min(size, _HEAD_BYTES))
        if kind == b"moov":
            at += 8  # descend into it
            continue
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size < 8:
            return b""
        at += size
    return b""
