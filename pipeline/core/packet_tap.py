"""PacketTap: a camera's encoded pictures as they arrive, buffered for subscribers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.core.codec_string import CODECS, codec_of_packet, codec_of_record, is_record

MAX_BYTES = 16 * 2**20
"""Limit per camera; a larger group of pictures is dropped until the next key frame."""
HOLD_S = 3.0
"""Minimum time that packets are kept: results come later than their packets."""
_MAX_REORDERING_US = 1_000_000
_MAX_GAP_US = 30_000_000
_SEARCHED = 64
"""How many packets back a picture's packet may be: decoders reorder pictures."""


@dataclass(frozen=True, slots=True)
class PacketFormat:
    """Configuration of a decoder; another `epoch` means another time base or connection.

    `codec` is in RFC 6381 notation, avc1.640028 for instance. Packets are in Annex B format with
    parameter sets before each key frame if `description` is None; else it is the avcC or hvcC
    record of ISO/IEC 14496-15 that belongs to them.
    """

    codec: str
    description: bytes | None
    epoch: int


@dataclass(frozen=True, slots=True, eq=False)
class StreamPacket:
    """One encoded picture; `number` counts in decoding order, with a gap where packets were lost.

    `arrived_at` is on the monotonic clock, `pts_us` is the camera's own time in its epoch.
    """

    number: int
    data: bytes
    is_key: bool
    pts_us: int
    arrived_at: float
    format: PacketFormat


