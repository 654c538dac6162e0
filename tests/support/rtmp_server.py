"""A small RTMP server on loopback that plays one recording to each viewer at its own pace.

After Adobe's "Real-Time Messaging Protocol 1.0": plain handshake (5.2), chunks (5.3), and of the
commands (7.2) those a player needs. The recording is FLV, whose tags are RTMP's messages.
"""

from __future__ import annotations

import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import av
from support.tcp_server import serving
from support.tiny_videos import noise_picture

FPS = 25
_HANDSHAKE = 1536
_CHUNK = 60_000
_SET_CHUNK_SIZE, _COMMAND = 1, 20


class Tag(NamedTuple):
    """An FLV tag: RTMP's type of message, its time in milliseconds and its body."""

    kind: int
    time_ms: int
    body: bytes


def recording(seconds: float) -> list[Tag]:
    """Return the tags of H.264 pictures."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flv") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = noise_picture(0).shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10"}
        for n in range(round(seconds * FPS)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise_picture(n), "bgr24")))
        container.mux(stream.encode())
    data, at, tags = buffer.getvalue(), 13, []
    while at + 11 <= len(data):
        kind, size, low, high = data[at], *_threes(data[at + 1 : at + 7]), data[at + 7]
        tags.append(Tag(kind, high << 24 | low, data[at + 11 : at + 11 + size]))
        at += 11 + size + 4
    return tags


@contextmanager
def running(seconds: float) -> Iterator[int]:
    """Serve until the block ends; yield the port."""
    tags = recording(seconds)
    with serving(lambda connection, stop: _Viewer(connection, tags, stop).serve()) as port:
        yield port


class _Viewer:
    def __init__(self, connection: socket.socket, tags: list[Tag], stop: threading.Event) -> None:
        self._connection = connection
        self._incoming = connection.makefile("rb")
        self._tags = tags
        self._stop = stop
        self._chunk = 128
        # By chunk stream: (type of message, its length), and what came of it.
        self._heads: dict[int, tuple[int, int]] = {}
        self._parts: dict[int, bytes] = {}

    def serve(self) -> None:
        came = self._read(1 + _HANDSHAKE)
        self._connection.sendall(b"\x03" + bytes(_HANDSHAKE) + came[1:])
        self._read(_HANDSHAKE)
        while not self._stop.is_set():
            kind, body = self._message()
            if kind == _SET_CHUNK_SIZE:
                self._chunk = struct.unpack(">I", body[:4])[0]
            elif kind == _COMMAND and self._command(body):
                self._play()
                return

    def _command(self, body: bytes) -> bool:
        """Answer a command; return whether it was the one to play."""
        length = struct.unpack(">H", body[1:3])[0]
        name = body[3 : 3 + length].decode()
        number = struct.unpack(">d", body[4 + length : 12 + length])[0]
        if name == "connect":
            self._send(_SET_CHUNK_SIZE, 0, struct.pack(">I", _CHUNK))
            self._reply(
                "_result", number, {"fmsVer": "FMS/3,0"}, {"code": "NetConnection.Connect.Success"}
            )
        elif name == "createStream":
            self._reply("_result", number, None, 1.0)
        elif name == "play":
            self._reply("onStatus", 0.0, None, {"level": "status", "code": "NetStream.Play.Start"})
        return name == "play"

    def _play(self) -> None:
        began = time.monotonic()
        for tag in self._tags:
            if self._stop.wait(max(0.0, began + tag.time_ms / 1e3 - time.monotonic())):
                return
            self._send(tag.kind, tag.time_ms, tag.body)

    def _message(self) -> tuple[int, bytes]:
        """Return (type, body) of the next whole message."""
        while True:
            first = self._read(1)[0]
            form, stream = first >> 6, first & 0x3F
            if form < 3:
                head = self._read((11, 7, 3)[form])
                if head[:3] == b"\xff\xff\xff":
                    self._read(4)
                if form < 2:
                    self._heads[stream] = (head[6], _threes(head[3:6])[0])
            kind, length = self._heads[stream]
            part = self._parts.pop(stream, b"")
            part += self._read(min(self._chunk, length - len(part)))
            if len(part) == length:
                return kind, part
            self._parts[stream] = part

    def _reply(self, *values: Any) -> None:
        self._send(_COMMAND, 0, b"".join(map(_amf, values)))

    def _send(self, kind: int, time_ms: int, body: bytes) -> None:
        assert len(body) <= _CHUNK, "one chunk each"
        head = time_ms.to_bytes(3, "big") + len(body).to_bytes(3, "big") + bytes([kind])
        self._connection.sendall(b"\x03" + head + struct.pack("<I", 1) + body)

    def _read(self, count: int) -> bytes:
        data = self._incoming.read(count)
        if len(data) < count:
            raise EOFError
        return data


def _amf(value: Any) -> bytes:
    """Return a text, number, mapping or None in AMF 0."""
    if isinstance(value, str):
        return b"\x02" + struct.pack(">H", len(value)) + value.encode()
    if isinstance(value, float):
        return b"\x00" + struct.pack(">d", value)
    if value is None:
        return b"\x05"
    fields = b"".join(_amf(key)[1:] + _amf(each) for key, each in value.items())
    return b"\x03" + fields + b"\x00\x00\x09"


def _threes(data: bytes) -> list[int]:
    return [int.from_bytes(data[n : n + 3], "big") for n in range(0, len(data), 3)]
