"""Cameras for benchmarks, in a process of their own: a video as MPEG-TS over TCP, at its pace.

    python benchmarks/_camera_streams.py VIDEO WIDTH HEIGHT FPS SECONDS

Prints the port and serves every connection until standard input ends. The pictures are encoded
once, as cameras do: H.264 without B-frames, a key frame every two seconds. Each connection begins
at another key frame and another moment, so cameras are not in step.
"""

from __future__ import annotations

import io
import socket
import sys
import threading
import time
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from large_pictures import pictures

KEY_EVERY_S, KEY_FRAMES = 2, 3
CLOCK_HZ = 90_000


def main() -> None:
    """Encode, print the port, serve."""
    video, width, height, fps, seconds = sys.argv[1:]
    encoded = _encoded(Path(video), int(width), int(height), float(fps))
    gop = len(encoded) // KEY_FRAMES
    pieces = _pieces(encoded, float(fps), round(float(fps) * float(seconds)) + len(encoded))
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(server.getsockname()[1], flush=True)
    threading.Thread(target=_serve, args=(server, pieces, gop, float(fps)), daemon=True).start()
    sys.stdin.read()


def _encoded(video: Path, width: int, height: int, fps: float) -> list[Any]:
    """Return the packets of a few seconds of the video."""
    context: Any = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, CLOCK_HZ)
    context.framerate = Fraction(fps).limit_denominator(1001)
    gop = round(fps * KEY_EVERY_S)
    keys = f"keyint={gop}:min-keyint={gop}:scenecut=0:repeat-headers=1:bframes=0"
    context.options = {"preset": "veryfast", "crf": "25", "x264-params": keys}
    packets = []
    for n, picture in enumerate(islice(pictures(video, width, height), gop * KEY_FRAMES)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = round(n * CLOCK_HZ / fps), Fraction(1, CLOCK_HZ)
        packets += context.encode(frame)
    return [bytes(packet) for packet in (*packets, *context.encode(None))]


def _pieces(encoded: list[bytes], fps: float, count: int) -> list[bytes]:
    """Return `count` pictures as MPEG-TS, one after the other, the encoded ones again and again."""
    out = io.BytesIO()
    pieces = []
    options = {"flush_packets": "1", "pat_period": "0.5"}
    with av.open(out, "w", format="mpegts", options=options) as container:
        stream: Any = container.add_stream("libx264", rate=round(fps))
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        container.start_encoding()
        for n in range(count):
            packet = av.Packet(encoded[n % len(encoded)])
            packet.stream, packet.time_base = stream, Fraction(1, CLOCK_HZ)
            packet.pts = packet.dts = round(n * CLOCK_HZ / fps)
            packet.is_keyframe = n % (len(encoded) // KEY_FRAMES) == 0
            container.mux(packet)
            pieces.append(out.getvalue())
            out.seek(0)
            out.truncate()
    return pieces


def _serve(server: socket.socket, pieces: list[bytes], gop: int, fps: float) -> None:
    count = 0
    while True:
        connection, _ = server.accept()
        first = count % KEY_FRAMES * gop
        late_s = count * 0.618 % 1 / fps
        play = (connection, pieces[first:], fps, late_s)
        threading.Thread(target=_play, args=play, daemon=True).start()
        count += 1


def _play(connection: socket.socket, pieces: list[bytes], fps: float, late_s: float) -> None:
    began = time.monotonic() + late_s
    with connection, suppress(OSError):
        for n, piece in enumerate(pieces):
            time.sleep(max(0.0, began + n / fps - time.monotonic()))
            connection.sendall(piece)


if __name__ == "__main__":
    main()
