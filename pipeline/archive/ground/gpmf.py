"""GPS of GoPro cameras: the telemetry in an MP4's data track.

GPMF as GoPro's public description has it (github.com/gopro/gpmf-parser): nested KLV, each item four
letters of name, a type, the size of a sample, the number of samples (big-endian), then the data
padded to four bytes; type 0 holds further items. SCAL scales the stream's sensor: GPS5 (latitude,
longitude, altitude, speed, 3D speed) until HERO10, GPS9 with days since 2000, seconds of the day,
dilution and fix since HERO11.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.ground.gps import Fix, GpsTrack, track_of
from pipeline.core.errors import UsageError
from pipeline.core.media_file import open_media, packets_of

_NESTED = 0
_HEAD = 8
_MAX_DEPTH = 8
_MAX_DILUTION = 10.0
_TYPES = {"b": "i1", "B": "u1", "s": ">i2", "S": ">u2", "l": ">i4", "L": ">u4", "f": ">f4",
          "d": ">f8", "j": ">i8", "J": ">u8"}  # fmt: skip


@dataclass(slots=True)
class _Stream:
    """One sensor's items of a packet."""

    scale: NDArray[np.float64] = field(default_factory=lambda: np.ones(1))
    types: str = ""
    fix: int = 3
    dilution: float = 0.0
    samples: NDArray[np.float64] | None = None
    has_own_fix: bool = False


def read_gopro(path: Path) -> GpsTrack:
    """Return the GPS track of a GoPro video on the video's clock; raises UsageError."""
    from av.error import FFmpegError

    fixes: list[Fix] = []
    try:
        with open_media(path) as container:
            tracks = [each for each in container.streams if each.type == "data"]
            video = container.streams.video[0] if container.streams.video else None
            start = 0.0
            if video is not None and video.start_time is not None and video.time_base is not None:
                start = float(video.start_time * video.time_base)
            for packet in packets_of(container, tracks) if tracks else ():
                data = bytes(packet)
                if data[:4] == b"DEVC" and packet.pts is not None and packet.time_base:
                    begin = float(packet.pts * packet.time_base) - start
                    length = float((packet.duration or 0) * packet.time_base) or 1.0
                    fixes += _fixes(data, begin, length)
    except (FFmpegError, OSError) as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (struct.error, ValueError) as error:
        raise UsageError(f"{path}: its GPS telemetry is broken: {error}") from None
    return track_of(fixes, str(path), "media")


def _fixes(data: bytes, begin: float, length: float) -> Iterator[Fix]:
    """Yield the fixes of one packet, its samples evenly over its time."""
    for stream in _streams(data, 0):
        if stream.samples is None or not len(stream.samples):
            continue
        values = stream.samples / stream.scale
        for number, row in enumerate(values.tolist()):
            fix, dilution = stream.fix, stream.dilution
            if stream.has_own_fix:
                dilution, fix = row[7], int(row[8])
            if fix < 2 or dilution > _MAX_DILUTION:
                continue
            lat, lon, altitude, speed = row[:4]
            yield begin + length * number / len(values), lat, lon, altitude, speed, math.nan


def _streams(data: bytes, depth: int) -> Iterator[_Stream]:
    """Yield each STRM below these items that has GPS."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"items are more than {_MAX_DEPTH} deep within each other")
    for name, kind, _, _, payload in _items(data):
        if name == b"STRM":
            yield _stream(payload)
        elif kind == _NESTED:
            yield from _streams(payload, depth + 1)


def _items(data: bytes) -> Iterator[tuple[bytes, int, int, int, bytes]]:
    """Yield name, type, size and number of samples, and the data of each item."""
    at = 0
    while at + _HEAD <= len(data):
        name, kind, size, count = struct.unpack_from(">4sBBH", data, at)
        end = at + _HEAD + size * count
        if name == b"\0\0\0\0":
            return
        if end > len(data):
            raise ValueError(f"{name.decode('ascii', 'replace')} is longer than its packet")
        yield name, kind, size, count, data[at + _HEAD : end]
        at = at + _HEAD + (size * count + 3) // 4 * 4


def _stream(data: bytes) -> _Stream:
    found = _Stream()
    for name, kind, size, count, payload in _items(data):
        if name == b"SCAL":
            found.scale = _numbers(payload, chr(kind) * max(size // _size(chr(kind)), 1)).ravel()
        elif name == b"TYPE":
            found.types = payload.rstrip(b"\0").decode("ascii", "replace")
        elif name == b"GPSF":
            found.fix = int(_numbers(payload, chr(kind))[0, 0])
        elif name == b"GPSP":
            found.dilution = float(_numbers(payload, chr(kind))[0, 0]) / 100
        elif name in (b"GPS5", b"GPS9") and count:
            types = found.types if chr(kind) == "?" else chr(kind) * (size // _size(chr(kind)))
            samples = _numbers(payload, types)
            wanted = 5 if name == b"GPS5" else 9
            if samples.shape[1] != wanted or len(found.scale) not in (1, wanted):
                raise ValueError(f"{name.decode()} has {samples.shape[1]} numbers, not {wanted}")
            found.samples, found.has_own_fix = samples, name == b"GPS9"
    if found.samples is not None and not found.scale.all():
        raise ValueError("a scale of 0")
    return found


def _size(kind: str) -> int:
    if kind not in _TYPES:
        raise ValueError(f"unknown type '{kind}'")
    return np.dtype(_TYPES[kind]).itemsize


def _numbers(payload: bytes, types: str) -> NDArray[np.float64]:
    """Return f64[samples, numbers] of samples that are made of these types."""
    form = np.dtype([(f"n{n}", _TYPES[kind]) for n, kind in enumerate(types) if _size(kind)])
    if not types or len(payload) % form.itemsize:
        raise ValueError(f"{len(payload)} bytes are no samples of '{types}'")
    rows = np.frombuffer(payload, form)
    return np.column_stack([rows[name].astype(np.float64) for name in form.names or ()])
