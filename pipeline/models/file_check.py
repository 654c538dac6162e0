"""Check of downloaded weights: complete files, or other content that servers send."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

SUFFIXES = (".onnx", ".pt")
"""Downloadable formats: those of a single file."""

_NOT_WEIGHTS = (
    (b"<", "a web page"),
    (b"{", "a JSON answer"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
)
_LEGACY_PICKLE = b"\x80\x02"
_LENGTH_PREFIXED, _VARINT, _FIXED64, _FIXED32 = 2, 0, 1, 5


def why_not_weights(path: Path, suffix: str) -> str | None:
    """Return what is wrong with a file, None if it can be what `suffix` says.

    Truncated files are detected: `.pt` is a zip archive with its directory at the end (files saved
    by torch before 1.6 are bare pickles and pass), `.onnx` a protobuf message whose fields carry
    their lengths, and `.xml`, an OpenVINO network, begins and ends with its `net` element. For the
    weights beside it, `.bin`, the only check is that they are not a server's error page or pointer.
    """
    with path.open("rb") as file:
        head = file.read(64).lstrip()
    if not head:
        return "it is empty"
    if suffix == ".xml":
        content = path.read_bytes()
        is_whole = b"<net " in content[:256] and content.rstrip().endswith(b"</net>")
        return None if is_whole else "it is no whole OpenVINO network"
    for start, what in _NOT_WEIGHTS:
        if head.startswith(start):
            return f"it is {what}"
    if suffix == ".bin":
        return None
    if suffix == ".pt":
        if head.startswith(_LEGACY_PICKLE) or zipfile.is_zipfile(path):
            return None
        return "it is no whole .pt file"
    return None if _is_protobuf(path) else "it is no whole .onnx file"


def _is_protobuf(path: Path) -> bool:
    """Return whether the file is a sequence of whole protobuf fields, as an ONNX model is.

    Only the outermost fields are looked at; a model has a handful. See the encoding chapter of the
    Protocol Buffers documentation.
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < end:
            key = _varint(file)
            if key is None or key >> 3 == 0:
                return False
            kind = key & 7
            if kind == _VARINT:
                if _varint(file) is None:
                    return False
                continue
            length = {_FIXED64: 8, _FIXED32: 4}.get(kind)
            if kind == _LENGTH_PREFIXED:
                length = _varint(file)
            if length is None or file.tell() + length > end:
                return False
            file.seek(length, 1)
    return True


def _varint(file: BinaryIO) -> int | None:
    """Return the next base-128 number, None at the end of the file or if it never ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
