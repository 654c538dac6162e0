"""Sink: MOTChallenge text, one file per source, OUT/<source>.txt, for evaluation tools."""

from __future__ import annotations

import numpy as np

from pipeline.core.data import Result
from pipeline.core.options import OptionsModel
from pipeline.core.run_info import RunInfo
from pipeline.sinks._files import LineFile, OutputFolder, close_all

SUFFIX = ".txt"


class Options(OptionsModel):
    """Options of the MOTChallenge files."""

    coasting: bool = False
    """Also write predicted boxes, not only those matched to a detection."""


def build(options: Options) -> MotSink:
    """Return the sink; nothing is opened yet."""
    return MotSink(options)


class MotSink:
    """Sink of lines "frame, id, left, top, width, height, score, -1, -1, -1"; frames from 1.

    A box without identity (track id 0) gets the id -1, as in MOTChallenge's detection files.
    """

    own_thread = False

    def __init__(self, options: Options) -> None:
        self._coasting = options.coasting
        self._folder: OutputFolder | None = None
        self._files: dict[str, LineFile] = {}
        self._only_files = False

    def open(self, run: RunInfo) -> None:
        """Check that files can be written; raises OutputError and leaves nothing behind."""
        self._only_files = run.only_files
        self._folder = OutputFolder(run)
        self._folder.make()
        for source in run.sources:
            self._folder.check(self._folder.path_of(source, SUFFIX))

    def write(self, result: Result) -> None:
        """Append the result's tracks to its source's file; raises WriteError."""
        if self._folder is None:
            raise ValueError("MotSink.write: open() comes first")
        source = result.frame.source
        if source not in self._files:
            path = self._folder.path_of(source, SUFFIX)
            self._folder.begin(path)
            self._files[source] = LineFile(path)
        self._files[source].write(_lines(result, self._coasting))

    def source_ended(self, source: str) -> None:
        """Close the table of a source that has ended: a process may have a thousand files open.

        A camera's stays open, as the camera may come back.
        """
        if self._only_files and (file := self._files.pop(source, None)) is not None:
            file.close()

    def close(self) -> None:
        """Finish all files."""
        files, self._files = self._files, {}
        close_all(self._folder, [file.close for file in files.values()])


def _lines(result: Result, coasting: bool) -> list[str]:
    tracks = result.tracks if coasting else result.tracks[~result.tracks.coasting]
    number = result.frame.index + 1
    # Corners are rounded first, so that left + width is the right edge that other tables have.
    corners = tracks.xyxy.astype(np.float64).round(2).tolist()
    return [
        f"{number},{track_id or -1},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{score:.4f}"
        ",-1,-1,-1\n"
        for track_id, (x1, y1, x2, y2), score in zip(
            tracks.track_id.tolist(), corners, tracks.score.tolist(), strict=True
        )
    ]
