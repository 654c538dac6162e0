"""Sink: tables of all tracks and events in Parquet, OUT/tracks/part-00001.parquet, OUT/events/...

A Parquet file without its end cannot be read, so a long run writes parts: each is renamed into
place when it is whole. A killed run loses what came since the newest part.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.core.data import Result
from pipeline.core.errors import OutputError, WriteError, writing
from pipeline.core.options import OptionsModel
from pipeline.core.output_columns import EVENT_COLUMNS, Column, extra_columns
from pipeline.core.parquet_file import PartWriter, TrackColumns, event_table, import_pyarrow
from pipeline.core.run_info import RunInfo
from pipeline.sinks._files import OutputFolder, close_all

BLOCK_ROWS = 1 << 14
"""Rows that are gathered before they become columns."""
_PART = re.compile(r"part-\d{5,}\.parquet")


class Options(OptionsModel):
    """When to finish a part and begin the next one."""

    part_s: float = Field(60.0, ge=1, description="seconds after which a part is finished")
    part_rows: int = Field(1_000_000, ge=1000, description="rows after which a part is finished")


def build(options: Options) -> ParquetSink:
    """Return the sink, one row per track and frame, one per event; nothing is opened yet."""
    return ParquetSink(options)


class ParquetSink:
    """Writes the table `tracks` and, if zones or lines are watched, the table `events`."""

    own_thread = True  # encoding takes tens of milliseconds at a time

    def __init__(self, options: Options) -> None:
        self._options = options
        self._run: RunInfo | None = None
        self._folder: OutputFolder | None = None
        self._rows = TrackColumns()
        self._tables: dict[str, _Parts] = {}

    def open(self, run: RunInfo) -> None:
        """Check that the tables can be written; raises OutputError, MissingExtraError."""
        import_pyarrow("the sink 'parquet'")
        self._run = run
        self._folder = OutputFolder(run)
        self._folder.make()
        for name in self._names(run):
            path = run.output / name
            if path.exists() and not path.is_dir():
                raise OutputError(f"{path}: want a folder for the table's parts, there is a file")
            self._folder.claim(path / _part_name(1))
            if path.is_dir():
                self._folder.check(path / _part_name(1))
            self._folder.check(run.output / _partial_name(name))

    def write(self, result: Result) -> None:
        """Take the result's tracks and events; raises WriteError, for a full disk say."""
        if self._run is None:
            raise ValueError("ParquetSink.write: open() comes first")
        if not self._tables:
            self._rows = TrackColumns(extra=extra_columns(result))
            self._begin(self._run)
        elif not set(extra_columns(result)) <= set(self._rows.columns):
            self._change_columns(extra_columns(result))
        self._rows.add(result, self._run.utc_of)
        if result.events:
            self._parts("events").add(event_table(result.events, self._run.utc_of))
        tracks = self._tables["tracks"]
        if len(self._rows) >= BLOCK_ROWS or tracks.is_due(len(self._rows)):
            tracks.add(self._rows.take())
        for table in self._tables.values():
            if table.is_due():
                table.finish()

    def close(self) -> None:
        """Finish the newest parts; a table without a row gets an empty one."""
        tables, self._tables = self._tables, {}
        closes: list[Callable[[], object]] = [table.close for table in tables.values()]
        if tables:
            closes.append(lambda: tables["tracks"].add(self._rows.take()))
        close_all(self._folder, closes)

    @staticmethod
    def _names(run: RunInfo) -> list[str]:
        """Return the tables of this run; that of events exists if something is watched."""
        return ["tracks", *(["events"] if run.metadata.get("areas") else [])]

    def _begin(self, run: RunInfo) -> None:
        for name in self._names(run):
            self._parts(name)
        for name in {"tracks", "events"} - {*self._names(run)}:
            self._remove_old_parts(name)  # an earlier run's events have other tracks' ids

    def _parts(self, name: str) -> _Parts:
        if self._folder is None:
            raise ValueError("ParquetSink.write: open() comes first")
        if name not in self._tables:
            path = self._folder.path / name
            columns = self._rows.columns if name == "tracks" else EVENT_COLUMNS
            self._remove_old_parts(name)
            self._folder.begin(self._folder.path / _partial_name(name))
            self._tables[name] = _Parts(path, columns, self._options)
        return self._tables[name]

    def _change_columns(self, extra: tuple[Column, ...]) -> None:
        """Begin a part with more columns: another network has replaced the first."""
        tracks = self._tables["tracks"]
        tracks.add(self._rows.take())
        self._rows = TrackColumns(extra=extra)
        tracks.change_columns(self._rows.columns)

    def _remove_old_parts(self, name: str) -> None:
        if self._folder is None:
            raise ValueError("ParquetSink.write: open() comes first")
        path = self._folder.path / name
        old = _old_parts(path)
        for part in old:
            self._folder.check(part)
        with writing(path, WriteError):
            for part in old:
                part.unlink()


class _Parts:
    """The parts of one table: the newest is still written, beside the folder of the others."""

    def __init__(self, folder: Path, columns: tuple[Column, ...], options: Options) -> None:
        self._folder = folder
        self._columns = columns
        self._options = options
        self._count = 0
        self._writer: PartWriter | None = None
        self._began = time.monotonic()

    def add(self, table: Any) -> None:
        if not table.num_rows:
            return
        with writing(self._folder, WriteError):
            self._open().write(table)

    def is_due(self, waiting: int = 0) -> bool:
        """Return whether the part, with so many more rows, is long or old enough to be finished."""
        rows = waiting + (self._writer.rows if self._writer else 0)
        is_old = time.monotonic() - self._began >= self._options.part_s
        return rows > 0 and (is_old or rows >= self._options.part_rows)

    def change_columns(self, columns: tuple[Column, ...]) -> None:
        """Finish the newest part; those that follow have other columns."""
        self.finish()
        self._columns = columns

    def finish(self) -> None:
        """Rename the newest part into place."""
        writer, self._writer = self._writer, None
        self._began = time.monotonic()
        if writer is not None:
            with writing(writer.path, WriteError):
                writer.commit()

    def close(self) -> None:
        if self._writer is None and self._count == 0:
            with writing(self._folder, WriteError):
                self._open()
        self.finish()

    def _open(self) -> PartWriter:
        if self._writer is None:
            self._count += 1
            self._writer = PartWriter(
                self._folder / _part_name(self._count),
                self._columns,
                self._folder.with_name(_partial_name(self._folder.name)),
            )
        return self._writer


def _part_name(number: int) -> str:
    return f"part-{number:05}.parquet"


def _partial_name(table: str) -> str:
    return f".{table}.parquet.part"


def _old_parts(folder: Path) -> list[Path]:
    """Return the parts left by an earlier run."""
    with suppress(FileNotFoundError):
        return sorted(path for path in folder.iterdir() if _PART.fullmatch(path.name))
    return []
