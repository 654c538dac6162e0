"""Videos that belong to recorded tracks: their size, frame rate, length and path."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.config.plugins import plugin
from pipeline.core.errors import UsageError
from pipeline.core.media_file import open_media, packets_of
from pipeline.core.options import unknown
from pipeline.core.paths import home_path
from pipeline.core.run_info import SourceInfo
from pipeline.core.sequences import RecordedSequence, VideoInfo, mean_fps

MIN_WRONG_SHARE = 0.01
MIN_WRONG_S = 0.1
"""A nominal rate is wrong if the times differ by this share of them and by so many seconds.

Times in a file are rounded, in Matroska to a millisecond.
"""


def assigned_videos(names: Collection[str], videos: Sequence[Path]) -> dict[str, Path]:
    """Return {source: video}: the video with its name, or the only video for the only source.

    Raises UsageError for a video without a source.
    """
    found = {}
    for path in map(home_path, videos):
        name = path.stem
        if name not in names:
            if len(names) > 1 or len(videos) > 1:
                raise UsageError(f"--video {path}: {unknown('source', name, [*names])}")
            (name,) = names
        found[name] = path
    return found


def with_video(sequence: RecordedSequence, path: Path) -> RecordedSequence:
    """Return the sequence with the facts of its video; raises SourceError if it cannot be read.

    Raises UsageError for a video with fewer frames than the tracks have.
    """
    info = _probe(path)
    last = int(sequence.table.frame.max(initial=-1)) + 1
    frames = frame_count(path) or info.frame_count or 0
    if frames and last > frames:
        raise UsageError(
            f"--video {path}: has {frames} frames, the tracks of {sequence.name} go on "
            f"to frame {last}"
        )
    fps, length = info.fps or sequence.video.fps, max(frames, last)
    video = VideoInfo(fps, length, info.width, info.height)
    return replace(sequence, video=video, media={0: str(path)})


def at_true_rate(sequence: RecordedSequence) -> tuple[RecordedSequence, float | None]:
    """Return the sequence with the mean rate of its times, and the nominal one if that was wrong.

    A nominal rate is no more than a guess where the time between frames varies. Without times, or
    where they agree with it, the nominal rate stays, and None is returned.
    """
    nominal, mean = sequence.video.fps, mean_fps(sequence.table)
    timed = np.isfinite(sequence.table.pts_s)
    frame, pts_s = sequence.table.frame[timed], sequence.table.pts_s[timed]
    # A camera's clock may begin anew when it reconnects.
    if mean is None or (np.diff(pts_s[np.argsort(frame, kind="stable")]) < 0).any():
        return sequence, None
    frames = int(np.ptp(frame))
    wrong_s = abs(frames / mean - frames / nominal)
    if wrong_s < max(MIN_WRONG_S, MIN_WRONG_SHARE * frames / mean):
        return sequence, None
    return replace(sequence, video=replace(sequence.video, fps=mean)), nominal


def frame_count(path: Path) -> int:
    """Return the number of frames of a video, 0 if it cannot be read.

    If the container does not store it (Matroska, MPEG-TS, raw streams), packets are counted: rate
    times duration can be wrong by any factor if the rate varies.
    """
    from av import FFmpegError

    from pipeline.sources._file.picture import picture_stream

    try:
        with open_media(path) as container:
            stream = picture_stream(container)
            if stream is None or stream.frames:
                return 0 if stream is None else int(stream.frames)
            return sum(packet.size > 0 for packet in packets_of(container, [stream]))
    except (FFmpegError, OSError):
        return 0


def _probe(path: Path) -> SourceInfo:
    module = plugin("sources", "file", "--video")
    source = module.build(module.Options(path=path))
    try:
        info: SourceInfo = source.open()
    finally:
        source.close()
    return info


def at_one_size(sequence: RecordedSequence) -> tuple[RecordedSequence, list[str]]:
    """Return the sequence with all boxes scaled to its video's size, and the other sizes.

    The size may change when a camera reconnects, or in the middle of a video.
    """
    table, video = sequence.table, sequence.video
    own = np.array((video.width, video.height))
    other = (table.size > 0).all(axis=1) & (table.size != own).any(axis=1)
    if not other.any():
        return sequence, []
    sizes = [f"{w}x{h}" for w, h in np.unique(table.size[other], axis=0).tolist()]
    factor = np.where(other[:, None], own / np.maximum(table.size, 1), 1.0)
    xyxy = table.xyxy * np.hstack([factor, factor])
    size = np.where(other[:, None], own, table.size).astype(np.int32)
    return replace(sequence, table=replace(table, xyxy=xyxy, size=size)), sizes
