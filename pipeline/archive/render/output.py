"""One annotated video written by the sink `video`, outside of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from pipeline.core.data import Frame, Image, Result
from pipeline.core.errors import OutputError, UsageError
from pipeline.core.paths import safe_stem
from pipeline.core.run_info import RunInfo, SourceInfo
from pipeline.core.yuv import YuvImage
from pipeline.sinks import video
from pipeline.sources import file
from pipeline.sources.file import FileSource

Write = Callable[[Result, Image | YuvImage], None]
"""Takes a result and the picture to draw it on: `Frame.picture`, as in a run, or another one."""


def target_of(output: Path, name: str) -> Path:
    """Return the video's path: `output` itself if it ends in .mp4, else NAME.mp4 in that folder."""
    if output.suffix.lower() == video.SUFFIX:
        return output.with_name(f"{safe_stem(output.stem)}{video.SUFFIX}")
    if output.suffix.lower() in (".mkv", ".avi", ".mov", ".webm", ".m4v"):
        raise UsageError(f"{output}: want a folder or a name that ends in {video.SUFFIX}")
    return output / f"{safe_stem(name)}{video.SUFFIX}"


@contextmanager
def opened(path: Path) -> Iterator[tuple[FileSource, SourceInfo]]:
    """Open a video file, closed at the end; raises SourceError."""
    source = file.build(file.Options(path=path))
    try:
        yield source, source.open()
    finally:
        source.close()


@contextmanager
def written(path: Path, info: SourceInfo, options: video.Options) -> Iterator[Write]:
    """Yield a writer of results to `path`; the file is removed if the tracks do not fit."""
    sink = video.build(options)
    name = path.stem
    run = RunInfo(
        path.parent,
        {},
        {name: replace(info, unrelated=False)},
        time.time() - time.monotonic(),
        {"sources": [info.file]},
        only_files=True,
    )
    sink.open(run)

    def write(result: Result, image: Image | YuvImage) -> None:
        was = result.frame
        frame = Frame(image, name, was.index, was.pts_s, was.captured_at, was.epoch, was.file)
        sink.write(replace(result, frame=frame))

    try:
        yield write
    except UsageError as error:
        sink.close()
        if not isinstance(error, OutputError):  # what was written is of another video
            with suppress(OSError):
                path.unlink()
        raise
    except BaseException:
        sink.close()
        raise
    sink.close()
