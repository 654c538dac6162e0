"""A small RTSP camera on loopback: H.264 over RTP, interleaved in TCP or over UDP.

RTSP 1.0 is RFC 2326, its interleaving section 10.12; H.264 in RTP is RFC 6184 (single NAL units and
FU-A); Digest and Basic authentication are RFC 2617. What a camera does wrong comes from a
`FaultProxy` before it, or from `Camera`'s own fields.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from support.live_video import Feed, PreRollFrame, noise
from support.tcp_server import accepted

_PAYLOAD_TYPE = 96
_MAX_PAYLOAD = 1200
_FU_A = 28


@dataclass
class Camera:
    """What it sends and whom it lets in; may be changed while it runs.

    `login` is (scheme, user, password). `shift_ticks` is added to each time stamp, `no_times`
    sends the same one again and again. `loss` is the share of UDP packets that get lost.
    """

    feed: Feed = field(default_factory=noise)
    login: tuple[str, str, str] | None = None
    loss: float = 0.0
    shift_ticks: Callable[[int], int] = lambda ticks: ticks
    url: str = ""
    port: int = 0
    requests: list[str] = field(default_factory=list)
    viewers: int = 0


@contextmanager
def running(camera: Camera | None = None) -> Iterator[Camera]:
    """Serve the camera until the block ends; its `url` has no login in it."""
    camera = camera or Camera()
    listener = socket.create_server(("127.0.0.1", 0))
    camera.port = listener.getsockname()[1]
    camera.url = f"rtsp://127.0.0.1:{camera.port}/live"
    stop = threading.Event()
    connections: set[socket.socket] = set()

    def accept() -> None:
        for connection in accepted(listener):
            connections.add(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(
                target=_Session(camera, connection, stop).serve, name="rtsp session", daemon=True
            ).start()

    thread = threading.Thread(target=accept, name="rtsp server", daemon=True)
    thread.start()
    try:
        yield camera
    finally:
        stop.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in list(connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()


class _Session:
    """One connection: requests on its own thread, pictures on another once it plays."""

    def __init__(self, camera: Camera, connection: socket.socket, stop: threading.Event) -> None:
        self._camera = camera
        self._connection = connection
        self._stop = stop
        self._over = threading.Event()
        self._sending = threading.Lock()
        self._send_rtp: Callable[[bytes], None] = lambda packet: None
        self._udp: socket.socket | None = None
        self._player: threading.Thread | None = None
        self._nonce = f"{random.getrandbits(64):016x}"

    def serve(self) -> None:
        try:
            with suppress(OSError, ValueError), self._connection.makefile("rb") as incoming:
                while not self._stop.is_set() and (first := incoming.read(1)):
                    if first == b"$":  # the viewer's RTCP reports
                        incoming.read(struct.unpack(">xH", incoming.read(3))[0])
                        continue
                    self._answer(first + incoming.readline(), self._headers(incoming))
        finally:
            self._over.set()
            if self._player is not None:
                self._player.join()
            if self._udp is not None:
                self._udp.close()
            self._connection.close()

    def _headers(self, incoming: object) -> dict[str, str]:
        headers = {}
        while line := incoming.readline().decode("latin-1").strip():  # type: ignore[attr-defined]
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def _answer(self, request: bytes, headers: dict[str, str]) -> None:
        method, _, _ = request.decode("latin-1").split(maxsplit=2)
        self._camera.requests.append(method)
        cseq = headers.get("cseq", "0")
        if method != "OPTIONS" and not self._allowed(method, headers.get("authorization", "")):
            scheme = self._camera.login[0] if self._camera.login else ""
            told = f'{scheme} realm="camera"'
            told += f', nonce="{self._nonce}"' if scheme == "Digest" else ""
            self._reply(cseq, "401 Unauthorized", {"WWW-Authenticate": told})
        elif method == "DESCRIBE":
            self._reply(cseq, "200 OK", {"Content-Type": "application/sdp"}, _description())
        elif method == "SETUP":
            transport = self._set_up(headers["transport"])
            self._reply(cseq, "200 OK", {"Transport": transport, "Session": "1;timeout=60"})
        elif method == "PLAY":
            self._reply(cseq, "200 OK", {"Session": "1", "Range": "npt=0.000-"})
            self._player = threading.Thread(target=self._play, name="rtsp player", daemon=True)
            self._player.start()
        elif method == "TEARDOWN":
            self._reply(cseq, "200 OK", {"Session": "1"})
            raise ValueError("the end of this session")
        else:
            self._reply(cseq, "200 OK", {"Public": "DESCRIBE, SETUP, PLAY, TEARDOWN"})

    def _reply(self, cseq: str, status: str, headers: dict[str, str], body: str = "") -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {cseq}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with self._sending:
            self._connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1"))

    def _allowed(self, method: str, came: str) -> bool:
        if self._camera.login is None:
            return True
        scheme, user, password = self._camera.login
        if scheme == "Basic":
            wanted = base64.b64encode(f"{user}:{password}".encode()).decode()
            return came == f"Basic {wanted}"
        told = dict(re.findall(r'(\w+)="([^"]*)"', came))
        one = _md5(f"{user}:camera:{password}")
        two = _md5(f"{method}:{told.get('uri', '')}")
        return told.get("response") == _md5(f"{one}:{self._nonce}:{two}")

    def _set_up(self, transport: str) -> str:
        if "TCP" in transport:
            self._send_rtp = self._send_interleaved
            return "RTP/AVP/TCP;unicast;interleaved=0-1"
        ports = re.search(r"client_port=(\d+)-(\d+)", transport)
        assert ports is not None, transport
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        target = self._connection.getpeername()[0], int(ports[1])
        udp = self._udp

        def send(packet: bytes) -> None:
            if random.random() >= self._camera.loss:
                udp.sendto(packet, target)

        self._send_rtp = send
        own = self._udp.getsockname()[1]
        return f"RTP/AVP;unicast;client_port={ports[1]}-{ports[2]};server_port={own}-{own + 1}"

    def _send_interleaved(self, packet: bytes) -> None:
        with self._sending:
            self._connection.sendall(struct.pack(">BBH", ord("$"), 0, len(packet)) + packet)

    def _play(self) -> None:
        self._camera.viewers += 1
        sequence = 0
        try:
            for shot in self._camera.feed():
                if self._over.is_set() or self._stop.is_set():
                    return
                ticks = self._camera.shift_ticks(shot.ticks) & 0xFFFFFFFF
                for last, payload in _payloads(shot):
                    kind = _PAYLOAD_TYPE | (0x80 if last else 0)
                    header = struct.pack(">BBHII", 0x80, kind, sequence & 0xFFFF, ticks, 7)
                    self._send_rtp(header + payload)
                    sequence += 1
            with suppress(OSError):  # the feed is over: a camera that is switched off
                self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
        finally:
            self._camera.viewers -= 1


def _payloads(shot: PreRollFrame) -> Iterator[tuple[bool, bytes]]:
    """Yield (whether it is the picture's last, RTP payload) of one picture."""
    for n, nal in enumerate(shot.nals):
        last_nal = n == len(shot.nals) - 1
        if len(nal) <= _MAX_PAYLOAD:
            yield last_nal, nal
            continue
        kind, importance = nal[0] & 0x1F, nal[0] & 0x60
        rest = nal[1:]
        for start in range(0, len(rest), _MAX_PAYLOAD):
            piece = rest[start : start + _MAX_PAYLOAD]
            ends = start + _MAX_PAYLOAD >= len(rest)
            mark = (0x80 if start == 0 else 0) | (0x40 if ends else 0)
            yield last_nal and ends, bytes([importance | _FU_A, mark | kind]) + piece


def _description() -> str:
    lines = [
        "v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=camera", "c=IN IP4 0.0.0.0", "t=0 0",
        "a=control:*", f"m=video 0 RTP/AVP {_PAYLOAD_TYPE}",
        f"a=rtpmap:{_PAYLOAD_TYPE} H264/90000",
        f"a=fmtp:{_PAYLOAD_TYPE} packetization-mode=1", "a=control:track1",
    ]  # fmt: skip
    return "\r\n".join(lines) + "\r\n"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
