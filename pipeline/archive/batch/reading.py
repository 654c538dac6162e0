"""Reads one recording through the engine: its frames with detections, from any frame on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.archive.batch.grouping import reason_of
from pipeline.config.build import tracker_factory
from pipeline.config.schema import Config
from pipeline.core.data import Frame, Result
from pipeline.core.errors import SourceBrokenError, SourceError
from pipeline.core.interfaces import Detector
from pipeline.core.options import PluginChoice
from pipeline.core.run_info import SourceInfo
from pipeline.engine import Pipeline
from pipeline.sources.file import FileSource, Options
from pipeline.sources.file import build as build_file


class _FromFrame:
    """A file whose frames before `first` count as grabbed but are skipped."""

    live = False

    def __init__(self, source: FileSource, first: int) -> None:
        self.name = source.name
        self._source = source
        self.left_out = first

    def open(self) -> SourceInfo:
        info = self._source.open()
        if info.unrelated:
            self._source.close()
            raise SourceError(f"{info.file}: is a picture, not a video")
        self._source.skip_to(self.left_out)
        return info

    def read(self) -> Frame | None:
        return self._source.read()

    def close(self) -> None:
        self._source.close()

    @property
    def notes(self) -> list[str]:
        return self._source.notes


class RecordingReader:
    """Detects on the frames of one recording; the caller does the tracking.

    `path` is the recording's, `opened` the file that is read: the same, or a copy on this machine.
    After `results` has ended, `broken` is why and where the file broke off, None if it did not.
    """

    def __init__(
        self, path: Path, opened: Options, config: Config, detector: Detector, first: int
    ) -> None:
        source = self._source = build_file(opened)
        without_tracks = config.model_copy(update={"tracker": PluginChoice(kind="none")})
        self._path, self._local = path, opened.path
        self.broken: str | None = None
        self.was_stopped = False
        self._pipeline = Pipeline(
            [_FromFrame(source, first)],
            detector,
            tracker_factory(without_tracks),
            options=config.run,
        )

    @property
    def info(self) -> SourceInfo | None:
        """Return the facts about the file, once it is open."""
        return next(iter(self._pipeline.source_infos.values()), None)

    @property
    def doubts(self) -> str:
        """Return in one line why frames may be missing, "" if there is no sign of it."""
        return "; ".join(self._source.doubts)

    def stop(self) -> None:
        """Stop soon, after yielding what has been detected; thread-safe."""
        self.was_stopped = True
        self._pipeline.stop()

    def results(self) -> Iterator[Result]:
        """Yield the frames in order, with detections; raises SourceError if it cannot open."""
        try:
            with closing(self._pipeline.results()) as results:
                for result in results:
                    frame = result.frame
                    if self._path != self._local:
                        frame = frame.moved(file=str(self._path))
                    yield replace(result, frame=frame) if frame is not result.frame else result
        except SourceBrokenError as error:
            self.broken = reason_of(error, self._local)
        except SourceError as error:
            raise SourceError(self._shown(error)) from None

    def _shown(self, error: Exception) -> str:
        """Return an error in one line, with the real path of the recording."""
        return " ".join(str(error).split()).replace(str(self._local), str(self._path))

    @property
    def dropped(self) -> int:
        """Return how many frames were lost, not counting those before the first one."""
        drops: dict[str, int] = {}
        for stats in self._pipeline.stats.sources.values():
            drops |= stats.drops()
        return sum(count for cause, count in drops.items() if cause != "undecoded")

    def report(self) -> dict[str, Any]:
        """Return the engine's counts, as in report.json."""
        return self._pipeline.stats.report()
