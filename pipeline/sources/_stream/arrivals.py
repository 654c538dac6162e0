"""When the packet of each decoded picture arrived, although the decoder gives it out later."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True, eq=False)
class _Arrival:
    """Moment at which a packet arrived; one object for each packet, as PyAV's `opaque` needs."""

    at: float


class Arrivals:
    """Arrival times of pictures that the decoder holds back to bring them in order (B-frames).

    The decoder itself passes the time from packet to picture (`copy_opaque` of its context), so
    timestamps that are missing, repeat or go back do not matter.
    """

    def __init__(self) -> None:
        self._last = -math.inf

    def add(self, packet: Packet[VideoStream], now: float) -> None:
        """Note that a packet arrived at `now`, before it is decoded."""
        packet.opaque = _Arrival(now)

    def take(self, picture: VideoFrame, now: float) -> float:
        """Return when the picture's packet arrived, `now` if the decoder does not pass it on.

        The result is always later than the one before, because it orders and identifies pictures.
        """
        own = picture.opaque
        arrived_at = own.at if isinstance(own, _Arrival) else now
        self._last = max(arrived_at, math.nextafter(self._last, math.inf))
        return self._last
