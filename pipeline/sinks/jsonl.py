"""Sink: all tracks of all sources as JSON, one object per line, OUT/tracks.jsonl.

Every line has the same keys, so that `pandas.read_json(lines=True)` keeps ids whole numbers; those
of networks that give masks or keypoints have two more, `mask` (COCO's RLE) and `keypoints`.
Metadata of the run is in OUT/tracks.meta.json, events are in OUT/events.jsonl.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pipeline.core.data import Result
from pipeline.core.options import OptionsModel
from pipeline.core.output_columns import (
    EVENT_NAMES,
    TRACK_NAMES,
    event_rows,
    masks_and_keypoints,
    track_rows,
    utc_text,
)
from pipeline.core.run_info import RunInfo
from pipeline.sinks._files import LineFile, OutputFolder, close_all

FILE_NAME = "tracks.jsonl"
META_NAME = "tracks.meta.json"
EVENTS_NAME = "events.jsonl"


class Options(OptionsModel):
    """The JSON Lines files have no options."""


def build(options: Options) -> JsonlSink:  # noqa: ARG001 - every plug-in takes its options
    """Return the sink; nothing is opened yet."""
    return JsonlSink()


class JsonlSink:
    """Sink that writes one JSON line per track and frame, and one per event to a second file."""

    own_thread = False

    def __init__(self) -> None:
        self._run: RunInfo | None = None
        self._folder: OutputFolder | None = None
        self._files: dict[str, LineFile] = {}

    def open(self, run: RunInfo) -> None:
        """Check that the files can be written; raises OutputError and leaves nothing behind."""
        self._run = run
        self._folder = OutputFolder(run)
        self._folder.make()
        for name in self._names(run):
            self._folder.check(run.output / name)

    def write(self, result: Result) -> None:
        """Append the result's tracks and events; raises WriteError, for a full disk say."""
        if self._run is None:
            raise ValueError("JsonlSink.write: open() comes first")
        utc_of = self._run.utc_of
        if not self._files:
            began_s = self._run.utc_at_monotonic_zero + result.frame.captured_at
            self._begin(self._run, utc_text(began_s))
        self._append(
            FILE_NAME, TRACK_NAMES, track_rows(result, utc_of), masks_and_keypoints(result)
        )
        if result.events:
            self._append(EVENTS_NAME, EVENT_NAMES, event_rows(result.events, utc_of))

    def close(self) -> None:
        """Finish the files."""
        files, self._files = self._files, {}
        close_all(self._folder, [file.close for file in files.values()])

    @staticmethod
    def _names(run: RunInfo) -> list[str]:
        """Return the names of this run's files; one for events if there are zones or lines."""
        watched = [EVENTS_NAME] if run.metadata.get("areas") else []
        return [FILE_NAME, META_NAME, *watched]

    def _begin(self, run: RunInfo, began: str) -> None:
        for name in self._names(run):
            if name != META_NAME:
                self._file(name)
        path = run.output / META_NAME
        if self._folder is not None:
            self._folder.begin(path)
        meta = LineFile(path)
        meta.write(
            [json.dumps(_meta(run, began), ensure_ascii=False, default=str, indent=2) + "\n"]
        )
        meta.close()

    def _append(
        self,
        name: str,
        columns: tuple[str, ...],
        table: list[tuple[Any, ...]],
        more: list[dict[str, Any]] | None = None,
    ) -> None:
        rows = [dict(zip(columns, row, strict=True)) for row in table]
        if more is not None:
            rows = [row | other for row, other in zip(rows, more, strict=True)]
        self._file(name).write(map(_line, rows))

    def _file(self, name: str) -> LineFile:
        if self._folder is None:
            raise ValueError("JsonlSink.write: open() comes first")
        if name not in self._files:
            path = self._folder.path / name
            self._folder.begin(path)
            self._files[name] = LineFile(path)
        return self._files[name]


def _meta(run: RunInfo, began: str) -> dict[str, Any]:
    """Return the metadata of a run: start, sources, class names, settings."""
    return {
        "columns": TRACK_NAMES,
        "began": began,
        "class_names": {str(number): name for number, name in run.class_names.items()},
        "sources": {name: asdict(info) for name, info in run.sources.items()},
        "metadata": dict(run.metadata),
    }


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) + "\n"
