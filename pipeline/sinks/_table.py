"""Base of sinks that write one CSV table: a header row, then the rows of each result."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pipeline.core.data import Result
from pipeline.core.output_columns import UtcOf
from pipeline.core.run_info import RunInfo
from pipeline.sinks._files import LineFile, OutputFolder

RowsOf = Callable[[Result, UtcOf], Iterable[tuple[Any, ...]]]


class TableSink:
    """Sink that writes the rows which `rows` returns for each result, as CSV.

    The file is created with the first result.
    """

    own_thread = False

    def __init__(self, file_name: str, columns: Sequence[str], rows: RowsOf) -> None:
        self._file_name = file_name
        self._columns = columns
        self._rows = rows
        self._folder: OutputFolder | None = None
        self._file: LineFile | None = None
        self._utc_of: UtcOf | None = None

    def open(self, run: RunInfo) -> None:
        """Check that the table can be written; raises OutputError and leaves nothing behind."""
        self._folder = OutputFolder(run)
        self._utc_of = run.utc_of
        self._folder.make()
        self._folder.check(run.output / self._file_name)

    def write(self, result: Result) -> None:
        """Append the result's rows; raises WriteError, for a full disk say."""
        if self._folder is None or self._utc_of is None:
            raise ValueError("TableSink.write: open() comes first")
        if self._file is None:
            path = self._folder.path / self._file_name
            self._folder.begin(path)
            self._file = LineFile(path)
            self._file.write(csv_rows([self._columns]))
            self._file.flush()
        self._file.write(csv_rows(self._rows(result, self._utc_of)))

    def close(self) -> None:
        """Finish the table."""
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        finally:
            if self._folder is not None:
                self._folder.drop_if_empty()


def csv_rows(table: Iterable[Sequence[Any]]) -> list[str]:
    """Return each row as CSV with its line end; a quoted name may have line ends of its own."""
    taken = _RowList()
    csv.writer(taken, lineterminator="\n").writerows(table)
    return taken.rows


class _RowList:
    """File-like list of the rows that csv.writer writes."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def write(self, row: str) -> None:
        self.rows.append(row)
