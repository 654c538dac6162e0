"""Sink: boxes, labels and trails as subtitles, OUT/<source>.ass; the video stays untouched.

Players (mpv, VLC) draw them over the original and can switch them off; nothing is encoded. With
`mkv` they are also put into OUT/<source>.mkv beside the untouched streams of a source that is a
file. Format: Advanced SubStation Alpha, http://www.tcax.org/docs/ass-specs.htm, with the override
tags of Aegisub's manual, as libass draws them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pipeline.core.data import Frame, Result
from pipeline.core.drawing import Style
from pipeline.core.run_info import RunInfo, SourceInfo
from pipeline.sinks._ass import AssDrawing, AssEvent, header
from pipeline.sinks._drawing_options import DrawingOptions
from pipeline.sinks._files import LineFile, OutputFolder, close_all
from pipeline.sinks._frame_times import TICKS, FrameTimes

SUFFIX = ".ass"
MKV_SUFFIX = ".mkv"


class Options(DrawingOptions):
    """Options of the subtitles."""

    mkv: bool = False
    """Also write a Matroska file with the original streams, copied, and the subtitles."""


def build(options: Options) -> SubtitlesSink:
    """Return the sink; nothing is opened yet."""
    return SubtitlesSink(options)


@dataclass(slots=True)
class _Track:
    """The subtitles of one source: its file, the clock, and the lines of its last frame."""

    file: LineFile
    drawing: AssDrawing
    start_s: float
    times: FrameTimes = field(default_factory=FrameTimes)
    epoch: int = 0
    shown_s: float = 0.0
    waiting: list[AssEvent] = field(default_factory=list)


class SubtitlesSink:
    """Writes one subtitle file per source; a frame's boxes are shown until the next frame.

    Times are those of the source's own frames on its container's clock, for cameras from their
    first frame on. Boxes are in pixels of the first frame's size.
    """

    own_thread = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._folder: OutputFolder | None = None
        self._run: RunInfo | None = None
        self._tracks: dict[str, _Track] = {}

    def open(self, run: RunInfo) -> None:
        """Check that the files can be written; raises OutputError and leaves nothing behind."""
        self._run = run
        self._folder = OutputFolder(run)
        self._folder.make()
        for source, info in run.sources.items():
            if info.unrelated:
                continue
            self._folder.check(self._folder.path_of(source, SUFFIX))
            if self._options.mkv and _is_file(info):
                self._folder.check(self._folder.path_of(source, MKV_SUFFIX))

    def write(self, result: Result) -> None:
        """Append the boxes of the previous frame, whose end is now known; raises WriteError."""
        info = self._info(result.frame.source)
        if info is not None and info.unrelated:
            return  # a picture is no frame of a video
        track = self._track(result.frame, info)
        now_s = track.start_s + track.times.ticks(result.frame) / TICKS
        self._append(track, until_s=now_s)
        if result.frame.epoch != track.epoch:
            track.drawing.forget()
        track.epoch, track.shown_s = result.frame.epoch, now_s
        track.waiting = track.drawing.events(result, now_s)

    def source_ended(self, source: str) -> None:
        """Finish a source's files; a camera may return, and its subtitles continue."""
        if self._run is not None and self._run.only_files:
            self._finish(source)

    def close(self) -> None:
        """Finish all files."""
        close_all(self._folder, [partial(self._finish, source) for source in self._tracks])

    def _info(self, source: str) -> SourceInfo | None:
        if self._run is None:
            raise ValueError("SubtitlesSink.write: open() comes first")
        return self._run.recordings().get(source) or self._run.sources.get(source)

    def _track(self, frame: Frame, info: SourceInfo | None) -> _Track:
        """Return the source's open file; the first frame begins it."""
        if frame.source not in self._tracks:
            if self._folder is None:
                raise ValueError("SubtitlesSink.write: open() comes first")
            path = self._folder.path_of(frame.source, SUFFIX)
            self._folder.begin(path)
            height, width = frame.shape[:2]
            options = self._options
            drawing = AssDrawing((height, width), options.trail_s, options.labels)
            start_s = info.start_s + frame.pts_s if info is not None and _is_file(info) else 0.0
            track = _Track(LineFile(path), drawing, start_s, epoch=frame.epoch)
            track.file.write([header((height, width), Style.of(height, width))])
            self._tracks[frame.source] = track
        return self._tracks[frame.source]

    @staticmethod
    def _append(track: _Track, until_s: float) -> None:
        lines, track.waiting = track.waiting, []
        track.file.write(track.drawing.timed(lines, track.shown_s, until_s))

    def _finish(self, source: str) -> None:
        """Write the last frame's boxes, and the Matroska file where one is wanted."""
        track = self._tracks.pop(source)
        try:
            self._append(track, track.shown_s + track.times.step_s)
        finally:
            track.file.close()
        info = self._info(source)
        if self._options.mkv and self._folder is not None and info is not None and _is_file(info):
            from pipeline.sinks._mkv import write_mkv

            path = self._folder.path_of(source, MKV_SUFFIX)
            self._folder.begin(path)
            write_mkv(Path(info.file), track.file.path, path)


def _is_file(info: SourceInfo) -> bool:
    return bool(info.file) and Path(info.file).is_file()
