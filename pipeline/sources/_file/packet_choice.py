"""Chooses the packets to decode when not every picture is wanted: `max_fps`, `keyframes_only`.

Which pictures are wanted depends on their times alone, so the same ones come, with the same pixels,
whatever is skipped. Packets that no wanted picture needs are not decoded: pictures that no other
refers to (the decoder knows them), in files the rest of a group of pictures after the last wanted
one, and for codecs without references (MJPEG) all others.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pipeline.core.rate_limit import RateLimit
from pipeline.sources._file.coded_picture import (
    WITH_UNREFERENCED,
    is_shown,
    may_leave_out,
    starts_anew,
)
from pipeline.sources._file.times import says_presentation_times

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

# One picture per shown packet, and key frames after which nothing older is needed.
_WITH_KEYS = WITH_UNREFERENCED | {"av1", "vp8", "vp9"}
_MAX_HELD_BYTES = 2**23
_MAX_REORDERED = 64
# After this many packets without a backward step the presentation order is still unknown.
_MAX_UNPROVEN = 32


class Clock(Protocol):
    """Gives the times of pictures in presentation order."""

    def seconds(self, pts: int | None, dts: int | None = None) -> float:
        """Return a picture's time in seconds."""
        ...


class Step(NamedTuple):
    """The next step of the decoder: a packet, or None to flush it and start anew.

    `may_skip` says that the picture is not wanted, and needed only if others refer to it.
    """

    packet: Packet[VideoStream] | None
    may_skip: bool = False


@dataclass(slots=True, eq=False)
class CodedPicture:
    """A packet whose picture is shown; `is_decoded` says that the picture must come out."""

    packet: Packet[VideoStream] | None
    pts: int
    dts: int | None
    duration: int
    is_key: bool
    is_wanted: bool | None = None
    is_settled: bool = False
    is_decoded: bool = False


