"""VideoSender: the camera's own H.264 or H.265 for one viewer, each result with its packets.

A message has the packets up to a result's picture, and the result's tracks. So the page never has
a picture whose boxes are still to come, knows the boxes before and after each one between, and the
picture is as old as the JPEG would be. Browsers decode with WebCodecs, which says of every picture
which packet it is; Media Source Extensions would need fragmented MP4, and add their own buffer.

What is sent shows what the JPEG shows: nothing on the page is masked or blurred. Something that
hides parts of the pictures on the page must switch this off, for packets cannot be changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.core.packet_tap import PacketTap, StreamPacket
from pipeline.server.viewers.hub import Hub
from pipeline.server.viewers.messages import video_message

MAX_LAG_S = 2.0
"""A viewer with a larger backlog continues at a newer key frame."""
MAX_UNACKED = 4


@dataclass(slots=True, eq=False)
class _Place:
    """A viewer's position in the packets of one camera."""

    tap: PacketTap
    end: Callable[[], None]
    sent: int | None = None  # number of the last packet; None before a start
    starts_at: int = 0  # number from which on a start may be
    key: tuple[float, int] | None = None  # of the last result
    unacked: deque[int] = field(default_factory=deque)


class VideoSender:
    """Subscribes to the packets of the cameras that one viewer wants as video."""

    def __init__(self, hub: Hub, packets: Callable[[str], PacketTap | None]) -> None:
        self._hub = hub
        self._packets = packets
        self._places: dict[str, _Place] = {}

    @property
    def cameras(self) -> Sequence[str]:
        """Return the cameras that are wanted as video and offer packets."""
        return tuple(self._places)

    def watch(self, cameras: Iterable[str]) -> None:
        """Watch exactly these cameras as video; a camera's tap may have been replaced since."""
        wanted = set(cameras)
        for name in set(self._places) | wanted:
            tap = self._packets(name) if name in wanted else None
            known = self._places.get(name)
            if known is not None and known.tap is not tap:
                known.end()
                del self._places[name]
            if tap is not None and name not in self._places:
                self._places[name] = _Place(tap, tap.subscribe())

    def close(self) -> None:
        """End all subscriptions."""
        self.watch(())

    def is_running(self, camera: str) -> bool:
        """Return whether the camera is shown as video now, so that it needs no JPEG."""
        place = self._places.get(camera)
        return place is not None and place.sent is not None

    def ack(self, camera: str, index: int) -> None:
        """Record that a message, and those before it, were decoded."""
        place = self._places.get(camera)
        if place is not None and index in place.unacked:
            while place.unacked.popleft() != index:
                pass

    def message(self, camera: str) -> bytes | None:
        """Return the message with the newest result, None if there is nothing to send now."""
        place, shown = self._places.get(camera), self._hub.latest(camera)
        if place is None or shown is None or shown.key == place.key:
            return None
        if len(place.unacked) >= MAX_UNACKED:
            return None
        picture = place.tap.picture(shown.key[0])
        packets = self._due(place, picture) if picture is not None else None
        if picture is None or packets is None:
            # Of another connection, or no longer kept: JPEG until there is a start again.
            place.sent = None
            return None
        # A decoder is set up for one format.
        packets = [one for one in packets if one.format is picture.format]
        is_start = place.sent is None or bool(packets and packets[0].number != place.sent + 1)
        place.key = shown.key
        place.sent = max(place.sent or 0, picture.number)
        place.unacked.append(shown.key[1])
        return video_message(camera, shown, picture, packets, is_start=is_start)

    def _due(self, place: _Place, picture: StreamPacket) -> Sequence[StreamPacket] | None:
        """Return the packets to send; None if the viewer has to wait for a key frame."""
        packets = place.tap.between(place.sent, picture.number)
        if place.sent is None:
            is_possible = packets and packets[0].number >= place.starts_at
            return packets if is_possible else None
        if not packets or packets[-1].arrived_at - packets[0].arrived_at <= MAX_LAG_S:
            return packets
        newest_key = next((n for n in range(len(packets) - 1, -1, -1) if packets[n].is_key), None)
        if (
            newest_key is None
            or packets[-1].arrived_at - packets[newest_key].arrived_at > MAX_LAG_S
        ):
            place.starts_at = picture.number + 1
            return None
        return packets[newest_key:]
