"""All tracks of all sources as JSON, one object per line: OUT/tracks.jsonl, a header first.

Events stand among them, each marked by `"type": "event"`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pipeline.data import Result
from pipeline.interfaces import RunInfo
from pipeline.options import OptionsModel
from pipeline.sinks._files import LineFile, OutputFolder
from pipeline.sinks._rows import COLUMNS, EVENT_COLUMNS, event_rows, rows, utc_text

FILE_NAME = "tracks.jsonl"


class Options(OptionsModel):
    """Nothing can be set about the lines."""


def build(options: Options) -> JsonlSink:  # noqa: ARG001 - every plug-in takes its options
    """Return the sink; nothing is opened yet."""
    return JsonlSink()


class JsonlSink:
    """Writes a line of metadata, then one line per track and frame and one per event."""

    own_thread = False

    def __init__(self) -> None:
        self._run: RunInfo | None = None
        self._folder: OutputFolder | None = None
        self._file: LineFile | None = None

    def open(self, run: RunInfo) -> None:
        """See that the file can be written; raises OutputError and leaves nothing behind."""
        self._run = run
        self._folder = OutputFolder(run)
        self._folder.make()
        self._folder.check(run.output / FILE_NAME)

    def write(self, result: Result) -> None:
        """Append the result's tracks and events; raises WriteError, for a full disk say."""
        if self._run is None:
            raise ValueError("JsonlSink.write: open() comes first")
        zero = self._run.utc_at_monotonic_zero
        if self._file is None:
            self._file = LineFile(self._run.output / FILE_NAME)
            began = utc_text(zero + result.frame.captured_at)
            self._file.write(_line(_header(self._run, began)))
            self._file.flush()
        lines = [_line(dict(zip(COLUMNS, row, strict=True))) for row in rows(result, zero)]
        events = [
            dict(zip(EVENT_COLUMNS, row, strict=True)) for row in event_rows(result.events, zero)
        ]
        lines += [_line({"type": "event", **event}) for event in events]
        self._file.write("".join(lines))

    def close(self) -> None:
        """Finish the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
        if self._folder is not None:
            self._folder.drop_if_empty()


def _header(run: RunInfo, began: str) -> dict[str, Any]:
    """Return what the rows do not say: when, which sources, which classes, which settings."""
    return {
        "type": "header",
        "columns": COLUMNS,
        "began": began,
        "class_names": {str(number): name for number, name in run.class_names.items()},
        "sources": {name: asdict(info) for name, info in run.sources.items()},
        "metadata": dict(run.metadata),
    }


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) + "\n"
