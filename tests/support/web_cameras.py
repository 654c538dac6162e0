"""Cameras that speak no RTSP, on loopback: MJPEG and HLS over HTTP, MPEG-TS over TCP and UDP."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from typing import Any

import av
import cv2
from support.tcp_server import serving
from support.tiny_videos import noise_picture

FPS = 25
PICTURES = [noise_picture(n) for n in range(10)]
SEGMENT_S = 1.0


def transport_stream(
    seconds: float, codec: str = "libx264", size: tuple[int, int] = (96, 128), first: int = 0
) -> list[tuple[float, bytes]]:
    """Return (when it is due, bytes) of MPEG-TS pictures, a key frame every ten."""
    buffer = _Chunks()
    options = {"muxdelay": "0", "mpegts_flags": "resend_headers", "pat_period": "0.2"}
    with av.open(buffer, "w", format="mpegts", container_options=options) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10"}
        stream.codec_context.time_base = Fraction(1, FPS)
        stream.codec_context.gop_size = 10
        for n in range(round(seconds * FPS)):
            buffer.due = n / FPS
            frame = av.VideoFrame.from_ndarray(noise_picture(n, *size), format="bgr24")
            frame.pts = first + n
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.chunks


class _Chunks(io.RawIOBase):
    """Notes what is written, with the time it is due."""

    def __init__(self) -> None:
        self.chunks: list[tuple[float, bytes]] = []
        self.due = 0.0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.chunks.append((self.due, bytes(data)))
        return len(data)


@contextmanager
def http_camera(*, login: str | None = None, segments_at: str = "") -> Iterator[str]:
    """Serve /cam.mjpg, /live/index.m3u8 and /recording.mkv; yield the address without a path.

    `login` is the value of the Authorization header that is wanted. /live/camera is the playlist
    under another name; its segments are said to be at `segments_at`.
    """
    stop = threading.Event()
    segments = [
        b"".join(data for _, data in transport_stream(SEGMENT_S, first=round(n * FPS * SEGMENT_S)))
        for n in range(8)
    ]
    jpegs = [bytes(cv2.imencode(".jpg", picture)[1]) for picture in PICTURES]
    began = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):
                if login is not None and self.headers.get("Authorization") != login:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                elif self.path.startswith("/cam.mjpg"):
                    self._mjpeg()
                elif self.path.startswith(("/live/index.m3u8", "/live/camera")):
                    playlist = _playlist(began, segments_at).encode()
                    self._whole("application/vnd.apple.mpegurl", playlist)
                elif self.path.startswith("/live/"):
                    number = int(self.path.partition("/live/")[2].partition(".")[0])
                    self._whole("video/mp2t", segments[number % len(segments)])
                elif self.path.startswith("/recording"):
                    self._whole("video/x-matroska", _recording())
                else:
                    self.send_error(404)

        def _mjpeg(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            n = 0
            while not stop.wait(1 / FPS):
                jpeg = jpegs[n % len(jpegs)]
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                n += 1

        def _whole(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _playlist(began: float, segments_at: str) -> str:
    """Return the live playlist of now: three segments, the newest just finished."""
    newest = int((time.monotonic() - began) / SEGMENT_S) + 3
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1"]
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{newest - 2}")
    for number in range(newest - 2, newest + 1):
        if number % 8 == 0:
            lines.append("#EXT-X-DISCONTINUITY")
        lines += [f"#EXTINF:{SEGMENT_S:.3f},", f"{segments_at}{number}.ts"]
    return "\n".join(lines) + "\n"


def _recording() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.height, stream.width = PICTURES[0].shape[:2]
        for picture in PICTURES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return buffer.getvalue()


@contextmanager
def tcp_camera(*recordings: Sequence[tuple[float, bytes]]) -> Iterator[int]:
    """Send a recording to each viewer as it is due, the next one to the next; yield the port."""
    turns = chain(recordings, repeat(recordings[-1]))
    with serving(lambda connection, stop: _play(next(turns), stop, connection.sendall)) as port:
        yield port


@contextmanager
def udp_camera(port: int, recording: Sequence[tuple[float, bytes]]) -> Iterator[None]:
    """Send a recording to a UDP port, again and again until the block ends."""
    stop = threading.Event()
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(data: bytes) -> None:
        for start in range(0, len(data), 7 * 188):
            with suppress(ConnectionError):
                sender.sendto(data[start : start + 7 * 188], ("127.0.0.1", port))

    def serve() -> None:
        while not stop.is_set():
            _play(recording, stop, send)

    thread = threading.Thread(target=serve, name="udp camera", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        sender.close()


def _play(recording: Sequence[tuple[float, bytes]], stop: threading.Event, send: Any) -> None:
    began = time.monotonic()
    for due, data in recording:
        if stop.wait(max(0.0, began + due - time.monotonic())):
            return
        send(data)
