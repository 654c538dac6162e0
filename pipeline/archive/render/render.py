"""Recorded tracks drawn on their video: boxes, a blur that knows the whole track, a heat map."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.archive.render.output import opened, target_of, written
from pipeline.archive.render.tracks import VideoTracks, tracks_of
from pipeline.core.atomic_file import replacing
from pipeline.core.blur.blurrer import FACE_HOLD_S
from pipeline.core.blur.faces import FaceDetector, FaceTracker
from pipeline.core.blur.pixels import obscure
from pipeline.core.blur.regions import GROUPS, PlannedRegions, classes_of, planned_regions
from pipeline.core.data import Frame, Image, Result
from pipeline.core.drawing import ALL_LABELS, LabelPart
from pipeline.core.errors import OutputError, SourceBrokenError, UsageError
from pipeline.core.heatmap import HeatMap, png_of
from pipeline.core.options import unknown
from pipeline.core.run_info import SourceInfo
from pipeline.sinks.video import Options as VideoOptions

log = logging.getLogger("trackline")

EVERYTHING = "all"
HEATMAP_SUFFIX = ".heatmap.png"
DEFAULT_FPS = 30.0
_MAX_UNKNOWN_S = 5.0  # at the end of a video; more without tracks gives a warning
_MAX_STEP_S = 1.0  # maximum that one frame adds to the heat map
_CHECKED = 10, 100
"""Frames with tracks compared before anything is written, and maximum frames read for that."""

Progress = Callable[[int, int | None], None]
"""Called with the number of frames done and of all, None where that is unknown."""


@dataclass(frozen=True, slots=True)
class RenderJob:
    """What to render; `blur` holds person, vehicle, face, or all for whatever is tracked."""

    tracks: Path
    video: Path
    output: Path
    source: str | None = None
    blur: tuple[str, ...] = ()
    heatmap: bool = False
    makes_video: bool = True
    boxes: bool = True
    labels: tuple[LabelPart, ...] = ALL_LABELS
    trail_s: float = 1.5


@dataclass(slots=True)
class Rendered:
    """Outcome: files, frames, and why a damaged video ended early."""

    files: list[Path] = field(default_factory=list)
    frames: int = 0
    broken: str = ""


def render(job: RenderJob, progress: Progress | None = None) -> Rendered:
    """Write the video and the heat map; raises UsageError if the tracks are of another video."""
    with opened(job.video) as (_, info):
        fps = info.fps or DEFAULT_FPS
    tracks = tracks_of(job.tracks, job.video, job.source)
    check_start(tracks, job.video)
    done = Rendered()
    target = target_of(job.output, job.video.stem)
    blurred = _Blur(job, tracks, fps) if job.blur else None
    if blurred is not None and info.frame_count:
        unknown_s = (info.frame_count - 1 - tracks.last_frame) / fps
        if unknown_s > _MAX_UNKNOWN_S:
            log.warning("%s: the tracks end %.0f s before the video; nothing is blurred there",
                        tracks.path, unknown_s)  # fmt: skip
    heat = _Heat(tracks, info, fps) if job.heatmap else None
    if job.makes_video:
        options = VideoOptions(trail_s=job.trail_s, labels=job.labels, boxes=job.boxes)
        with written(target, info, options) as write:
            for result in results_of(tracks, job.video, done, progress):
                if blurred is None and heat is None:
                    write(result, result.frame.picture)
                    continue
                image = result.frame.image
                if blurred is not None:
                    image = blurred.paint(image, result.frame.index)
                if heat is not None:
                    image = heat.paint(image, result)
                write(result, image)
        done.files.append(target)
    if heat is not None:
        path = target.with_name(f"{target.stem}{HEATMAP_SUFFIX}")
        frame = _middle_frame(tracks, job.video, info)
        plain = frame.image if blurred is None else blurred.paint(frame.image, frame.index)
        _write_picture(path, heat.whole(plain))
        done.files.append(path)
    return done


def check_start(tracks: VideoTracks, video: Path) -> None:
    """Raise UsageError if the facts, or first frames with tracks, are those of another video."""
    enough, limit = _CHECKED
    compared = 0
    with opened(video) as (source, info):
        tracks.check_video(info)
        try:
            while compared < enough and (frame := source.read()) is not None:
                compared += len(tracks.result(frame).tracks) > 0
                if frame.index >= limit:
                    break
        except SourceBrokenError:
            pass  # said when it is rendered


def results_of(
    tracks: VideoTracks, video: Path, done: Rendered, progress: Progress | None
) -> Iterator[Result]:
    """Yield every frame of a video with its tracks; what ends it early goes to `done`."""
    with opened(video) as (source, info):
        try:
            while (frame := source.read()) is not None:
                result = tracks.result(frame)
                del frame
                yield result
                del result  # its memory is pooled
                done.frames += 1
                if progress is not None:
                    progress(done.frames, info.frame_count)
        except SourceBrokenError as error:
            done.broken = str(error)
            return
    if tracks.last_frame >= done.frames:
        raise tracks.too_short(done.frames)


class _Blur:
    """Regions to blur in a whole video: from its tracks and, for faces, from a first pass."""

    def __init__(self, job: RenderJob, tracks: VideoTracks, fps: float) -> None:
        known = [*GROUPS, "face", EVERYTHING]
        for group in job.blur:
            if group not in known:
                raise UsageError(unknown("group to blur", group, known))
        self._plans = []
        classes = [group for group in job.blur if group != "face"]
        if classes:
            self._plans.append(_class_plan(tracks, classes, fps))
        if "face" in job.blur:
            self._plans.append(_face_plan(tracks, job.video, fps))

    def paint(self, image: Image, index: int) -> Image:
        """Return a copy of a frame's picture with its regions blurred."""
        blurred = image.copy()
        obscure(blurred, np.concatenate([plan.at(index) for plan in self._plans]))
        return blurred


