"""Processes one camera's recordings in order: tracks continue across them, nothing is done twice.

A recording that is in the dataset is kept if neither its content nor the state its tracks continued
from has changed. A changed one is processed again, and so are the following ones as far as tracks
continued from one to the next; everything after a gap stays as it is.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

from pipeline.archive.batch.annotated import AnnotatedVideo
from pipeline.archive.batch.camera_tracker import CameraTracker
from pipeline.archive.batch.content import Stamp, content_hash, sample_of
from pipeline.archive.batch.grouping import Recording, Seam, reason_of, seam_between
from pipeline.archive.batch.identity import is_same
from pipeline.archive.batch.options import BatchOptions
from pipeline.archive.batch.progress import Pace, Report, Update
from pipeline.archive.batch.reading import RecordingReader
from pipeline.archive.batch.remote_files import LocalCopies
from pipeline.archive.batch.store import JobStore, Kept, Notes, remembered, video_row
from pipeline.archive.dataset.schema import Segment
from pipeline.archive.dataset.writer import SegmentWriter
from pipeline.config.build import tracker_factory
from pipeline.config.schema import Config
from pipeline.core.errors import SourceError, UsageError
from pipeline.core.interfaces import Detector
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.watcher import ZoneWatcher
from pipeline.sources.file import Options

log = logging.getLogger("trackline")

_UNKNOWN_MEMORY_S = 60.0
"""Seconds a track may be unseen if the tracker does not report its memory."""
_LOST_S = 1.0
"""If a file is shorter than its header claims by more than this, the rest counts as a gap."""


@dataclass(frozen=True)
class CameraContext:
    """Everything needed to process a camera: options, configuration, zones, detector, dataset.

    Results are written to `store`.
    """

    options: BatchOptions
    config: Config
    zones: CameraZones | None
    detector: Callable[[], Detector]
    store: JobStore


@dataclass(frozen=True)
class _Step:
    """A recording and its segment's name; `is_gone`: committed, but the file no longer exists."""

    name: str
    recording: Recording
    is_gone: bool = False


@dataclass(frozen=True)
class _Last:
    """The camera's last recording, from which the next may continue; none if it was unreadable.

    `ended_at_s` is where it really ended; `is_loaded`: the tracker is in the state after it;
    `is_open`: the next may continue from it, because its state was stored.
    """

    recording: Recording | None = None
    ended_at_s: float = 0.0
    token: str = ""
    segment: str = ""
    is_loaded: bool = True
    is_open: bool = True


