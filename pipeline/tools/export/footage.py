"""Calibration frames for int8: evenly spread over a user's videos and pictures, some held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np

from pipeline.core.data import Image
from pipeline.core.errors import SourceError
from pipeline.core.frame_pool import FramePool
from pipeline.core.media_file import open_media
from pipeline.core.yuv import YuvImage
from pipeline.sources._file.listing import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from pipeline.sources._file.picture import UprightConverter, picture_stream
from pipeline.sources._file.picture_size import MAX_MEGAPIXELS
from pipeline.sources._file.still_picture import load_picture

HELD_OUT = 0.2
"""Share of each video, its end, that is not calibrated on: neighbouring frames are too alike for a
comparison on every fifth one to be honest."""
SEEK_FROM_S = 10.0
"""Frames further apart than this are sought; up to it decoding on is as fast, and exact."""

Shrink = Callable[[Image], Image]


@dataclass(frozen=True, slots=True)
class Footage:
    """Pictures u8[H,W,3] BGR to calibrate on, and others of the same places to compare on."""

    calibration: list[Image]
    held_out: list[Image]


def gather(paths: Sequence[Path], count: int, shrink: Shrink) -> Footage:
    """Return about `count` frames over all `paths`, each passed through `shrink` at once.

    A path is a video, a picture or a folder of either. All pictures together count as one video in
    the order of their names. Raises SourceError, also if there are fewer than ten frames.
    """
    videos, pictures = _files(paths)
    sources = len(videos) + bool(pictures)
    each = max(count // max(sources, 1), 5)
    found = [_thinned(_video(path, each), each, shrink) for path in videos]
    if pictures:
        chosen = pictures[:: max(len(pictures) // each, 1)]
        found.append([shrink(_picture(path)) for path in chosen])
    footage = Footage([], [])
    for frames in found:
        cut = round(len(frames) * (1 - HELD_OUT))
        footage.calibration.extend(frames[:cut])
        footage.held_out.extend(frames[cut:])
    if len(footage.calibration) < 8 or len(footage.held_out) < 2:
        total = len(footage.calibration) + len(footage.held_out)
        raise SourceError(f"calibrate: {total} frames found, want 10 or more, better 300")
    return footage


def _files(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the videos and the pictures that `paths` stand for."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            known = PICTURE_SUFFIXES | VIDEO_SUFFIXES
            inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in known)
            if not inside:
                raise SourceError(f"calibrate: folder without videos or pictures: {path}")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise SourceError(f"calibrate: no such file or folder: {path}")
    pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    return [path for path in files if path.suffix.lower() not in PICTURE_SUFFIXES], pictures


def _picture(path: Path) -> Image:
    found = load_picture(path, MAX_MEGAPIXELS)
    if found.image is None:
        raise SourceError(f"calibrate: not a picture: {path} ({found.why})")
    return found.image


def _thinned(frames: Iterator[Image], count: int, shrink: Shrink) -> list[Image]:
    """Return `count` frames, evenly spread, or all if there are fewer; how many come is not known.

    Keeps every first, second, fourth ... frame, up to twice as many as wanted, and picks at the
    end.
    """
    kept: list[Image] = []
    step = 1
    for index, frame in enumerate(frames):
        if index % step:
            continue
        if len(kept) == 2 * count:
            kept = kept[::2]
            step *= 2
            if index % step:
                continue
        kept.append(shrink(frame))
    if len(kept) <= count:
        return kept
    return [kept[row] for row in np.linspace(0, len(kept) - 1, count).round().astype(int)]


def _video(path: Path, count: int) -> Iterator[Image]:
    """Yield a video's frames, or `count` of them where they are far apart. A break is the end.

    They are as a detector gets them: upright, HDR in standard range.
    """
    try:
        container = open_media(path)
    except (av.FFmpegError, OSError) as error:
        raise SourceError(f"calibrate: not a video: {path} ({error.strerror})") from error
    with container, suppress(av.FFmpegError):
        stream = picture_stream(container)
        if stream is None:
            raise SourceError(f"calibrate: no video in {path}")
        stream.thread_type = "AUTO"
        upright = UprightConverter(FramePool(), may_mirror=True)
        gap = (container.duration or 0) / count
        if gap < SEEK_FROM_S * av.time_base:
            for frame in container.decode(stream):
                yield _bgr(upright(frame))
            return
        for number in range(count):
            container.seek(int(number * gap))
            for frame in islice(container.decode(stream), 1):
                yield _bgr(upright(frame))


def _bgr(picture: Image | YuvImage) -> Image:
    return picture.bgr if isinstance(picture, YuvImage) else picture
