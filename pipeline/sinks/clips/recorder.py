"""Recorder of event clips: H.264 MP4 from seconds before to seconds after, on its own thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pipeline.core.data import Result
from pipeline.core.drawing import Annotator
from pipeline.core.errors import WriteError, writing
from pipeline.core.packet_tap import PacketTap, StreamPacket
from pipeline.core.paths import safe_stem
from pipeline.core.usual_interval import UsualInterval
from pipeline.core.worker import Fail, Worker
from pipeline.events.store.clip_boxes import ClipBoxes
from pipeline.events.store.clip_files import make_private
from pipeline.events.store.writer import ClipLosses
from pipeline.sinks._mp4 import Mp4Writer
from pipeline.sinks.clips.packet_clips import PacketClipWriter, PacketCursor
from pipeline.sinks.clips.pre_roll import (
    LATE_S,
    ClipOptions,
    EventTimes,
    PreRollBuffer,
    PreRollFrame,
    event_times,
    lower_priority,
)
from pipeline.sinks.clips.thumbnails import ThumbnailMaker

log = logging.getLogger("trackline")

MAX_WAITING = 1200
"""Maximum pictures waiting for the encoder, about 50 MB; beyond it clips lose pictures."""
MAX_WAITING_BYTES = 128 * 2**20
"""Maximum bytes of packets waiting for a slow disk; beyond it copied clips end."""
MAX_CLIP_S = 60.0
SILENT_S = 5.0
"""A camera that gives no picture for so long ends its clips; longer where pictures are few."""
IDLE_S = 60.0
"""After so long without a picture nothing is kept of a camera: it is lost, or was removed."""
TRAIL_S = 1.5
_ROUNDING_S = 1e-3
_ENCODER: dict[str, object] = {"crf": "25", "preset": "superfast", "tune": "zerolatency"}


class ClipCallbacks:
    """Callbacks for the state of clips; `path` is below the folder of clips.

    A finished clip has its size and its packed boxes. Called with the recorder's lock held: they
    may wait (over files, for the database), but not for anything that calls the recorder.
    """

    def __init__(
        self,
        link: Callable[[str, float, Sequence[str]], object],
        finish: Callable[[str, int, bytes], object],
        forget: Callable[[str], object],
    ) -> None:
        self.link = link
        self.finish = finish
        self.forget = forget


@dataclass(slots=True, eq=False)
class Clip:
    """A clip that is being recorded, until `ends_s` on its camera's clock."""

    path: str
    began_s: float
    began: float
    ends_s: float
    packets: PacketCursor | None = None
    """Of a clip that is copied."""
    over: bool = False
    fed_at: float = field(default_factory=time.monotonic)


class Step(NamedTuple):
    """Work of the encoding thread: a picture of a clip, with the packets to copy; None: its end."""

    clip: Clip
    picture: PreRollFrame | None
    packets: Sequence[StreamPacket] = ()


class ClipFile(NamedTuple):
    """The file of a clip, what is drawn into it, and the boxes that are stored with it."""

    writer: Mp4Writer | PacketClipWriter
    annotator: Annotator
    boxes: ClipBoxes


