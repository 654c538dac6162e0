"""Codec strings, against those of streams that encoders make and of records as files hold them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from pipeline.core.codec_string import codec_of_packet, codec_of_record, is_record


def first_packet(encoder: str, **options: str) -> bytes:
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.options = options
    frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


@pytest.mark.parametrize(
    ("encoder", "options", "codec"),
    [
        ("libx264", {"profile": "baseline", "level": "3.1"}, "avc1.42c01f"),
        ("libx264", {"profile": "high", "level": "4.0"}, "avc1.640028"),
        # General progressive and frame-only flags: 0x90, as in RFC 6381's own hev1.1.6.L93.B0.
        ("libx265", {"x265-params": "log-level=0:level-idc=31"}, "hev1.1.6.L93.90"),
    ],
)
def test_streams_of_encoders(encoder: str, options: dict[str, str], codec: str) -> None:
    name = "h264" if encoder == "libx264" else "hevc"
    assert codec_of_packet(name, first_packet(encoder, **options)) == codec


@pytest.mark.parametrize(
    ("name", "record", "codec"),
    [
        ("h264", "0164001fffe1", "avc1.64001f"),
        ("h264", "0164", None),
        ("hevc", "01016000000090000000000078f0", "hev1.1.6.L120.90"),
        ("hevc", "01220000000400000000000099", "hev1.2.20000000.H153"),
        ("hevc", "0101", None),
    ],
)
def test_records(name: str, record: str, codec: str | None) -> None:
    assert is_record(bytes.fromhex(record))
    assert codec_of_record(name, bytes.fromhex(record)) == codec


@pytest.mark.parametrize(
    "data", [b"", b"\x00\x00\x01", b"\x00\x00\x01\x67\x64", b"\x00\x00\x01A.."]
)
def test_packets_without_a_whole_parameter_set(data: bytes) -> None:
    assert codec_of_packet("h264", data) is None
    assert codec_of_packet("hevc", data) is None
    assert not is_record(data)