class CameraRun:
    """One camera's recordings, from the first that is not in the dataset."""

    def __init__(
        self,
        camera: str,
        recordings: Sequence[Recording],
        context: CameraContext,
        report: Report,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._camera = camera
        self._recordings = recordings
        self._context = context
        self._report = report
        self._is_stopped = is_stopped
        self._tracker = CameraTracker(camera, tracker_factory(context.config), self._new_watcher)
        self._last = _Last()
        self._copies = LocalCopies()

    def run(self) -> None:
        """Process all, or until stopped; raises PipelineError if it cannot continue."""
        steps = self._with_gone()
        try:
            for step, follower in zip(steps, [*steps[1:], None], strict=True):
                after = None if follower is None else follower.recording
                if step.is_gone:
                    self._pass(step)
                elif self._is_stopped() or not self._step(step, after):
                    return
        finally:
            self._copies.close()
            self._tracker.close()

    def _with_gone(self) -> list[_Step]:
        """Return the recordings, including those in between whose files no longer exist.

        If a camera deletes its oldest recordings, the rest must not be processed again.
        """
        named = [_Step(one.segment, one) for one in self._recordings]
        gone = self._context.store.others(self._camera, {step.name for step in named})
        steps = [*(_Step(name, one, is_gone=True) for name, one in gone.items()), *named]
        if gone:
            steps.sort(key=lambda step: step.recording.sort_key())
        return steps

    def _pass(self, step: _Step) -> None:
        """Pass a committed recording whose file is gone: later tracks may continue from it."""
        if (kept := self._context.store.kept(step.name)) is not None:
            notes = kept.notes
            self._last = _Last(
                step.recording,
                notes.ended_at_s,
                notes.token,
                step.name,
                is_loaded=False,
                is_open=notes.is_carried_on,
            )

    def _new_watcher(self) -> ZoneWatcher | None:
        zones = self._context.zones
        return None if zones is None else ZoneWatcher(zones, beyond="error")

    def _step(self, step: _Step, follower: Recording | None) -> bool:
        """Keep or process a recording; returns False if it was stopped in the middle."""
        store, last = self._context.store, self._last
        name, recording = step.name, step.recording
        seam = self._seam(last, recording)
        if (kept := store.kept(name)) is not None:
            if not (why := self._why_anew(kept, recording, seam, follower)):
                self._keep(kept, recording)
                return True
            log.info("%s: tracked once more: %s", recording.path, why)
            store.remove(name)
        self._report(Update("begun", self._camera, str(recording.path)))
        segment = Segment(name, self._camera, str(recording.path), start_utc=recording.start_utc)
        if recording.problem:
            self._set_aside(segment, recording, recording.problem)
            return True
        try:
            return self._process(segment, recording, follower, seam)
        except SourceError as error:
            self._set_aside(segment, recording, reason_of(error, recording.path))
            return True

    def _seam(self, last: _Last, recording: Recording) -> Seam:
        """Return the seam between the last recording and this one."""
        before = last.recording
        if before is None or recording.probe is None or recording.problem:
            return Seam(reason="nothing to go on from")
        if not last.is_open:
            return Seam(reason="the state before it was not kept")
        limit_s = self._context.options.max_seam_s
        if before.probe is not None and not before.duration_s:  # raw video has no duration
            before = replace(before, probe=replace(before.probe, duration_s=last.ended_at_s))
        seam = seam_between(before, recording, limit_s)
        lost_s = before.duration_s - last.ended_at_s
        if not seam.is_carried or lost_s < _LOST_S:
            return seam
        gap_s = seam.gap_s + lost_s
        return Seam(gap_s, f"{gap_s:.1f} s are missing" if gap_s > limit_s else "")

    def _why_anew(
        self, kept: Kept, recording: Recording, seam: Seam, follower: Recording | None
    ) -> str:
        """Return why a committed segment is out of date, "" if it is not."""
        if kept.manifest.status == "failed" and not kept.manifest.hash:
            return "it could not be read before"
        if not is_same(kept, recording):
            return "its content changed"
        notes = kept.notes
        carried_from = self._last.token if seam.is_carried else ""
        after = _Last(recording, notes.ended_at_s)
        is_carried_on = kept.manifest.status != "failed" and self._goes_on(after, follower)
        if notes.carried_from != carried_from:
            return "what its tracks go on from changed"
        if notes.is_carried_on != is_carried_on:
            return "its tracks go on in the next one" if is_carried_on else "its tracks end with it"
        return ""

    def _goes_on(self, last: _Last, follower: Recording | None) -> bool:
        """Return whether the tracks of a recording continue in the next one."""
        if follower is None or follower.problem or not self._tracker.can_be_saved:
            return False
        return self._seam(last, follower).is_carried

    def _keep(self, kept: Kept, recording: Recording) -> None:
        notes, name = kept.notes, kept.manifest.segment
        if kept.manifest.status == "failed":
            self._last = _Last()
        else:
            self._last = _Last(recording, notes.ended_at_s, notes.token, name, is_loaded=False)
        self._report(Update("kept", self._camera, str(recording.path), reason=notes.reason))

    def _set_aside(self, segment: Segment, recording: Recording, reason: str) -> None:
        """Store in the dataset that a recording cannot be read, and why.

        Trajectories that would have continued in it end there.
        """
        log.warning("%s: %s; set aside", recording.path, reason)
        store = self._context.store
        opened_by = store.kept(self._last.segment)
        previous = self._last.segment if opened_by and opened_by.notes.is_carried_on else ""
        carried_from = self._last.token if previous else ""
        stamp, sample = Stamp.of(recording.path), sample_of(recording.path)
        with suppress(SourceError):  # none: tried again by the next job
            segment = replace(segment, hash=content_hash(recording.path))
        SegmentWriter(store.dataset, segment, previous=previous).abort()  # with its checkpoint
        writer = SegmentWriter(store.dataset, segment, previous=previous)
        notes = Notes(
            "", carried_from, False, stamp.size, stamp.mtime_ns,
            reason=reason, sample=sample, place=recording.place,
        )  # fmt: skip
        row = video_row(recording, status="failed", reason=reason)
        store.commit(writer, row, notes, None)
        self._last = _Last()
        self._report(Update("failed", self._camera, str(recording.path), reason=reason))

    def _process(
        self, segment: Segment, recording: Recording, follower: Recording | None, seam: Seam
    ) -> bool:
        """Process a recording, or the rest of it; returns False if it was stopped."""
        store, began = self._context.store, time.monotonic()
        stamp, sample = Stamp.of(recording.path), sample_of(recording.path)
        self._copies.begin(recording.path)
        if follower is not None and not follower.problem and store.kept(follower.segment) is None:
            self._copies.begin(follower.path)
        digest = content_hash(recording.path)  # after the stamp: it may still grow
        carried_from = self._last.token if seam.is_carried else ""
        self._begin(seam)
        token = _token(digest, carried_from, self._tracker.last_id)
        segment = replace(segment, hash=digest, offset_s=self._tracker.offset_s)
        previous = self._last.segment if seam.is_carried else ""
        with self._writer(segment, previous, token) as writer:
            reader = self._read(writer, recording, token)
            if reader.was_stopped:
                return False
            after = _Last(recording, self._tracker.ended_at_s, token, segment.name)
            goes_on = self._goes_on(after, follower)
            state = self._tracker.save_state() if goes_on else None
            broken = reader.broken or ""
            notes = Notes(
                token, carried_from, goes_on, stamp.size, stamp.mtime_ns, after.ended_at_s, broken,
                remembered(recording), sample, recording.place,
            )  # fmt: skip
            row = video_row(
                recording,
                status="partial" if broken else "ok",
                reason=broken or reader.doubts,
                read_s=after.ended_at_s,
                dropped=reader.dropped,
                wall_s=time.monotonic() - began,
                report=reader.report(),
            )
            store.commit(writer, row, notes, state)
        if broken:
            log.warning("%s: %s; kept up to there", recording.path, broken)
        self._last = after
        self._report(Update("done", self._camera, str(recording.path), reason=broken))
        return True

    def _begin(self, seam: Seam) -> None:
        """Prepare the tracker for the start of the next recording."""
        store, last = self._context.store, self._last
        highest = store.highest_id(self._camera)
        if not seam.is_carried:
            self._tracker.begin(gap_s=None, last_id=highest)
            return
        if not last.is_loaded:
            state = store.state_after(last.segment)
            if state is None:
                raise UsageError(
                    f"{store.dataset}: the state after segment {last.segment} is lost; "
                    f"remove manifest/{last.segment}.json, and it is done anew"
                )
            self._tracker.load_state(state)
        self._tracker.begin(gap_s=seam.gap_s, last_id=highest)

    @contextmanager
    def _writer(self, segment: Segment, previous: str, token: str) -> Iterator[SegmentWriter]:
        """Yield the segment's writer, at its checkpoint if processing can resume there."""
        memory_s = self._tracker.memory_s
        new = partial(
            SegmentWriter,
            self._context.store.dataset,
            segment,
            previous=previous,
            memory_s=_UNKNOWN_MEMORY_S if memory_s is None else memory_s + _LOST_S,
        )
        writer = new()
        if (resumed := writer.resumed) is not None:
            if resumed.state.get("token") == token and self._can_checkpoint:
                self._tracker.load_state(resumed.state["tracker"])
            else:
                writer.abort()
                writer = new()
        try:
            yield writer
        finally:
            writer.close()

    def _read(self, writer: SegmentWriter, recording: Recording, token: str) -> RecordingReader:
        """Read, track and write a recording from the writer's checkpoint to its end or a stop.

        Returns its reader, which has the outcome.
        """
        context, segment = self._context, writer.segment
        first = 0 if writer.resumed is None else writer.resumed.frame + 1
        detector = context.detector()
        pace = Pace(context.options.checkpoint_s, first)

        def checkpoint() -> None:
            writer.checkpoint({"token": token, "tracker": self._tracker.save_state()})
            pace.checkpoint_made()

        with ExitStack() as stack:
            local = stack.enter_context(self._copies.of(recording.path))
            opened = Options(path=local, timezone=context.options.timezone)
            reader = RecordingReader(recording.path, opened, context.config, detector, first)
            video = None
            if context.options.save_video:
                zones = context.zones
                video = AnnotatedVideo(context.config, context.store.dataset, segment, zones)
                stack.enter_context(video)
            for result in reader.results():
                tracked = self._tracker.track(result)
                writer.add(tracked)
                if video is not None:
                    video.write(tracked, reader.info)
                pace.add(tracked.frame.index, tracked.frame.pts_s)
                if pace.is_update_due:
                    self._report(pace.update(self._camera, recording))
                if self._is_stopped():
                    reader.stop()
                elif pace.is_checkpoint_due and self._can_checkpoint:
                    checkpoint()
            self._report(pace.update(self._camera, recording))
            if reader.was_stopped:
                if self._can_checkpoint and pace.frame >= first:
                    checkpoint()
            elif video is not None:
                video.finish()
        return reader

    @property
    def _can_checkpoint(self) -> bool:
        """Return whether processing can resume in the middle of a recording.

        Not if boxes between two detections depend on the later one, nor if a video is written.
        """
        return (
            self._tracker.can_be_saved
            and self._context.config.run.detect_every == 1
            and not self._context.options.save_video
        )


def _token(digest: str, carried_from: str, base_id: int) -> str:
    """Return a token for a recording's results: its content, what it continues from, its ids."""
    text = f"{digest} {carried_from} {base_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:20]