class PacketChooser:
    """Chooses what is decoded: packets by `feed` and `finish`, decoded pictures by `match`.

    `start_clock` is called with the first picture. `may_wait` allows packets to be held back until
    one is wanted, which would delay a camera's pictures. If the packets' times do not give the
    presentation order, everything is decoded and chosen afterwards.
    """

    def __init__(
        self,
        stream: VideoStream,
        start_clock: Callable[[], Clock],
        max_fps: float | None,
        *,
        keyframes_only: bool = False,
        may_wait: bool = False,
    ) -> None:
        context = stream.codec_context
        codec = self._codec = stream.codec.canonical_name
        self._extradata = context.extradata or b""
        self._start_clock = start_clock
        self._clock: Clock | None = None
        self._max_fps = max_fps
        self._keyframes_only = keyframes_only
        self._is_intra = stream.codec.intra_only
        self._may_skip = may_leave_out(codec, self._extradata)
        self._may_wait = may_wait and codec in _WITH_KEYS
        useful = keyframes_only or self._may_skip or self._may_wait
        ordered = says_presentation_times(stream.container)
        self._plans = self._is_intra or (useful and ordered)
        self._limit = RateLimit()
        # Where a remuxer has lost the presentation times, the decoding times stand in for them.
        self._is_proven = self._is_intra or not context.has_b_frames
        self._last_pts: int | None = None
        self._newest_dts: int | None = None
        self._queue: deque[CodedPicture | Step] = deque()  # in arrival order, not yet given
        self._unsettled: list[tuple[int, int, CodedPicture]] = []  # a heap, by pts
        self._count = 0
        self._plan: deque[CodedPicture] = deque()  # in presentation order, until they come out
        self._held: list[CodedPicture] = []
        self._held_bytes = 0
        self._leads_to: int | None = None

    def feed(self, packet: Packet[VideoStream]) -> list[Step]:
        """Return what to decode now that this packet has come."""
        steps: list[Step] = []
        if self._plans and not self._has_order(packet):
            if self._keyframes_only and self._begins_again(packet):
                steps, self._newest_dts = self.finish(), None
            else:
                self._plans = False
        if self._plans and not self._is_proven:
            self._prove(packet)
        if not self._plans:
            return [*self._give_all(), Step(packet)]
        if packet.dts is not None:
            self._newest_dts = packet.dts
        if packet.is_discard or not is_shown(self._codec, packet):
            self._queue.append(Step(packet))
        else:
            assert packet.pts is not None
            key = packet.is_keyframe
            coded = CodedPicture(packet, packet.pts, packet.dts, packet.duration or 0, key)
            self._queue.append(coded)
            heapq.heappush(self._unsettled, (coded.pts, self._count, coded))
            self._count += 1
        self._settle(self._newest_dts)
        return [*steps, *self._released()]

    def finish(self) -> list[Step]:
        """Return what is still to be decoded at the end of the packets."""
        if not self._is_proven:
            self._give_up()
        if not self._plans:
            return self._give_all()
        while self._unsettled:
            self._settle(self._unsettled[0][0])
        return self._released()

    def match(self, picture: VideoFrame) -> tuple[list[CodedPicture], bool]:
        """Return what was left out before this picture, in order, and whether it is wanted."""
        clock = self._clock or self._begin(picture)
        pts = picture.pts
        place = self._place(pts)
        if place is not None:
            before = self._pop(place)
            return before, bool(self._plan.popleft().is_wanted)
        earlier = (n for n, coded in enumerate(self._plan) if pts is not None and coded.pts > pts)
        before = self._pop(next(earlier, len(self._plan)))
        seconds = clock.seconds(pts, picture.dts)  # it was not planned
        return before, self._wants(seconds, is_key=bool(picture.key_frame))

    def _place(self, pts: int | None) -> int | None:
        """Return the position in the plan of a decoded picture, None if it is not in it.

        Joined files have pictures with the same time in each: it is one that was decoded, or else
        one that the decoder was allowed to skip.
        """
        same = [n for n, coded in enumerate(self._plan) if pts is None or coded.pts == pts]
        return next((n for n in same if self._plan[n].is_decoded), same[0] if same else None)

    def rest(self) -> list[CodedPicture]:
        """Return what was left out after the last picture."""
        return self._pop(len(self._plan))

    def _pop(self, count: int) -> list[CodedPicture]:
        """Remove the first `count` pictures of the plan; return those that were left out.

        A picture that was decoded and did not come out is damaged. Among key frames it is one that
        is not complete by itself (intra refresh).
        """
        gone = [self._plan.popleft() for _ in range(count)]
        return [coded for coded in gone if self._keyframes_only or not coded.is_decoded]

    def _wants(self, seconds: float, *, is_key: bool) -> bool:
        """Return whether the next picture in presentation order is wanted."""
        if self._keyframes_only and not is_key:
            return False
        if self._max_fps is None:
            return True
        if not self._limit.is_due(seconds, self._max_fps):
            return False
        self._limit.take(seconds, self._max_fps)
        return True

    def _begin(self, first: VideoFrame) -> Clock:
        """Plan from the first picture on: anything before it cannot be decoded."""
        while self._plan and (first.pts is None or self._plan[0].pts < first.pts):
            self._plan.popleft()
        if not self._plan or self._plan[0].pts != first.pts or first.interlaced_frame:
            self._plans = self._plans and self._keyframes_only
        clock = self._clock = self._start_clock()
        for coded in self._plan:
            seconds = clock.seconds(coded.pts, coded.dts)
            coded.is_wanted = self._wants(seconds, is_key=coded.is_key)
        return clock

    def _has_order(self, packet: Packet[VideoStream]) -> bool:
        """Return whether the packet's time places its picture among the others."""
        pts, dts, newest = packet.pts, packet.dts, self._newest_dts
        if pts is None or (dts is not None and pts < dts):
            return False
        if dts is not None and newest is not None and dts < newest:
            return False
        return len(self._unsettled) < _MAX_REORDERED

    def _prove(self, packet: Packet[VideoStream]) -> None:
        """Look for a B-frame, which is shown before the packet in front of it."""
        pts, last = packet.pts, self._last_pts
        self._is_proven = pts is not None and last is not None and pts < last
        self._last_pts = pts
        if not self._is_proven and len(self._queue) >= _MAX_UNPROVEN:
            self._give_up()

    def _give_up(self) -> None:
        """Plan nothing, before the first packet is given."""
        self._plans, self._is_proven = False, True
        self._plan.clear()

    def _begins_again(self, packet: Packet[VideoStream]) -> bool:
        """Return whether times that go back start anew with this packet: files were joined."""
        pts, dts, newest = packet.pts, packet.dts, self._newest_dts
        if pts is None or dts is None or newest is None:
            return False
        return packet.is_keyframe and dts < newest and dts <= pts

    def _settle(self, dts: int | None) -> None:
        """Plan the pictures that no other picture can precede any more."""
        while dts is not None and self._unsettled and self._unsettled[0][0] <= dts:
            coded = heapq.heappop(self._unsettled)[2]
            coded.is_settled = True
            self._plan.append(coded)
            if self._clock is not None:
                seconds = self._clock.seconds(coded.pts, coded.dts)
                coded.is_wanted = self._wants(seconds, is_key=coded.is_key)

    def _released(self) -> list[Step]:
        steps: list[Step] = []
        while self._queue and self._is_proven:
            first = self._queue[0]
            if isinstance(first, CodedPicture) and not first.is_settled:
                break
            self._queue.popleft()
            steps += self._chosen(first)
        return steps

    def _chosen(self, coded: CodedPicture | Step) -> list[Step]:
        if isinstance(coded, Step) or coded.is_wanted is None:
            return [*self._release_held(), _decoded(coded)]
        if self._keyframes_only:  # each is decoded by itself, and comes out at once
            if not coded.is_wanted:
                return _left_out(coded)
            return [Step(None), _decoded(coded), Step(None)]
        if self._is_intra:
            return [_decoded(coded)] if coded.is_wanted else _left_out(coded)
        if not self._may_wait:
            return [_decoded(coded) if coded.is_wanted else self._maybe_skipped(coded)]
        return self._held_back(coded)

    def _held_back(self, coded: CodedPicture) -> list[Step]:
        """Hold a packet until a wanted one may need it; drop what a key frame makes useless."""
        steps: list[Step] = []
        if self._leads_to is not None:
            if coded.pts < self._leads_to:
                return _left_out(coded)
            if not coded.is_key:
                self._leads_to = None
        if self._held and self._starts_anew(coded):
            for one in self._held:
                one.packet = None
            self._held, self._held_bytes = [], 0
            self._leads_to = coded.pts
            steps.append(Step(None))
        if coded.is_wanted:
            return [*steps, *self._release_held(), _decoded(coded)]
        self._held.append(coded)
        self._held_bytes += 0 if coded.packet is None else coded.packet.size
        if self._held_bytes > _MAX_HELD_BYTES:
            steps += self._release_held()
        return steps

    def _starts_anew(self, coded: CodedPicture) -> bool:
        """Return whether nothing wanted from here on depends on anything before."""
        if coded.packet is None or not starts_anew(self._codec, self._extradata, coded.packet):
            return False
        later = (one for one in self._queue if isinstance(one, CodedPicture))
        return not any(one.is_wanted and one.pts < coded.pts for one in later)

    def _release_held(self) -> list[Step]:
        held, self._held, self._held_bytes = self._held, [], 0
        return [self._maybe_skipped(each) for each in held]

    def _maybe_skipped(self, coded: CodedPicture) -> Step:
        packet, coded.packet = coded.packet, None
        coded.is_decoded = not self._may_skip
        return Step(packet, may_skip=self._may_skip)

    def _give_all(self) -> list[Step]:
        """Return all that waits, to be decoded: unplanned pictures are chosen as they come."""
        steps = [*self._release_held()]
        steps += [_decoded(each) for each in self._queue]
        self._queue.clear()
        self._unsettled.clear()
        return steps


def decode_step(context: VideoCodecContext, step: Step) -> list[VideoFrame]:
    """Return the pictures decoded in a step; raises FFmpegError."""
    if step.packet is None:
        pictures = context.decode(None)
        context.flush_buffers()
        return pictures
    context.skip_frame = "NONREF" if step.may_skip else "DEFAULT"
    return context.decode(step.packet)


def _decoded(coded: CodedPicture | Step) -> Step:
    if isinstance(coded, Step):
        return coded
    packet, coded.packet = coded.packet, None
    coded.is_decoded = True
    return Step(packet)


def _left_out(coded: CodedPicture) -> list[Step]:
    coded.packet = None
    return []
