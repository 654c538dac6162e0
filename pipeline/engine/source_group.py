"""All sources of a run: added, opened, started, halted and closed together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from pipeline.core import malloc
from pipeline.core.cpu_count import cores
from pipeline.core.errors import PipelineError, SourceBrokenError
from pipeline.core.interfaces import HasClipPackets, HasPackets, Source
from pipeline.core.packet_tap import PacketTap
from pipeline.core.ring_buffer import RingBuffer, RingGroup
from pipeline.core.run_info import SourceInfo
from pipeline.core.worker import Fail
from pipeline.engine.camera_monitor import CameraMonitor, CameraStatus
from pipeline.engine.grabber import Grabbed, Grabber, GrabRules
from pipeline.engine.options import RunOptions
from pipeline.engine.stats import Stats

LIVE_RING_FRAMES = 1  # a newer one replaces it; another would only be kept to be dropped
ROOM_POLL_S = 0.01


class SourceGroup:
    """The grabbers of a run; sources may be added and removed while it runs.

    Inference takes frames from the group `rings`. Files named in `optional` are set aside if they
    cannot be read.
    """

    def __init__(
        self, options: RunOptions, stats: Stats, fail: Fail, optional: Collection[str] = ()
    ) -> None:
        self._options = options
        self._stats = stats
        self._fail = fail
        self.rings: RingGroup[Grabbed] = RingGroup(open_ended=options.wait_for_sources)
        # Replaced, never changed: a signal handler or another thread may be iterating over it.
        self._grabbers: tuple[Grabber, ...] = ()
        self._gone: tuple[Grabber, ...] = ()
        # Files still to be started, and sources that ended with frames in flight.
        self._parked: deque[Grabber] = deque()
        self._over: list[Grabber] = []
        self._opened = self._running = False
        self._halted = False
        self._optional = frozenset(optional)
        self._recordings: dict[str, SourceInfo] = {}
        self._detector: tuple[int, int] | None = None  # batch size, batches in flight
        self._lock = threading.Lock()

    @property
    def queues(self) -> dict[str, RingBuffer[Grabbed]]:
        """Return the queue of each source, by name, in order."""
        return {grabber.source.name: grabber.ring for grabber in self._grabbers}

    @property
    def infos(self) -> dict[str, SourceInfo]:
        """Return what is known of the sources that are open, by name."""
        return {g.source.name: g.info for g in self._grabbers if g.info is not None}

    @property
    def recordings(self) -> Mapping[str, SourceInfo]:
        """Return what is known of every file opened so far, by name, including removed ones."""
        return self._recordings

    @property
    def all_live(self) -> bool:
        """Return whether every source is live; false without sources."""
        return all(grabber.source.live for grabber in self._grabbers)

    @property
    def only_files(self) -> bool:
        """Return whether there are only files, and no further sources are expected."""
        live = any(grabber.source.live for grabber in self._grabbers)
        return not live and not self._options.wait_for_sources

    def __len__(self) -> int:
        return len(self._grabbers)

    def __contains__(self, name: str) -> bool:
        return any(grabber.source.name == name for grabber in self._grabbers)

    def statuses(self) -> dict[str, CameraStatus]:
        """Return the state of every source, by name, in order; any thread."""
        return {grabber.source.name: self._status(grabber) for grabber in self._grabbers}

    def _status(self, grabber: Grabber) -> CameraStatus:
        # A frame taken while being counted would be both waiting and dropped, or neither.
        with self.rings.ready:
            return grabber.monitor.status(grabber.stats, len(grabber.ring))

    def live_since(self, name: str) -> float | None:
        """Return since when a source has given frames, None while it does not; any thread."""
        found = (each for each in self._grabbers if each.source.name == name)
        return next((each.monitor.live_since() for each in found), None)

    def packets(self, name: str) -> PacketTap | None:
        """Return the tap of a source that offers its packets, None for others; any thread."""
        source = self._source(name)
        return source.packets if isinstance(source, HasPackets) else None

    def clip_packets(self, name: str) -> PacketTap | None:
        """Return the packets from which a source's clips are cut, if it has any; any thread."""
        source = self._source(name)
        return source.clip_packets if isinstance(source, HasClipPackets) else None

    def _source(self, name: str) -> Source | None:
        return next((each.source for each in self._grabbers if each.source.name == name), None)

    def add(self, source: Source) -> None:
        """Add a source, and start grabbing if the others have started.

        Raises ValueError if its name is taken, SourceError if a file cannot be opened.
        """
        if source.name in self:
            raise ValueError(f"Pipeline.sources: names must differ, '{source.name}' is there")
        grabber = self._new_grabber(source)
        if self._opened and not source.live:
            try:
                grabber.open(self._options.ring_megabytes)
            except PipelineError:
                source.close()
                raise
        self._note_recording(grabber)
        with self._lock:
            self._grabbers = (*self._grabbers, grabber)
            running = self._running
        if self._detector is not None:  # `limit` may have run before it was added
            grabber.limit(*self._detector)
        self.rings.add(grabber.ring)
        if self._halted:  # `halt` may have run before it was added
            grabber.halt()
        if running:
            # A mistake in a later addition must not end the run.
            grabber.isolate()
            grabber.start(self._fail, partial(self._ended, grabber))

    def remove(self, name: str) -> Grabber:
        """Halt a source and remove it; returns its grabber, still to be closed.

        Its waiting frames are dropped as "removed". Raises ValueError for an unknown name.
        """
        found = [grabber for grabber in self._grabbers if grabber.source.name == name]
        if not found:
            names = ", ".join(grabber.source.name for grabber in self._grabbers)
            raise ValueError(f"Pipeline.sources: no source '{name}' (there are: {names or 'none'})")
        grabber = found[0]
        with self._lock:
            self._grabbers = tuple(each for each in self._grabbers if each is not grabber)
        grabber.isolate()
        grabber.halt("removed")
        self.rings.remove(grabber.ring)
        if grabber.broken is not None:
            self._gone = (*self._gone, grabber)
        return grabber

    def retry_now(self, name: str) -> None:
        """Retry a lost camera at once; raises ValueError for an unknown name."""
        for grabber in self._grabbers:
            if grabber.source.name == name:
                grabber.retry_now()
                return
        raise ValueError(f"Pipeline.sources: no source '{name}'")

    def open_files(self) -> None:
        """Open what must exist now; cameras open on their own threads. Raises SourceError.

        Files that are started later are closed again: a folder of hundreds is more than a machine
        can decode at once.
        """
        with self._lock:
            self._opened = True
            files = [grabber for grabber in self._grabbers if not grabber.source.live]
        at_once = self._options.files_at_once or cores().threads
        opened = 0
        for grabber in files:
            if not grabber.open(self._options.ring_megabytes):
                continue
            self._note_recording(grabber)
            opened += 1
            if opened > at_once:
                grabber.park()
                self._parked.append(grabber)
        if self._parked:
            malloc.return_freed()
        aside = [grabber.broken for grabber in files if grabber.broken is not None]
        if aside and len(aside) == len(self._grabbers):
            raise SourceBrokenError(_unread(aside, len(files)))

    def _note_recording(self, grabber: Grabber) -> None:
        """Keep what a file says of itself, also once removed: results may be on their way."""
        if grabber.info is not None:
            self._recordings[grabber.source.name] = grabber.info
        else:  # a camera that takes over a file's name
            self._recordings.pop(grabber.source.name, None)

    @property
    def files(self) -> tuple[int, int]:
        """Return how many files were started, and how many there are; any thread."""
        total = sum(not grabber.source.live for grabber in self._grabbers)
        return total - len(self._parked), total

    def limit(self, batch_size: int, in_flight: int) -> None:
        """Limit how many frames of a file are on their way, by what the detector takes.

        The limit also applies to files added later.
        """
        with self._lock:
            self._detector = batch_size, in_flight
            grabbers = self._grabbers
        for grabber in grabbers:
            grabber.limit(batch_size, in_flight)

    def start(self) -> None:
        """Start grabbing from all, until their end or `halt`; parked files one after another."""
        with self._lock:
            self._running = True
            grabbers = self._grabbers
        for grabber in grabbers:
            if not grabber.parked and grabber.broken is None:
                grabber.start(self._fail, partial(self._ended, grabber))

    def _ended(self, grabber: Grabber) -> None:
        """Record a source that has ended, and start the next parked file."""
        self._over.append(grabber)
        if grabber.source.live:
            return
        # Otherwise memory freed by a decoder stays with the C library: 14 MB for a 1080p file.
        malloc.often.trim()
        self._wait_for_room(grabber.ring.capacity)
        try:
            next_file = self._parked.popleft()
            next_file.start(self._fail, partial(self._ended, next_file))
        except IndexError:
            return  # that was the last file
        except RuntimeError as error:  # the system has no thread left
            self._fail(error)

    def _wait_for_room(self, frames: int) -> None:
        """Wait until few enough frames of ended files wait for inference.

        Short files end as soon as they are in their rings: a whole folder of them would be decoded
        ahead of a slow detector.
        """
        while not self._halted and sum(len(each.ring) for each in self._over[:]) > frames:
            time.sleep(ROOM_POLL_S)

    def finished(self) -> list[str]:
        """Return the sources that ended, each once, when no frame of theirs is in flight."""
        if not self._over:
            return []
        done = [g for g in self._over[:] if g.stats.in_flight == 0]
        for grabber in done:
            self._over.remove(grabber)
        return [grabber.source.name for grabber in done if not self._came_back(grabber)]

    def _came_back(self, grabber: Grabber) -> bool:
        name = grabber.source.name
        return any(each.source.name == name for each in self._grabbers if each is not grabber)

    def halt(self) -> None:
        """Drop all waiting and further frames; wakes grabbers that wait for space."""
        self._halted = True
        for grabber in self._grabbers:
            grabber.halt()
        self.rings.close()

    def close(self, patience_s: float) -> None:
        """Close every source; those that hang are abandoned after `patience_s` in total."""
        deadline = time.monotonic() + patience_s
        for grabber in self._grabbers:
            try:
                grabber.close(max(0.0, deadline - time.monotonic()))
            except PipelineError as error:
                self._fail(error)

    def balance(self, *, interrupted: bool) -> None:
        """Count frames lost by a Ctrl-C between two stages as dropped."""
        for source in self._stats.sources.values() if interrupted else ():
            missing = source.grabbed - source.delivered - sum(source.drops().values())
            if missing > 0:
                source.drop("interrupted", missing)

    def raise_unread(self) -> None:
        """Raise SourceBrokenError naming every file that broke off or was set aside."""
        grabbers = (*self._grabbers, *self._gone)
        broken = [grabber.broken for grabber in grabbers if grabber.broken is not None]
        if len(broken) == 1 and not self._optional:
            raise broken[0]
        if broken:
            raise SourceBrokenError(_unread(broken, sum(not each.source.live for each in grabbers)))

    def _new_grabber(self, source: Source) -> Grabber:
        options = self._options
        stats = self._stats.add_source(source.name, live=source.live)

        def drop(grabbed: Grabbed, cause: str) -> None:
            stats.drop_frame(grabbed.frame.index, cause)

        ring: RingBuffer[Grabbed] = (
            RingBuffer(LIVE_RING_FRAMES, "drop_oldest", self.rings.ready, drop)
            if source.live
            else RingBuffer(options.ring_frames, "block", self.rings.ready, drop)
        )
        monitor = CameraMonitor(
            source.name,
            live=source.live,
            stale_after_s=options.stale_after_s,
            frozen_after_s=options.frozen_after_s,
        )
        rules = GrabRules(
            options.retry_first_s,
            options.retry_longest_s,
            options.max_frames,
            optional=source.name in self._optional,
            isolated=options.wait_for_sources,
        )
        return Grabber(source, ring, stats, monitor, rules)


def _unread(broken: Sequence[SourceBrokenError], files: int) -> str:
    """Return one line that names every file that could not be read, and why."""
    each = "; ".join(" ".join(str(error).split()) for error in broken)
    return f"{len(broken)} of {files} {'file' if files == 1 else 'files'} could not be read: {each}"