class ClipRecorder:
    """Takes results on one thread (`add`) and encodes on another.

    Neither waits for the other or for the disk, unless the option `lossless` is set. An event
    extends the clip of its camera in progress, up to a minute, so overlapping events share one; a
    new clip begins with the seconds before its event. `packets` returns, for a camera, the packets
    to make its clips from, None if they are made from the results' pictures. A clip is made from
    one or the other.
    """

    def __init__(
        self,
        options: ClipOptions,
        folder: Path,
        callbacks: ClipCallbacks,
        thumbnails: ThumbnailMaker | None = None,
        packets: Callable[[str], PacketTap | None] = lambda source: None,  # noqa: ARG005
    ) -> None:
        self.lost_pictures = 0
        self.losses = ClipLosses()
        self._options = options
        self._folder = folder
        self._callbacks = callbacks
        self._thumbnails = thumbnails
        self._packets = packets
        self._taps: dict[str, tuple[PacketTap, Callable[[], None]]] = {}
        self._rings: dict[str, PreRollBuffer] = {}
        self._intervals: dict[str, UsualInterval] = {}
        self._added_at: dict[str, float] = {}  # when each camera's last result came
        self._clips: dict[str, list[Clip]] = {}
        self._waiting: deque[Step] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._files: dict[Clip, ClipFile] = {}
        self._worker = Worker("events: clips", self._work, lambda: None)

    def start(self, fail: Fail) -> None:
        """Start the threads."""
        self._worker.start(fail)
        if self._thumbnails is not None:
            self._thumbnails.start(fail)

    def add(
        self, result: Result, uids: Sequence[str], unix_s: float, visits: Sequence[str] = ()
    ) -> None:
        """Keep the picture, and record it for events.

        `uids` are those of this result's events, `visits` the names of their visits.
        """
        source, options = result.frame.source, self._options
        with self._changed:
            ring = self._rings.get(source)
            if ring is None:
                ring = PreRollBuffer(options.before_s, options.fps, options.width)
            self._note(source, ring).add(self._added_at[source], result.frame.epoch)
        picture = ring.add(result, always=bool(uids))
        if picture is None:
            return
        tap = self._packets(source)
        with self._changed:
            self._note(source, ring)  # stopped for a minute (Ctrl-Z), all was let go meanwhile
            self._drop_idle(picture.captured_at)
            self._subscribe(source, tap)
            open_clips = [clip for clip in self._clips.get(source, []) if not clip.over]
            for clip in open_clips:
                self._put(clip, picture, () if clip.packets is None else clip.packets.take())
                if clip.packets is not None and clip.packets.is_lost(picture.captured_at):
                    self._end(clip)
            if uids:
                self._record(ring, event_times(result, uids, picture.time_s, unix_s), tap)
            for clip in open_clips:
                if picture.time_s >= clip.ends_s:
                    self._end(clip)
            self._clips[source] = [clip for clip in self._clips.get(source, []) if not clip.over]
        if self._thumbnails is not None:
            for event, visit in zip(result.events, visits, strict=False):
                first_s = picture.time_s - self._options.before_s
                self._thumbnails.begin(visit, event.track_id, unix_s, ring.since(first_s))
            self._thumbnails.add(picture)

    def end_visits(self, visits: Sequence[str]) -> None:
        """Stop looking for better pictures of these visits."""
        if self._thumbnails is not None:
            self._thumbnails.end(visits)

    def close(self, timeout_s: float) -> None:
        """Finish all clips as they are; pictures not encoded in time are left out."""
        with self._changed:
            self._closing = True
            for clips in self._clips.values():
                for clip in clips:
                    self._end(clip)
            self._changed.notify_all()
        if not self._worker.join(timeout_s):
            with self._changed:
                self.lost_pictures += sum(1 for step in self._waiting if step.picture is not None)
                self._waiting = deque(step for step in self._waiting if step.picture is None)
            self._worker.join(timeout_s)
        for _, end in self._taps.values():
            end()
        self._taps.clear()
        if self._thumbnails is not None:
            self._thumbnails.close(timeout_s)
        if self.lost_pictures:
            log.warning("events: clips lack %d pictures", self.lost_pictures)

    def _note(self, source: str, ring: PreRollBuffer) -> UsualInterval:
        """Note that a camera gives pictures now; the lock is held."""
        self._added_at[source] = time.monotonic()
        self._rings[source] = ring
        return self._intervals.setdefault(source, UsualInterval())

    def _drop_idle(self, now: float | None = None) -> None:
        """Let go of what is kept of cameras that have been silent: by the clock, and up to the
        picture of `now`, which may be later by the cameras' own times.
        """
        if self._options.lossless:
            return
        clock = time.monotonic()
        with self._changed:
            for name, added_at in list(self._added_at.items()):
                wait_s = self._intervals[name].max_wait_s(IDLE_S)
                is_idle = added_at < clock - wait_s
                if now is not None and not is_idle:
                    is_idle = self._rings[name].newest.captured_at < now - wait_s
                if is_idle:
                    self._forget(name)

    def _forget(self, name: str) -> None:
        """Let go of what is kept of a camera; the lock is held."""
        del self._added_at[name], self._intervals[name], self._rings[name]
        if (tap := self._taps.pop(name, None)) is not None:
            tap[1]()
        for clip in self._clips.pop(name, []):  # open still where the encoder is behind
            self._end(clip)

    def _subscribe(self, source: str, tap: PacketTap | None) -> None:
        """Have a camera's packets kept from the first call on; the lock is held."""
        known = self._taps.get(source)
        if known is not None and known[0] is not tap:
            known[1]()
            del self._taps[source]
        if tap is not None and source not in self._taps:
            self._taps[source] = tap, tap.subscribe(self._options.before_s + LATE_S)

    # -- the thread that notes; the lock is held --------------------------------------------------

    def _record(self, ring: PreRollBuffer, times: EventTimes, tap: PacketTap | None) -> None:
        """Make the clip in progress show these events too, or begin one."""
        source, now, uids = ring.newest.source, ring.newest.captured_at, times.uids
        ends_s = times.last_s + self._options.after_s
        for clip in self._clips.get(source, []):
            if not clip.over and ends_s <= clip.began_s + MAX_CLIP_S:
                clip.ends_s = max(clip.ends_s, ends_s)
                self._callbacks.link(clip.path, clip.began, uids)
                return
        before = ring.since(times.first_s - self._options.before_s - _ROUNDING_S)
        packets = PacketCursor.at(tap, before[0].captured_at, now)
        # Packets begin with a key frame, some seconds earlier.
        early_s = 0.0 if packets is None else before[0].captured_at - packets.began_at
        began_s = before[0].time_s - early_s
        began = times.unix_s - (times.first_s - began_s)
        stamp = datetime.fromtimestamp(times.unix_s, UTC).strftime("%Y%m%d-%H%M%S")
        path = f"{safe_stem(source)}/{stamp}-{uids[0][:8]}.mp4"
        clip = Clip(path, began_s, began, ends_s, packets)
        self._clips.setdefault(source, []).append(clip)
        self._callbacks.link(path, began, uids)
        for n, picture in enumerate(before):
            self._put(clip, picture, packets.take() if packets is not None and n == 0 else ())

    def _put(self, clip: Clip, picture: PreRollFrame, packets: Sequence[StreamPacket] = ()) -> None:
        if clip.over:
            return
        clip.fed_at = time.monotonic()
        while self._options.lossless and len(self._waiting) >= MAX_WAITING and not self._closing:
            self._changed.wait(1.0)
        if len(self._waiting) >= MAX_WAITING or (packets and self._has_too_many_bytes):
            self.lost_pictures += 1
            if packets:  # what follows on missing ones cannot be decoded
                self._end(clip)
            return
        self._waiting.append(Step(clip, picture, packets))
        self._changed.notify_all()

    @property
    def _has_too_many_bytes(self) -> bool:
        sizes = (len(one.data) for step in self._waiting for one in step.packets)
        return sum(sizes) > MAX_WAITING_BYTES

    def _end(self, clip: Clip) -> None:
        if not clip.over:
            clip.over = True
            self._waiting.append(Step(clip, None))
            self._changed.notify_all()

    # -- the thread that encodes ------------------------------------------------------------------

    def _work(self) -> None:
        lower_priority()
        while (step := self._next()) is not None:
            clip = step.clip
            try:
                if step.picture is None:
                    self._finish(clip)
                elif clip.packets is None:
                    self._encode(clip, step.picture)
                else:
                    self._copy(clip, step.picture, step.packets)
            except WriteError as error:
                log.warning("events: clip lost: %s", error)
                self.losses = ClipLosses(self.losses.lost + 1, time.time(), str(error))
                self._drop(clip)

    def _next(self) -> Step | None:
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return None
                self._changed.wait(1.0)
                self._drop_idle()
                now = time.monotonic() - 1 / self._options.fps
                for source, clips in self._clips.items():
                    silent = now - self._intervals[source].max_wait_s(SILENT_S)
                    for clip in clips:
                        if clip.fed_at < silent:
                            self._end(clip)
            self._changed.notify_all()
            return self._waiting.popleft()

    def _encode(self, clip: Clip, picture: PreRollFrame) -> None:
        result = picture.result()
        file = self._files.get(clip)
        if file is None:
            made = Mp4Writer(self._new_file(clip), result.frame.image, _ENCODER, 1)
            file = self._begin(clip, made, picture.width, picture.height)
        assert isinstance(file.writer, Mp4Writer)
        if result.frame.shape[:2] != file.writer.size:
            with self._changed:
                self._end(clip)  # the camera changed its picture size: the rest is another picture
            return
        canvas = file.writer.canvas(result.frame.image)
        if self._options.boxes:
            file.annotator.paint(canvas, result)
        file.writer.encode(result.frame)
        file.boxes.add(picture.time_s - clip.began_s, picture.tracks, picture.class_names)

    def _copy(self, clip: Clip, picture: PreRollFrame, packets: Sequence[StreamPacket]) -> None:
        file = self._files.get(clip)
        if file is None:
            made = PacketClipWriter(self._new_file(clip), packets[0])
            file = self._begin(clip, made, made.width, made.height)
        assert isinstance(file.writer, PacketClipWriter)
        file.writer.write(packets)
        tracks = file.writer.scaled(picture.tracks, picture.width, picture.height)
        file.boxes.add(picture.time_s - clip.began_s, tracks, picture.class_names)

    def _begin(
        self, clip: Clip, writer: Mp4Writer | PacketClipWriter, width: int, height: int
    ) -> ClipFile:
        file = ClipFile(writer, Annotator(TRAIL_S, by_class=True), ClipBoxes(width, height))
        self._files[clip] = file
        return file

    def _new_file(self, clip: Clip) -> Path:
        file = self._folder / clip.path
        with writing(file, WriteError):
            file.parent.mkdir(parents=True, exist_ok=True)
            make_private(file)
        return file

    def _finish(self, clip: Clip) -> None:
        known = self._files.pop(clip, None)
        if known is None:  # every picture was lost
            self._callbacks.forget(clip.path)
            return
        known.writer.close()
        file = self._folder / clip.path
        with writing(file, WriteError):
            size = file.stat().st_size
        boxes = known.boxes.packed()
        self._callbacks.finish(clip.path, size + len(boxes), boxes)

    def _drop(self, clip: Clip) -> None:
        """Give up a clip that cannot be written."""
        with self._changed:
            clip.over = True
            self._waiting = deque(step for step in self._waiting if step.clip is not clip)
        known = self._files.pop(clip, None)
        if known is not None:
            with suppress(WriteError):
                known.writer.close()
        self._callbacks.forget(clip.path)
