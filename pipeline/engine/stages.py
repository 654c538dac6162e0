"""What a run consists of, and how that may be changed while it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from pipeline.core.data import Result
from pipeline.core.errors import PipelineError
from pipeline.core.fork_check import check_not_forked
from pipeline.core.interfaces import Detector, Sink, Source, SourceInfo, Tracker, Watcher
from pipeline.core.ring_buffer import RingBuffer
from pipeline.engine.camera_monitor import CameraStatus
from pipeline.engine.inference import Inference
from pipeline.engine.options import RunOptions
from pipeline.engine.sink_group import SinkGroup
from pipeline.engine.source_group import SourceGroup
from pipeline.engine.source_tracker import SourceTrackers
from pipeline.engine.stats import Stats

RESULT_RING = 8


class Stages:
    """The sources, inference and sinks of a run, connected; `Pipeline` makes them run.

    Sources, detector, trackers and watchers may be changed by any thread, before the run and
    while it goes on, but not by a tracker, a watcher or the detector itself.
    """

    patience_s = 5.0
    """How long the end of the run waits for sources that hang, all of them together."""

    def __init__(
        self,
        detector: Detector,
        new_tracker: Callable[[], Tracker],
        sinks: Mapping[str, Sink],
        options: RunOptions,
        new_watcher: Callable[[str], Watcher | None] | None = None,
    ) -> None:
        self._options = options
        self.stats = Stats({})
        self._sources = SourceGroup(options, self.stats, self._fail)
        self._sinks = SinkGroup(sinks, self.stats, self._fail)
        self._results: RingBuffer[Result] = RingBuffer(RESULT_RING)
        self._inference = Inference(
            detector,
            SourceTrackers(new_tracker, new_watcher),
            self._sources.inbox,
            self._results,
            self.stats,
            self._sinks.show,
        )
        self._inference.max_age_ms = options.max_age_ms
        self._inference.detect_every = options.detect_every
        self._in_order = options.in_order
        self._stop = threading.Event()
        self._changes = threading.Lock()

    @property
    def source_infos(self) -> dict[str, SourceInfo]:
        """Return what is known of the sources that are open."""
        return self._sources.infos

    @property
    def max_frames(self) -> int | None:
        """Return the most frames any source will give, None for all it has."""
        return self._options.max_frames

    @property
    def files(self) -> tuple[int, int]:
        """Return how many files were begun with, and how many there are."""
        return self._sources.files

    @property
    def started(self) -> bool:
        """Return whether everything opened and frames began to flow."""
        return self._inference.started

    def cameras(self) -> dict[str, CameraStatus]:
        """Return how every source fares now, by name, in order."""
        check_not_forked()
        return self._sources.statuses()

    def seen_since(self, source: str) -> float | None:
        """Return since when a source has given pictures (monotonic), None while it is lost.

        None too before its first picture, after its end and where there is no such source.
        """
        return self._sources.seen_since(source)

    def add_source(self, source: Source) -> None:
        """Take in a source; one whose name was there before goes on with its books and ids.

        Raises ValueError where the name is taken, SourceError for a file that cannot be opened,
        PipelineError once the run is over. What fails later is that source's affair alone.
        """
        check_not_forked()
        with self._changes:
            if self._stop.is_set() and self.started:
                raise PipelineError(f"source {source.name}: the run is over")
            if source.name in self._sources:
                raise ValueError(f"Pipeline.sources: names must differ, '{source.name}' is there")
            self._inference.follow(source.name)
            try:
                self._sources.add(source)
            except BaseException:
                self._inference.unfollow(source.name)
                raise
            self._fit_results()

    def remove_source(self, name: str) -> None:
        """Let a source go: frames not yet inferred are dropped as "removed", its tracker goes.

        Waits for its thread, `patience_s` at most. The run ends with its last source, unless it
        is to wait for others. Raises ValueError for an unknown name.
        """
        check_not_forked()
        with self._changes:
            grabber = self._sources.remove(name)
            self._inference.unfollow(name)
            self._fit_results()
        grabber.close(self.patience_s)

    def replace_detector(self, detector: Detector) -> None:
        """Detect with another detector from the next batch on; the old one is closed.

        It is opened first, while the old one goes on. Raises ModelError where that fails, and
        PipelineError once the run is over; the old one stays then.
        """
        check_not_forked()
        self._inference.replace_detector(detector, prefer_latency=self._lone_camera)

    def replace_tracker(self, new_tracker: Callable[[], Tracker]) -> None:
        """Track with other trackers from the next frame on; ids are never given again.

        Tracks go on where the new tracker can load the old one's state: one of its kind.
        """
        check_not_forked()
        with self._changes:
            self._inference.replace_tracker(new_tracker)

    def set_watcher(self, source: str, watcher: Watcher | None) -> None:
        """Watch a source with this from its next frame on; raises ValueError if it is unknown."""
        check_not_forked()
        self._inference.set_watcher(source, watcher)

    @property
    def _lone_camera(self) -> bool:
        return self._sources.all_live and len(self._sources) == 1

    def _fit_results(self) -> None:
        """Results of cameras must not grow old in a queue: one batch may wait, no more."""
        cameras = max(1, len(self._sources))
        self._results.capacity = cameras if self._sources.all_live else RESULT_RING

    def _fail(self, error: BaseException) -> None:
        """Keep the first error and make every stage come to its end; any thread."""
        raise NotImplementedError
