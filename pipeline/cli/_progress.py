"""Progress and summary of a run: a bar on a terminal, a line every 5 s elsewhere; tables."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipeline.core.data import Result
from pipeline.engine import Pipeline

LINE_EVERY_S = 5.0
DRAW_EVERY_S = 0.1
_NO_SCREEN = 10_000  # columns: a file or a pipe takes lines of any length


class ProgressDisplay(Protocol):
    """Shows how far a run is: gets the pipeline when it starts, then every result."""

    def start(self, pipeline: Pipeline) -> None:
        """Remember the pipeline, whose counters are shown."""

    def update(self, result: Result) -> None:
        """Show the state of the run, if it is time to."""


@contextmanager
def progress() -> Iterator[ProgressDisplay]:
    """Yield a display that draws on stderr: a bar on a terminal, otherwise a line every 5 s."""
    console = stderr_console()
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(
            "{task.completed:,.0f}{task.fields[of]} {task.fields[unit]}  {task.fields[fps]:.1f} fps"
        ),
        TextColumn("{task.fields[objects]} objects"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Bar(bar)


def stderr_console() -> Console:
    """Return a console on stderr that outlives a terminal that is closed."""
    file = cast(TextIO, _Stderr(sys.stderr)) if sys.stderr else None
    return _Console(file=file, stderr=True)


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
        """Return how many frames there are in all, None where a source does not know."""
        sources = pipeline.stats.sources
        counts = [info.frame_count for info in pipeline.source_infos.values()]
        unread = sum(bool(each.broken and not each.grabbed) for each in sources.values())
        if len(counts) < len(sources) - unread or None in counts:
            return None
        limit = pipeline.max_frames
        return sum(min(count, limit) if limit else count for count in counts if count is not None)

    @staticmethod
    def unit(pipeline: Pipeline) -> str:
        """Return what is counted: "pictures" where there is nothing else."""
        infos = pipeline.source_infos.values()
        return "pictures" if infos and all(info.unrelated for info in infos) else "frames"

    @staticmethod
    def file(pipeline: Pipeline) -> str:
        """Return "file 7 of 40" where there are several files, else nothing."""
        number, files = pipeline.files
        return f"file {number} of {files}" if files > 1 else ""


class _Lines(_Throttled):
    every_s = LINE_EVERY_S

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def draw(self, pipeline: Pipeline, result: Result) -> None:
        done, total = pipeline.stats.delivered, self.total(pipeline)
        fps = done / max(pipeline.stats.elapsed_s, 1e-9)
        of = f"/{total}" if total else ""
        left = f", {max(total - done, 0) / fps:.0f} s left" if total and fps else ""
        file = f"{number}: " if (number := self.file(pipeline)) else ""
        self._console.print(
            f"{file}{done}{of} {self.unit(pipeline)}, {fps:.1f} fps{left}, "
            f"{len(result.tracks)} objects",
            highlight=False,
        )


class _Bar(_Throttled):
    every_s = DRAW_EVERY_S

    def __init__(self, bar: Progress) -> None:
        super().__init__()
        self._bar = bar
        self._task: TaskID | None = None

    def draw(self, pipeline: Pipeline, result: Result) -> None:
        total = self.total(pipeline)
        done = pipeline.stats.delivered
        fields: dict[str, Any] = {
            "of": f"/{total:,}" if total else "",
            "fps": done / max(pipeline.stats.elapsed_s, 1e-9),
            "objects": len(result.tracks),
            "unit": self.unit(pipeline),
        }
        if self._task is None:
            self._task = self._bar.add_task("tracking", total=total, **fields)
        described = self.file(pipeline) or "tracking"
        self._bar.update(self._task, completed=done, total=total, description=described, **fields)


def print_summary(report: Mapping[str, Any], output: Path) -> None:
    """Print the run's frame counts and stage times as two short tables on stdout.

    Names are printed as they are: no markup, and nothing cut off where there is no screen.
    """
    console = _Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _NO_SCREEN
    counts = Table(box=None, pad_edge=False)
    for title in ("source", "grabbed", "delivered", "dropped"):
        counts.add_column(title, overflow="fold")
    for name, source in report["sources"].items():
        note = f"  broken: {source['broken']}" if "broken" in source else ""
        dropped = f"{source['dropped']}{note}"
        counts.add_row(name, str(source["grabbed"]), str(source["delivered"]), dropped)
    console.print(counts)
    for folder, counts in report.get("left_out", {}).items():
        what = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        console.print(f"left out of {folder}: {what}", soft_wrap=True)
    console.print()
    if events := counts_table(report["sources"]):
        console.print(events)
        console.print()
    stages = Table("stage", "median ms", "p95 ms", box=None, pad_edge=False)
    for name, times in report["stages"].items():
        stages.add_row(name, f"{times['median_ms']:.2f}", f"{times['p95_ms']:.2f}")
    console.print(stages)
    console.print(
        f"\n{_amount(report)} in {report['elapsed_s']:.1f} s: {report['fps']:.1f} fps, "
        f"limited by {report['limited_by']}; written to {output}",
        soft_wrap=True,
    )


def counts_table(sources: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """Return a table of every source's `counts` and `inside`, None where nothing was counted."""
    table = Table(box=None, pad_edge=False)
    for title in ("source", "zone or line", "what", "class"):
        table.add_column(title, overflow="fold")
    table.add_column("count", justify="right")
    for name, source in sources.items():
        for row in source.get("counts", ()):
            what = row["direction"] or row["kind"]
            table.add_row(
                name, row["area"] or "(whole picture)", what, row["class_name"], str(row["count"])
            )
        for area, count in source.get("inside", {}).items():
            table.add_row(name, area, "inside at the end", "", str(count))
    return table if table.row_count else None


def _amount(report: Mapping[str, Any]) -> str:
    """Return how much was processed: "200 frames", "3 pictures" or "200 frames and 1 picture"."""
    pictures = sum(source.get("pictures", 0) for source in report["sources"].values())
    frames = report["frames"] - pictures
    parts = [f"{frames} frames"] if frames or not pictures else []
    parts += [f"{pictures} picture{'s' * (pictures != 1)}"] if pictures else []
    return " and ".join(parts)


class _Console(Console):
    """Leaves a reader that went away to the caller; rich would end the program."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError


class _Stderr:
    """Standard error that discards text once it cannot be written to: a terminal that was closed.

    The run must not end because of that.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write, or discard this text and all after it."""
        try:
            return self._file.write(text)
        except OSError:
            self._discard_from_now_on()
            return len(text)

    def flush(self) -> None:
        """Flush, or discard what is buffered."""
        try:
            self._file.flush()
        except OSError:
            self._discard_from_now_on()

    def _discard_from_now_on(self) -> None:
        # At its descriptor: what is stuck in the buffer is flushed again at the program's end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file.fileno())
        os.close(nowhere)
