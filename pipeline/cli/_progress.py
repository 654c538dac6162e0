"""Progress of a run: a bar on a terminal, otherwise a line every 5 s.

Drawing libraries are imported at the first update, so they do not delay the first frame.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.cli._stderr import LastingStderr
from pipeline.core.data import Result
from pipeline.engine import Pipeline

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 5.0
DRAW_EVERY_S = 0.1


class ProgressDisplay(Protocol):
    """Shows the progress of a run: gets the pipeline at the start, then every result."""

    def start(self, pipeline: Pipeline) -> None:
        """Store the pipeline, whose counters are shown."""

    def update(self, result: Result) -> None:
        """Show the state of the run, if it is due."""


@contextmanager
def progress() -> Iterator[ProgressDisplay]:
    """Yield a display that draws on stderr: a bar on a terminal, otherwise a line every 5 s."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield _Lines()
        return
    with ExitStack() as shown:
        yield _Bar(shown)


class _Throttled:
    """Calls `draw` at most once every `every_s` seconds."""

    every_s: float

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None
        self._next = 0.0

    def start(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._next = time.monotonic() + self.every_s

    def update(self, result: Result) -> None:
        now = time.monotonic()
        if now >= self._next and self._pipeline is not None:
            self._next = now + self.every_s
            self.draw(self._pipeline, result)

    def draw(self, pipeline: Pipeline, result: Result) -> None:
        raise NotImplementedError

    @staticmethod
    def total(pipeline: Pipeline) -> int | None:
        """Return the total number of frames, None if a source does not know it."""
        sources = pipeline.stats.sources
        counts = [info.frame_count for info in pipeline.source_infos.values()]
        unread = sum(bool(each.broken and not each.grabbed) for each in sources.values())
        if len(counts) < len(sources) - unread or None in counts:
            return None
        limit = pipeline.max_frames
        return sum(min(count, limit) if limit else count for count in counts if count is not None)

    @staticmethod
    def unit(pipeline: Pipeline) -> str:
        """Return the unit of the counters: "pictures" if the run has nothing else."""
        infos = pipeline.source_infos.values()
        return "pictures" if infos and all(info.unrelated for info in infos) else "frames"

    @staticmethod
    def file(pipeline: Pipeline) -> str:
        """Return "file 7 of 40" if there are several files, else ""."""
        number, files = pipeline.files
        return f"file {number} of {files}" if files > 1 else ""


class _Lines(_Throttled):
    every_s = LINE_EVERY_S

    def draw(self, pipeline: Pipeline, result: Result) -> None:
        done, total = pipeline.stats.done, self.total(pipeline)
        fps = done / max(pipeline.stats.elapsed_s, 1e-9)
        of = f"/{total}" if total else ""
        left = f", {max(total - done, 0) / fps:.0f} s left" if total and fps else ""
        file = f"{number}: " if (number := self.file(pipeline)) else ""
        if sys.stderr:
            LastingStderr(sys.stderr).write(
                f"{file}{done}{of} {self.unit(pipeline)}, {fps:.1f} fps{left}, "
                f"{len(result.tracks)} objects\n"
            )


class _Bar(_Throttled):
    every_s = DRAW_EVERY_S

    def __init__(self, shown: ExitStack) -> None:
        super().__init__()
        self._shown = shown
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def draw(self, pipeline: Pipeline, result: Result) -> None:
        total = self.total(pipeline)
        done = pipeline.stats.done
        fields: dict[str, Any] = {
            "of": f"/{total:,}" if total else "",
            "fps": done / max(pipeline.stats.elapsed_s, 1e-9),
            "objects": len(result.tracks),
            "unit": self.unit(pipeline),
        }
        if self._bar is None or self._task is None:
            self._bar = self._shown.enter_context(_progress_bar())
            self._task = self._bar.add_task("tracking", total=total, **fields)
        described = self.file(pipeline) or "tracking"
        self._bar.update(self._task, completed=done, total=total, description=described, **fields)


def _progress_bar() -> Progress:
    """Return a bar on stderr that is removed at the end."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from pipeline.cli._console import stderr_console

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(
            "{task.completed:,.0f}{task.fields[of]} {task.fields[unit]}  {task.fields[fps]:.1f} fps"
        ),
        TextColumn("{task.fields[objects]} objects"),
        TimeRemainingColumn(),
        console=stderr_console(),
        transient=True,
    )
