"""A clip of one track: its frames and some before and after, the object highlighted or cut out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.render.output import opened, target_of, written
from pipeline.archive.render.render import DEFAULT_FPS, Progress, Rendered, check_start, results_of
from pipeline.archive.render.tracks import VideoTracks, tracks_of
from pipeline.core.boxes import cxcywh_from_xyxy
from pipeline.core.data import Image, Result, Tracks
from pipeline.core.errors import UsageError
from pipeline.sinks.video import Options as VideoOptions

_DIMMED = 0.55  # brightness of what is not the track
_AROUND = 0.15  # of the box stays bright around it
_CROP = 1.5  # of the track's largest box
_MIN_CROP_PX = 64
_SMOOTH_S = 0.5  # of the cut's movement


@dataclass(frozen=True, slots=True)
class ClipJob:
    """Which track to cut out, with `pad_s` seconds before its first frame and after its last."""

    tracks: Path
    video: Path
    track_id: int
    output: Path
    source: str | None = None
    pad_s: float = 1.0
    crop: bool = False


def clip(job: ClipJob, progress: Progress | None = None) -> Rendered:
    """Write the clip; raises UsageError if the track is missing or belongs to another video."""
    with opened(job.video) as (_, info):
        fps = info.fps or DEFAULT_FPS
    every = tracks_of(job.tracks, job.video, job.source)
    one = every.only(job.track_id)
    check_start(every, job.video)
    done = Rendered()
    target = target_of(job.output, f"{job.video.stem}.track{job.track_id}")
    first, last = int(one.table.frame[0]), int(one.table.frame[-1])
    pad = round(job.pad_s * fps)
    window = _Window(one, (info.height, info.width), fps) if job.crop else None
    # A trail would stand still in a picture that follows the object.
    options = VideoOptions(trail_s=0) if job.crop else VideoOptions()
    with written(target, info, options) as write:
        for result in results_of(one, job.video, done, progress):
            index = result.frame.index
            if index > last + pad:
                break
            if index < first - pad:
                continue
            if window is not None:
                result, image = window.cut(result)
            else:
                image = _highlighted(result)
            write(result, image)
    done.frames = max(0, min(done.frames, last + pad + 1) - max(first - pad, 0))
    if not done.frames:
        raise UsageError(f"{job.video}: ends before track {job.track_id} begins; {done.broken}")
    done.files.append(target)
    return done


def _highlighted(result: Result) -> Image:
    """Return the frame's picture, darkened except for the track."""
    bright = result.frame.image
    dimmed: Image = (bright * np.float32(_DIMMED)).astype(np.uint8)
    height, width = bright.shape[:2]
    for x1, y1, x2, y2 in result.tracks.xyxy.tolist():
        x, y = (x2 - x1) * _AROUND, (y2 - y1) * _AROUND
        rows = slice(max(0, int(y1 - y)), min(height, max(0, int(y2 + y) + 1)))
        columns = slice(max(0, int(x1 - x)), min(width, max(0, int(x2 + x) + 1)))
        dimmed[rows, columns] = bright[rows, columns]
    return dimmed


class _Window:
    """Crop of constant size that smoothly follows a track and stays inside the picture."""

    def __init__(self, tracks: VideoTracks, size: tuple[int, int], fps: float) -> None:
        table = tracks.table
        height, width = size
        high, wide = (table.xyxy[:, 2:] - table.xyxy[:, :2]).max(axis=0)[::-1] * _CROP
        self._size = tuple(
            int(min(max(side, _MIN_CROP_PX), most)) // 2 * 2 or most
            for side, most in ((high, height), (wide, width))
        )
        self._limit = np.array([width - self._size[1], height - self._size[0]])
        self._first = int(table.frame[0])
        self._middle = _followed(table.frame, cxcywh_from_xyxy(table.xyxy)[:, :2], fps)

    def cut(self, result: Result) -> tuple[Result, Image]:
        """Return the result with shifted boxes, and the crop of its picture."""
        place = min(max(result.frame.index - self._first, 0), len(self._middle) - 1)
        height, width = self._size
        corner = (self._middle[place] - [width / 2, height / 2]).clip(0, self._limit)
        x, y = corner.round().astype(int).tolist()
        tracks = result.tracks
        moved = Tracks(
            (tracks.xyxy - np.array([x, y, x, y])).astype(np.float32),
            tracks.score, tracks.class_id, tracks.track_id, tracks.detection, tracks.age_s,
        )  # fmt: skip
        part = result.frame.image[y : y + height, x : x + width]
        return Result(result.frame, result.detections, moved, result.class_names), part


def _followed(
    frame: NDArray[np.int64], middle: NDArray[np.float64], fps: float
) -> NDArray[np.float64]:
    """Return the smoothed middle [N,2] of every frame from the first to the last."""
    every = np.arange(frame[0], frame[-1] + 1)
    path = np.stack([np.interp(every, frame, middle[:, side]) for side in (0, 1)], axis=1)
    half = min(round(_SMOOTH_S * fps / 2), (len(every) - 1) // 2)
    if half < 1:
        return path
    weights = np.hanning(2 * half + 3)[1:-1]
    padded = np.pad(path, ((half, half), (0, 0)), mode="edge")
    sides = [np.convolve(padded[:, side], weights / weights.sum(), "valid") for side in (0, 1)]
    return np.stack(sides, axis=1)
