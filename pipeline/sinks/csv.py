"""One table of all tracks of all sources: OUT/tracks.csv, with a header row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from pipeline.data import Result
from pipeline.interfaces import RunInfo
from pipeline.options import OptionsModel
from pipeline.sinks._files import LineFile, OutputFolder
from pipeline.sinks._rows import COLUMNS, rows

FILE_NAME = "tracks.csv"


class Options(OptionsModel):
    """Nothing can be set about the table."""


def build(options: Options) -> CsvSink:  # noqa: ARG001 - every plug-in takes its options
    """Return the sink; nothing is opened yet."""
    return CsvSink()


class CsvSink:
    """Writes one row per track and frame; the file is made with the first result."""

    own_thread = False

    def __init__(self) -> None:
        self._folder: OutputFolder | None = None
        self._file: LineFile | None = None
        self._utc_zero = 0.0

    def open(self, run: RunInfo) -> None:
        """See that the table can be written; raises OutputError and leaves nothing behind."""
        self._folder = OutputFolder(run)
        self._utc_zero = run.utc_at_monotonic_zero
        self._folder.make()
        self._folder.check(run.output / FILE_NAME)

    def write(self, result: Result) -> None:
        """Append the result's tracks; raises WriteError, for a full disk say."""
        if self._folder is None:
            raise ValueError("CsvSink.write: open() comes first")
        if self._file is None:
            self._file = LineFile(self._folder.path / FILE_NAME)
            self._file.write(_lines([COLUMNS]))
            self._file.flush()
        self._file.write(_lines(rows(result, self._utc_zero)))

    def close(self) -> None:
        """Finish the table."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
        if self._folder is not None:
            self._folder.drop_if_empty()


def _lines(table: Iterable[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue()
