"""A small HTTP server on loopback that misbehaves as it is told, and what it has to download."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pipeline.models.download import RetryPolicy, WeightsDownload
from pipeline.models.transfer import CHUNK


@dataclass
class DownloadServer:
    """What the server has, and how it answers. `answers` are used up one by one, then `serve`."""

    content: bytes = b""
    etag: str | None = '"one"'
    ranges: bool = True
    answers: list[Callable[[Any, DownloadServer], None]] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    stop_stalling: threading.Event = field(default_factory=threading.Event)


def serve(
    request: Any, site: DownloadServer, *, announce: int | None = None, send: int | None = None
) -> None:
    """Answer as a good server does, or announce another length, or send only the first bytes."""
    first = _first_byte(request.headers, site)
    if first is not None and first >= len(site.content):
        status(416)(request, site)
        return
    body = site.content[first or 0 :]
    request.send_response(200 if first is None else 206)
    if first is not None:
        last = len(site.content) - 1
        request.send_header("Content-Range", f"bytes {first}-{last}/{len(site.content)}")
    if site.etag:
        request.send_header("ETag", site.etag)
    request.send_header("Content-Length", str(len(body) if announce is None else announce))
    request.end_headers()
    request.wfile.write(body if send is None else body[:send])
    request.wfile.flush()
    request.close_connection = True


def cut(after: int) -> Callable[[Any, DownloadServer], None]:
    """Announce everything, send `after` bytes and end the connection."""
    return lambda request, site: serve(request, site, send=after)


def announcing(length: int) -> Callable[[Any, DownloadServer], None]:
    """Send everything under a wrong Content-Length."""
    return lambda request, site: serve(request, site, announce=length)


def stalled(after: int) -> Callable[[Any, DownloadServer], None]:
    """Send `after` bytes, then nothing, and leave the connection open."""

    def answer(request: Any, site: DownloadServer) -> None:
        serve(request, site, send=after)
        site.stop_stalling.wait(60)

    return answer


def held(after: int) -> Callable[[Any, DownloadServer], None]:
    """Send `after` bytes, and the rest once `stop_stalling` is set."""

    def answer(request: Any, site: DownloadServer) -> None:
        serve(request, site, send=after)
        site.stop_stalling.wait(60)
        request.wfile.write(site.content[after:])

    return answer


def reset(request: Any, site: DownloadServer) -> None:
    """Answer nothing at all."""
    request.close_connection = True
    request.connection.close()


def status(code: int) -> Callable[[Any, DownloadServer], None]:
    """Answer with an error."""

    def answer(request: Any, site: DownloadServer) -> None:
        request.send_response(code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def redirect(to: str) -> Callable[[Any, DownloadServer], None]:
    """Send the client elsewhere."""

    def answer(request: Any, site: DownloadServer) -> None:
        request.send_response(302)
        request.send_header("Location", to)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def page(kind: str) -> Callable[[Any, DownloadServer], None]:
    """Send a web page of that Content-Type, as a captive portal or an error page does."""

    def answer(request: Any, site: DownloadServer) -> None:
        body = b"<!DOCTYPE html><html>Please sign in</html>"
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def chunked(request: Any, site: DownloadServer, *, whole: bool = True) -> None:
    """Send everything without a Content-Length; not `whole`: leave out the end."""
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    half = len(site.content) // 2
    for piece in (site.content[:half], site.content[half:]) if whole else (site.content[:half],):
        request.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    if whole:
        request.wfile.write(b"0\r\n\r\n")
    request.wfile.flush()
    request.close_connection = True


def chunked_cut(request: Any, site: DownloadServer) -> None:
    """Send half without a Content-Length and end the connection."""
    chunked(request, site, whole=False)


def other_range(request: Any, site: DownloadServer) -> None:
    """Answer a range request with a range nobody asked for."""
    request.send_response(206)
    request.send_header("Content-Range", f"bytes 0-{len(site.content) - 1}/{len(site.content)}")
    request.send_header("Content-Length", str(len(site.content)))
    request.end_headers()
    request.wfile.write(site.content)


@contextmanager
def running(site: DownloadServer) -> Iterator[DownloadServer]:
    """Run the server on a free port of loopback; `site.url` is its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.requests.append({**self.headers, "path": self.path})
            answer = site.answers.pop(0) if site.answers else serve
            answer(self, site)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        site.stop_stalling.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _first_byte(headers: Any, site: DownloadServer) -> int | None:
    """Return where the range asked for begins; None if all of it is to be sent."""
    asked = headers.get("Range")
    if not (site.ranges and asked):
        return None
    condition = headers.get("If-Range")
    if condition is not None and condition != site.etag:
        return None
    return int(asked.removeprefix("bytes=").partition("-")[0])


# Long enough for a busy machine; what shall time out brings a shorter one of its own.
PATIENCE = RetryPolicy(timeout_s=60, tries=3, pause_s=0.01)


def onnx_like(size: int) -> bytes:
    """Bytes with the outer shape of an ONNX file: a version, then one field that fills the rest."""
    body = bytes(i * 7 % 251 for i in range(1024)) * (size // 1024)
    length = b""
    rest = len(body)
    while rest >= 0x80:
        length += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return b"\x08\x08" + b"\x3a" + length + bytes([rest]) + body


CONTENT = onnx_like(4 * CHUNK)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = 2 * CHUNK


def wanted(site: DownloadServer, tmp_path: Path, *, pinned: bool = True) -> WeightsDownload:
    path = tmp_path / "cache" / "net.onnx"
    if pinned:
        return WeightsDownload(f"{site.url}/net.onnx", path, len(CONTENT), SHA256)
    return WeightsDownload(f"{site.url}/net.onnx", path)


def left_over(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()} - {f".{path.name}.lock"}