class PacketTap:
    """The newest packets of one camera, from a key frame on; kept only while there are subscribers.

    The source's thread calls `begin`, `add`, `lose` and `add_picture`, which never wait; any other
    thread calls the rest.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._lock = threading.Lock()
        self._max_bytes = max_bytes
        self._subscribers: list[float] = []  # seconds of packets that each subscriber wants kept
        self._packets: deque[StreamPacket] = deque()
        self._pictures: deque[tuple[float, int]] = deque(maxlen=1024)
        self._bytes = 0
        self._next = 0
        self._epoch = 0
        self._codec_name = ""
        self._parameters = b""
        self._format: PacketFormat | None = None
        self._max_pts_us: int | None = None

    def subscribe(self, hold_s: float = HOLD_S) -> Callable[[], None]:
        """Keep packets from the next key frame on; return the function that ends the subscription.

        Packets of the last `hold_s` seconds are kept, from the key frame of the group in which
        these begin.
        """
        with self._lock:
            self._subscribers.append(hold_s)
        is_over = False

        def end() -> None:
            nonlocal is_over
            with self._lock:
                if is_over:
                    return
                is_over = True
                self._subscribers.remove(hold_s)
                if not self._subscribers:
                    self._drop()

        return end

    @property
    def is_wanted(self) -> bool:
        """Return whether there are subscribers."""
        return bool(self._subscribers)

    # -- the source's thread ----------------------------------------------------------------------

    def begin(self, codec_name: str, extradata: bytes | None) -> None:
        """Start a new connection, whose codec is FFmpeg's `codec_name`."""
        with self._lock:
            self._drop()
            self._epoch += 1
            self._format = None
            self._max_pts_us = None
            self._codec_name = codec_name
            self._parameters = extradata or b""

    def add(self, data: bytes, pts_us: int | None, arrived_at: float, *, is_key: bool) -> None:
        """Keep one packet, unless it depends on a lost one or has no usable time."""
        with self._lock:
            if self._codec_name not in CODECS or not self._subscribers:
                return
            self._next += 1
            if pts_us is None or not self._continues(pts_us):
                self._drop()
            if pts_us is None:
                return
            if is_key:
                data = self._decodable(data)
            elif not self._packets:
                return
            if self._format is None:
                return
            packet = StreamPacket(self._next, data, is_key, pts_us, arrived_at, self._format)
            self._packets.append(packet)
            self._bytes += len(data)
            if is_key:
                self._drop_old(arrived_at)
            if self._bytes > self._max_bytes:
                self._drop_beyond()

    def lose(self) -> None:
        """Record that a packet was damaged: what follows is unusable until the next key frame."""
        with self._lock:
            self._next += 1
            self._drop()

    def add_picture(self, pts_us: int | None, captured_at: float) -> None:
        """Record the `Frame.captured_at` that the decoded picture of a packet got."""
        with self._lock:
            newest = range(len(self._packets) - 1, max(-1, len(self._packets) - 1 - _SEARCHED), -1)
            for place in newest:
                if self._packets[place].pts_us == pts_us:
                    self._pictures.append((captured_at, self._packets[place].number))
                    return

    # -- subscribers ------------------------------------------------------------------------------

    def picture(self, captured_at: float) -> StreamPacket | None:
        """Return the packet of the picture with this `Frame.captured_at`, None if not kept."""
        with self._lock:
            number = next((n for at, n in reversed(self._pictures) if at == captured_at), None)
            if number is None or not self._packets:
                return None
            # Searched from the end, because it is among the newest.
            return next((one for one in reversed(self._packets) if one.number == number), None)

    def between(self, after: int | None, last: int) -> Sequence[StreamPacket]:
        """Return the packets after number `after`, up to `last`, in decoding order.

        If those are no longer kept, or `after` is None: from the newest key frame up to `last`.
        """
        with self._lock:
            found: list[StreamPacket] = []
            for packet in reversed(self._packets):
                if packet.number > last:
                    continue
                if after is not None and packet.number <= after:
                    return found[::-1]
                found.append(packet)
            if after is not None and found and found[-1].number == after + 1:
                return found[::-1]
            newest = next((n for n, packet in enumerate(found) if packet.is_key), -1)
            return found[newest::-1] if newest >= 0 else []

    def since(self, moment: float) -> Sequence[StreamPacket]:
        """Return all packets from the newest key frame on that had arrived by `moment`.

        None if there is no such key frame.
        """
        with self._lock:
            found: list[StreamPacket] = []
            for packet in reversed(self._packets):
                found.append(packet)
                if packet.is_key and packet.arrived_at <= moment:
                    return found[::-1]
            return []

    # -- called with the lock held ---------------------------------------------------------------

    def _continues(self, pts_us: int) -> bool:
        """Return whether a time continues the previous ones; otherwise a new epoch begins."""
        before = self._max_pts_us
        self._max_pts_us = pts_us if before is None else max(before, pts_us)
        if before is None or -_MAX_REORDERING_US < pts_us - before < _MAX_GAP_US:
            # Decoders identify pictures by their times.
            return not self._packets or self._packets[-1].pts_us != pts_us
        self._max_pts_us = pts_us
        self._epoch += 1
        self._format = None
        return False

    def _decodable(self, data: bytes) -> bytes:
        """Return a key frame with its parameter sets; updates the format."""
        name, description = self._codec_name, None
        if is_record(self._parameters):
            description = self._parameters
            codec = codec_of_record(name, description)
        elif (codec := codec_of_packet(name, data)) is None:
            data = self._parameters + data
            codec = codec_of_packet(name, data)
        if codec is None:
            self._drop()
            self._format = None
        elif self._format is None or (codec, description) != (
            self._format.codec,
            self._format.description,
        ):
            if self._format is not None:
                self._epoch += 1
            self._format = PacketFormat(codec, description, self._epoch)
        return data

    def _drop(self) -> None:
        self._packets.clear()
        self._pictures.clear()
        self._bytes = 0

    def _drop_old(self, now: float) -> None:
        """Drop whole groups from the front that ended before what has to be kept."""
        keys = [n for n, packet in enumerate(self._packets) if packet.is_key]
        old = [n for n in keys if self._packets[n].arrived_at <= now - max(self._subscribers)]
        self._drop_first(old[-1] if old else 0)

    def _drop_beyond(self) -> None:
        """Drop all but the newest group, and that one too if it alone exceeds the limit."""
        newest = max(n for n, packet in enumerate(self._packets) if packet.is_key)
        self._drop_first(newest)
        if self._bytes > self._max_bytes:
            self._drop()

    def _drop_first(self, count: int) -> None:
        for _ in range(count):
            self._bytes -= len(self._packets.popleft().data)
