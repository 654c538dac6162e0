"""Positions of objects over days: seconds per grid cell, by camera, hour and class."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.core.data import Float32, Result
from pipeline.core.heatmap import feet_of

ROWS, COLUMNS = 36, 64
"""Grid cells, whatever the picture's size."""
HOUR_S = 3600
MAX_CLASSES = 32
"""Maximum classes per camera and hour; further ones are stored as class ""."""
_SAVE_EVERY_S = 60.0
_MAX_STEP_S = 1.0  # between two pictures: nothing is known about a longer gap


def no_seconds() -> Float32:
    """Return a grid without any time: f32[ROWS,COLUMNS]."""
    return np.zeros((ROWS, COLUMNS), np.float32)


@dataclass(frozen=True, slots=True)
class HourGrid:
    """Seconds that objects of a class spent in each cell of a camera's picture in one hour.

    `hour` is its start in Unix seconds. An hour may have several grids, by `uid`: from several
    runs.
    """

    camera: str
    class_name: str
    hour: int
    seconds: Float32 = field(default_factory=no_seconds)
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)


class PositionCounter:
    """Grids of the current hour of each camera."""

    def __init__(self) -> None:
        self._grids: dict[str, dict[str, HourGrid]] = {}
        self._last: dict[str, float] = {}
        self._saved_at: float | None = None

    def add(self, result: Result, time: float) -> list[HourGrid]:
        """Add the positions of a result's tracks; return the grids to store now, usually none.

        `time` is when its picture was taken, in Unix seconds. Predicted boxes do not count.
        """
        camera = result.frame.source
        passed = min(max(time - self._last.get(camera, time), 0.0), _MAX_STEP_S)
        self._last[camera] = time
        hour = int(time // HOUR_S) * HOUR_S
        grids = self._grids.setdefault(camera, {})
        ended = [each for each in grids.values() if each.hour != hour]
        if ended:
            grids.clear()
        if passed > 0:
            self._count(result, grids, hour, passed)
        return ended + self._due(time)

    def flush(self) -> list[HourGrid]:
        """Return all grids, to be stored at the end of a run."""
        return [_copy(each) for grids in self._grids.values() for each in grids.values()]

    def _count(self, result: Result, grids: dict[str, HourGrid], hour: int, passed: float) -> None:
        tracks, (height, width) = result.tracks, result.frame.shape[:2]
        seen = (tracks.detection >= 0) & (tracks.track_id > 0) & np.isfinite(tracks.xyxy).all(1)
        if not seen.any():
            return
        feet = feet_of(tracks.xyxy[seen].astype(np.float64)) / (width, height)
        cells = (feet * (COLUMNS, ROWS)).clip(0, (COLUMNS - 1, ROWS - 1)).astype(int)
        classes = tracks.class_id[seen].tolist()
        for (x, y), class_id in zip(cells.tolist(), classes, strict=True):
            name = _name_in(grids, result.class_names.get(class_id, str(class_id)))
            grid = grids.get(name)
            if grid is None:
                grid = grids[name] = HourGrid(result.frame.source, name, hour)
            grid.seconds[y, x] += passed

    def _due(self, time: float) -> list[HourGrid]:
        if self._saved_at is None:
            self._saved_at = time
        if 0 <= time - self._saved_at < _SAVE_EVERY_S:
            return []
        self._saved_at = time
        due = self.flush()
        for camera, grids in list(self._grids.items()):
            if any(each.hour + 2 * HOUR_S <= time for each in grids.values()):
                del self._grids[camera]  # it was removed, or is lost for long
        return due


def _name_in(grids: Mapping[str, HourGrid], name: str) -> str:
    return name if name in grids or len(grids) < MAX_CLASSES else ""


def _copy(grid: HourGrid) -> HourGrid:
    """Return a copy of a grid: the storing thread may be late."""
    return HourGrid(grid.camera, grid.class_name, grid.hour, grid.seconds.copy(), grid.uid)
