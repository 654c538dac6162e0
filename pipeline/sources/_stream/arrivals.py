"""When the packet of each decoded picture arrived, although the decoder gives it out later."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.sources._file.coded_picture import leading
from pipeline.sources._file.packet_choice import Step

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.video.stream import VideoStream

_MAX_AWAITED = 64
"""Maximum pictures that lead to a key frame; more are of a stream that gives no others."""


@dataclass(frozen=True, slots=True, eq=False)
class _Arrival:
    """Moment at which a packet arrived; one object for each packet, as PyAV's `opaque` needs.

    `is_leading` and `may_vanish` are those of `leading`.
    """

    at: float
    number: int
    pts: int | None
    is_leading: bool
    may_vanish: bool


class Arrivals:
    """Arrival times of pictures that the decoder holds back to bring them in order (B-frames).

    The decoder itself passes the time from packet to picture (`copy_opaque` of its context), so
    timestamps that are missing, repeat or go back do not matter. Also finds the pictures that the
    decoder of H.265 leaves out without an error.
    """

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._codec, self._extradata = codec, extradata
        self._last = -math.inf
        self._number = self._keys = 0
        self._has_picture = False
        self._awaited: list[_Arrival] = []

    def add(self, packet: Packet[VideoStream], now: float) -> None:
        """Note that a packet arrived at `now`, before it is decoded."""
        self._number += 1
        kind = leading(self._codec, self._extradata, packet)
        packet.opaque = _Arrival(now, self._number, packet.pts, *kind)

    def take(self, picture: VideoFrame, now: float) -> float:
        """Return when the picture's packet arrived, `now` if the decoder does not pass it on.

        The result is always later than the one before, because it orders and identifies pictures.
        """
        own = picture.opaque
        arrived_at = own.at if isinstance(own, _Arrival) else now
        self._last = max(arrived_at, math.nextafter(self._last, math.inf))
        return self._last

    def begin_decoding(self, step: Step) -> None:
        """Note that a packet is decoded; one that the decoder may skip on request counts there."""
        if step.packet is None:
            return
        self._keys += step.packet.is_keyframe
        own = step.packet.opaque
        # What leads to the first key frame was never to be seen.
        if isinstance(own, _Arrival) and own.may_vanish and self._keys > 1 and not step.may_skip:
            self._awaited = [*self._awaited, own][-_MAX_AWAITED:]

    def end_decoding(self, step: Step) -> None:
        """Note that decoding a packet failed, which counts as damage."""
        own = None if step.packet is None else step.packet.opaque
        self._awaited = [one for one in self._awaited if one is not own]

    def discarded(self, picture: VideoFrame) -> list[int | None]:
        """Return the times of the pictures left out by the decoder before this decoded one.

        In H.265 all that lead to a key frame are shown before it, and it before all that follow.
        """
        own = picture.opaque
        if not isinstance(own, _Arrival):
            return []
        waiting = [one for one in self._awaited if one is not own]
        gone = [one for one in waiting if not own.is_leading and one.number < own.number]
        self._awaited = [one for one in waiting if one not in gone]
        is_first, self._has_picture = not self._has_picture, True
        return [] if is_first else [one.pts for one in gone]
