"""GPS tracks written for a test: GPX, NMEA sentences, GoPro's telemetry in an MP4."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC).timestamp()


def write_gpx(path: Path, seconds: Sequence[float], start: float = START) -> Path:
    """A drive north from 52, 13 at 0.0001 degrees (11.1 m) a second."""
    points = "".join(
        f'<trkpt lat="{52 + s * 1e-4:.7f}" lon="13"><ele>{100 + s}</ele>'
        f"<time>{datetime.fromtimestamp(start + s, UTC).isoformat()}</time></trkpt>"
        for s in seconds
    )
    path.write_text(
        '<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
        f"{points}</trkseg></trk></gpx>"
    )
    return path


def sentence(body: str) -> str:
    total = 0
    for letter in body.encode():
        total ^= letter
    return f"${body}*{total:02X}"


def klv(name: str, kind: str, size: int, payload: bytes) -> bytes:
    count = len(payload) if kind == "\0" else len(payload) // size
    head = struct.pack(">4sBBH", name.encode(), ord(kind), 1 if kind == "\0" else size, count)
    return head + payload + bytes(-len(payload) % 4)


def gps5_packet(rows: Sequence[Sequence[float]], fix: int = 3) -> bytes:
    scale = np.array([1e7, 1e7, 1000, 1000, 100])
    numbers = np.round(np.array(rows) * scale).astype(">i4").tobytes()
    stream = (
        klv("GPSF", "L", 4, struct.pack(">I", fix))
        + klv("GPSP", "S", 2, struct.pack(">H", 150))
        + klv("SCAL", "l", 4, scale.astype(">i4").tobytes())
        + klv("GPS5", "l", 20, numbers)
    )
    other = klv("STRM", "\0", 1, klv("ACCL", "s", 6, bytes(12)))
    return klv("DEVC", "\0", 1, other + klv("STRM", "\0", 1, stream))


def gps9_packet(rows: Sequence[Sequence[float]], fix: int = 3) -> bytes:
    scale = np.array([1e7, 1e7, 1000, 1000, 100, 1, 1000, 100, 1])
    numbers = b"".join(
        struct.pack(">7i2H", *np.round(np.array((*row, 9000, 43200, 1.5, fix)) * scale).astype(int))
        for row in rows
    )
    stream = (
        klv("TYPE", "c", 1, b"lllllllSS")
        + klv("SCAL", "l", 4, scale.astype(">i4").tobytes())
        + klv("GPS9", "?", 32, numbers)
    )
    return klv("DEVC", "\0", 1, klv("STRM", "\0", 1, stream))


def write_gopro(path: Path, packets: Sequence[bytes]) -> Path:
    """A video of a second per packet, 10 frames a second, with telemetry as GoPro has it."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        data = container.add_data_stream("bin_data")
        data.time_base = Fraction(1, 1000)
        for number in range(10 * len(packets)):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for number, payload in enumerate(packets):
            packet = av.Packet(payload)
            packet.stream, packet.time_base = data, Fraction(1, 1000)
            packet.pts = packet.dts = number * 1000
            packet.duration = 1000
            container.mux(packet)
    return path
