"""Recorded tracks of one video, matched to its frames by index and checked by time and size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import numpy as np

from pipeline.archive.tracks import TrackInput, open_tracks
from pipeline.core.data import ClassNames, Detections, Frame, Result, Tracks
from pipeline.core.errors import UsageError
from pipeline.core.run_info import SourceInfo
from pipeline.core.track_files import BoxTable

TIME_TOLERANCE_S = 0.005
_MAX_NAMED = 20
_MAX_OUTSIDE = 0.2  # of the boxes' middles may lie outside of the picture
_LENGTH_SLACK = 1.02, 2
"""Containers without a frame count: it is estimated from duration and rate."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoTracks:
    """One source's boxes by frame, with facts about its video.

    `table` is in order of frames; `size` is (width, height), None if unknown.
    """

    path: Path
    name: str
    table: BoxTable
    class_names: ClassNames
    size: tuple[int, int] | None

    @property
    def last_frame(self) -> int:
        """Return the index of the last frame with a box, -1 without any."""
        return int(self.table.frame.max(initial=-1))

    def at(self, index: int) -> BoxTable:
        """Return the boxes of one frame."""
        first, last = np.searchsorted(self.table.frame, [index, index + 1])
        return self.table[int(first) : int(last)]

    def only(self, track_id: int) -> VideoTracks:
        """Return one track; raises UsageError that names others if the id does not exist."""
        table = self.table[self.table.track_id == track_id]
        if not len(table):
            ids, counts = np.unique(self.table.track_id, return_counts=True)
            longest = ids[np.argsort(-counts, kind="stable")][:8].tolist()
            shown = ", ".join(map(str, longest)) or "none at all"
            raise UsageError(
                f"{self.path}: {self.name} has no track {track_id} (the longest are: {shown})"
            )
        return replace(self, table=table)

    def result(self, frame: Frame) -> Result:
        """Return the frame with its tracks; raises UsageError if they belong to another frame.

        Filled and coasting boxes, which were not measured, both count as coasting.
        """
        rows = self.at(frame.index)
        self._check(frame, rows)
        n = len(rows)
        measured = rows.state == "matched"
        tracks = Tracks(
            rows.xyxy.astype(np.float32),
            rows.score.astype(np.float32),
            rows.class_id.astype(np.int32),
            rows.track_id,
            np.where(measured, np.arange(n), -1).astype(np.int32),
            np.zeros(n, np.float32),
        )
        return Result(frame, Detections.empty(), tracks, self.class_names)

    def _check(self, frame: Frame, rows: BoxTable) -> None:
        times = rows.pts_s[np.isfinite(rows.pts_s)]
        if len(times) and math.fabs(times[0] - frame.pts_s) > TIME_TOLERANCE_S:
            raise self.mismatch(
                f"its frame {frame.index} is shown at {frame.pts_s:.3f} s, "
                f"that of the tracks at {times[0]:.3f} s"
            )

    def check_video(self, info: SourceInfo) -> None:
        """Raise UsageError if the container's facts show that the tracks are of another video."""
        if self.size is not None and self.size != (info.width, info.height):
            want = "x".join(map(str, self.size))
            raise self.mismatch(f"it has {info.width}x{info.height} pixels, not {want}")
        factor, more = _LENGTH_SLACK
        if info.frame_count and self.last_frame >= info.frame_count * factor + more:
            raise self.too_short(info.frame_count)
        if self.size is None and len(self.table):
            middle = (self.table.xyxy[:, :2] + self.table.xyxy[:, 2:]) / 2
            outside = ((middle < 0) | (middle > [info.width, info.height])).any(axis=1)
            if outside.mean() > _MAX_OUTSIDE:
                shown = f"{info.width}x{info.height}"
                raise self.mismatch(f"{outside.mean():.0%} of the boxes lie outside of its {shown}")

    def too_short(self, frames: int) -> UsageError:
        """Return the error for a video that ends before its tracks."""
        return self.mismatch(f"it has {frames} frames, the tracks go on to frame {self.last_frame}")

    def mismatch(self, why: str) -> UsageError:
        """Return the error for a video that the tracks do not belong to."""
        return UsageError(f"{self.path}: the tracks of '{self.name}' are of another video: {why}")


def tracks_of(path: Path, video: Path, source: str | None) -> VideoTracks:
    """Return the tracks of `video` in a file, folder or dataset; `source` selects them if needed.

    `source` may be a camera. Of several sources it is the one whose path matches the video's best,
    from the file name upwards, else the one with the video's name. Raises UsageError.
    """
    given = open_tracks(path)
    (sequence,) = given.load([_chosen(given, video, source)])
    known = sequence.video
    return VideoTracks(
        sequence.path,
        sequence.name,
        sequence.table[np.argsort(sequence.table.frame, kind="stable")],
        sequence.class_names,
        (known.width, known.height) if known.has_known_size else None,
    )


def _chosen(given: TrackInput, video: Path, source: str | None) -> str:
    names = given.named([source] if source is not None else [])
    if len(names) == 1:
        return names[0]
    likeness = {name: _equal_parts(given.media.get(name, ""), video) for name in names}
    best = max(likeness.values())
    found = [name for name in names if best and likeness[name] == best]
    if len(found) > 1 or not found:
        found = [name for name in names if name == video.stem]
    if len(found) != 1:
        more = f", ... ({len(names)})" if len(names) > _MAX_NAMED else ""
        raise UsageError(
            f"{given.path}: which source is {video}? say it with --source "
            f"(there are: {', '.join(sorted(names)[:_MAX_NAMED])}{more})"
        )
    return found[0]


def _equal_parts(media: str, video: Path) -> int:
    """Return how many names two paths have in common at their ends."""
    pairs = zip(Path(media).absolute().parts[::-1], video.absolute().parts[::-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
