"""Trackers on recorded detections without a pipeline: no threads, no pictures, no sinks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.core.data import Detections, Frame, Tracks
from pipeline.core.interfaces import Tracker
from pipeline.core.sequences import load_sequences
from pipeline.core.track_files import BoxTable
from pipeline.detectors import replay

_PICTURE = np.zeros((1, 1, 3), np.uint8)

Seen = list[tuple[Frame, Detections]]


def recorded_frames(
    path: Path, conf: float = 0.0, classes: Sequence[str] | None = None
) -> dict[str, Seen]:
    """Return {sequence: every frame with its detections} of a file or folder of detections.

    Those below `conf` and of other than the named classes are left out.

    Frames without detections are there too, and the frames before the first one: so were the
    published figures on MOT17's second halves made. Raises UsageError.
    """
    wanted = tuple(classes) if classes else None
    detector = replay.build(replay.Options(paths=(str(path),), conf=conf, classes=wanted))
    detector.open()
    found = {}
    for name, sequence in load_sequences([path], replay.INNER).items():
        times = [(index, index / sequence.video.fps) for index in range(sequence.video.length)]
        frames = [Frame(_PICTURE, name, index, pts_s, pts_s) for index, pts_s in times]
        found[name] = [*zip(frames, detector.detect(frames), strict=True)]
    detector.close()
    return found


def follow(tracker: Tracker, seen: Seen, *, coasting: bool = False) -> BoxTable:
    """Return the tracks of one sequence; those without a detection in a frame on request."""
    frames: list[int] = []
    found: list[Tracks] = []
    for frame, detections in seen:
        tracks = tracker.update(frame, detections)
        if not coasting:
            tracks = tracks[~tracks.coasting]
        frames += [frame.index] * len(tracks)
        found.append(tracks)
    return _table(frames, found or [Tracks.empty()], seen)


def _table(frames: list[int], found: Sequence[Tracks], seen: Seen) -> BoxTable:
    pts_s = {frame.index: frame.pts_s for frame, _ in seen}
    return BoxTable.of(
        frame=frames,
        track_id=np.concatenate([tracks.track_id for tracks in found]),
        xyxy=np.concatenate([tracks.xyxy for tracks in found]),
        score=np.concatenate([tracks.score for tracks in found]),
        class_id=np.concatenate([tracks.class_id for tracks in found]),
        state=np.where(
            np.concatenate([tracks.coasting for tracks in found]), "coasting", "matched"
        ),
        pts_s=[pts_s[index] for index in frames],
        record=np.arange(len(frames)),
    )