def _class_plan(tracks: VideoTracks, groups: list[str], fps: float) -> PlannedRegions:
    """Return the regions of all tracks that were once of these classes."""
    table = tracks.table
    if EVERYTHING not in groups:
        if not tracks.class_names and len(table):
            raise UsageError(f"{tracks.path}: names no classes; --blur {EVERYTHING} blurs all")
        classes = classes_of(groups, tracks.class_names, str(tracks.path))
        mine = np.isin(table.class_id, sorted(classes))
        ids = np.unique(table.track_id[mine & (table.track_id > 0)])
        table = table[mine | np.isin(table.track_id, ids)]
    # A coasting box is a guess: between two measured ones the line is better, but never alone.
    guess = table.state == "coasting"
    ids = np.where(guess, 0, table.track_id)
    return planned_regions(table.frame, ids, table.xyxy, fps)


def _face_plan(tracks: VideoTracks, video: Path, fps: float) -> PlannedRegions:
    """Return the regions of all faces that are found in a video."""
    detector, tracker = FaceDetector(), FaceTracker(FACE_HOLD_S)
    frames, ids, boxes = [np.empty(0, np.int64)], [], [np.empty((0, 4))]
    persons = [number for number, name in tracks.class_names.items() if name.lower() == "person"]
    for result in results_of(tracks, video, Rendered(), None):
        mine = np.isin(result.tracks.class_id, persons)
        heads = detector.detect(result.frame.image, result.tracks.xyxy[mine].astype(float))
        ids += tracker.update(result.frame.pts_s, heads)
        frames.append(np.full(len(heads), result.frame.index))
        boxes.append(heads)
    return planned_regions(
        np.concatenate(frames), np.array(ids, np.int64), np.concatenate(boxes), fps, FACE_HOLD_S
    )


class _Heat:
    """Heat map of a video: cumulative up to each frame, and final."""

    def __init__(self, tracks: VideoTracks, info: SourceInfo, fps: float) -> None:
        size = info.height, info.width
        self._whole, self._now = HeatMap(size), HeatMap(size)
        self._whole.add(tracks.table.xyxy, 1 / fps)
        self._peak = float(self._whole.smooth().max(initial=0.0))
        self._last_s: float | None = None

    def paint(self, image: Image, result: Result) -> Image:
        """Return a frame's picture with the map so far."""
        now_s = result.frame.pts_s
        step = 0.0 if self._last_s is None else min(max(now_s - self._last_s, 0), _MAX_STEP_S)
        self._last_s = now_s
        self._now.add(result.tracks.xyxy.astype(float), step)
        return self._now.paint(image, self._peak)

    def whole(self, image: Image) -> Image:
        """Return a picture with the final map."""
        return self._whole.paint(image, self._peak)


def _middle_frame(tracks: VideoTracks, video: Path, info: SourceInfo) -> Frame:
    """Return a frame from the middle of a video, the last one if it is shorter than stated."""
    wanted = (info.frame_count or tracks.last_frame + 1) // 2
    last: Frame | None = None
    with opened(video) as (source, _):
        try:
            while (frame := source.read()) is not None:
                last = frame
                if frame.index >= wanted:
                    break
        except SourceBrokenError:
            pass
        if last is None:
            raise UsageError(f"{video}: has no frame that can be read")
        image = last.image.copy()
    return Frame(image, last.source, last.index, last.pts_s, last.captured_at)


def _write_picture(path: Path, image: Image) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_bytes(png_of(image))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
