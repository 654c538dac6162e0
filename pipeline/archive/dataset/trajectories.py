"""Trajectories: one summary per track, built while its rows stream by, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.simplification import simplified

Float64 = NDArray[np.float64]

MAX_POINTS = 512
"""Points of a path collected before it is simplified."""
TOLERANCE = 0.05
"""Maximum distance of a path from the boxes, as a share of their mean diagonal: about jitter."""
MEAN_S = 0.5
"""Positions are averaged over this time: boxes jitter from frame to frame, objects do not."""

_NO_TIME = int(np.iinfo(np.int64).min)


@dataclass(slots=True)
class Moment:
    """A frame in which a track was seen; `utc_ms` is None if unknown."""

    segment: str
    frame: int
    pts_s: float
    utc_ms: int | None


@dataclass(slots=True)
class OpenTrack:
    """Summary of a track so far.

    Sums are whole numbers (of 0.0001 score, 0.01 pixels, microseconds), so that they do not depend
    on where a job was interrupted. A point is x, y and seconds on the group's clock: `begin` and
    `end` are the first and last seen, `points` the means in between. `mean` accumulates the newest
    mean: its number (time / MEAN_S), frames, x, y and time.
    """

    source: str
    first: Moment
    last: Moment
    seen_s: float
    frames: int = 0
    coasting_frames: int = 0
    scores: int = 0
    widths: int = 0
    heights: int = 0
    class_scores: dict[str, int] = field(default_factory=dict)
    coarser: float = 1.0
    begin: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    mean: list[int] = field(default_factory=lambda: [0] * 5)
    points: list[list[float]] = field(default_factory=list)

    @property
    def tolerance(self) -> float:
        """Return how far the simplified path may be from the boxes, in pixels."""
        diagonal = math.hypot(self.widths, self.heights) / 100 / max(self.frames, 1)
        return max(1.0, TOLERANCE * diagonal) * self.coarser

    def move(self, number: int, sums: list[int]) -> None:
        """Add frames of one mean: their count, and the sums of x, y, time, width and height."""
        if number != self.mean[0]:
            self.points += self._newest_mean()
            self.mean = [number, 0, 0, 0, 0]
            while len(self.points) >= MAX_POINTS:
                points = np.array(self.points)
                self.points = points[_kept(points, self.tolerance)].tolist()
                if len(self.points) > MAX_POINTS // 2:
                    self.coarser *= 2
        count, x, y, time_us, width, height = sums
        before = self.mean
        self.mean = [number, before[1] + count, before[2] + x, before[3] + y, before[4] + time_us]
        self.frames += count
        self.widths += width
        self.heights += height

    def _newest_mean(self) -> list[list[float]]:
        _, count, x, y, time_us = self.mean
        return [[x / 200 / count, y / 100 / count, time_us / 1e6 / count]] if count else []

    def path(self) -> Float64:
        """Return the simplified path from the first point to the last, f64[N,3]."""
        whole = np.array([self.begin, *self.points, *self._newest_mean(), self.end])
        return whole[_kept(whole, self.tolerance)]


class Trajectories:
    """Tracks of one camera that have not ended yet, across the segments of a group."""

    def __init__(self, segment: str, offset_s: float, saved: Mapping[str, Any]) -> None:
        self._segment = segment
        self._offset_s = offset_s
        self._now_s = -math.inf
        self._names: dict[str, str] = dict(saved.get("class_names", {}))
        self._tracks = {
            int(track_id): OpenTrack(
                **{
                    **each,
                    "first": Moment(**each["first"]),
                    "last": Moment(**each["last"]),
                    "points": each["points"].tolist(),
                }
            )
            for track_id, each in saved.get("tracks", {}).items()
        }

    def save_state(self) -> dict[str, Any]:
        """Return the state from which another object can continue, as plain data."""
        return {
            "class_names": self._names,
            "tracks": {
                str(track_id): {
                    **_fields(track),
                    "first": _fields(track.first),
                    "last": _fields(track.last),
                    "points": np.array(track.points).reshape(-1, 3),
                }
                for track_id, track in self._tracks.items()
            },
        }

    def add(self, table: Any) -> None:
        """Add rows of `tracks` (a pyarrow table) in the order of their frames."""
        if not table.num_rows:
            return
        columns = {
            name: table[name].to_numpy()
            for name in ("track_id", "frame", "pts_s", "class_id", "score", "x1", "y1", "x2", "y2")
        }
        columns["utc"] = table["utc"].cast("int64").fill_null(_NO_TIME).to_numpy()
        columns["matched"] = _equals(table["state"], "matched")
        self._learn(columns["class_id"], table["class_name"])
        self._now_s = self._offset_s + float(columns["pts_s"].max())
        order = np.argsort(columns["track_id"], kind="stable")
        ids = columns["track_id"][order]
        starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))
        for rows in np.split(order, starts[1:]):
            track_id = int(columns["track_id"][rows[0]])
            if track_id != 0:
                source = table["source"][int(rows[0])].as_py()
                self._follow(track_id, source, {name: each[rows] for name, each in columns.items()})

    def _learn(self, class_ids: Any, names: Any) -> None:
        for class_id, row in zip(*np.unique(class_ids, return_index=True), strict=True):
            self._names[str(class_id)] = names[int(row)].as_py()

    def _follow(self, track_id: int, source: str, rows: Mapping[str, Any]) -> None:
        track = self._tracks.get(track_id)
        if track is None:
            first = self._moment(rows, 0)
            track = self._tracks[track_id] = OpenTrack(source, first, first, 0.0)
        track.seen_s = self._offset_s + float(rows["pts_s"][-1])
        matched = np.flatnonzero(rows["matched"])
        track.coasting_frames += len(rows["matched"]) - len(matched)
        if not len(matched):
            return
        if track.frames == 0:
            track.first = self._moment(rows, int(matched[0]))
        track.last = self._moment(rows, int(matched[-1]))
        self._sum(track, {name: each[matched] for name, each in rows.items()})

    def _moment(self, rows: Mapping[str, Any], row: int) -> Moment:
        utc = int(rows["utc"][row])
        frame, pts_s = int(rows["frame"][row]), float(rows["pts_s"][row])
        return Moment(self._segment, frame, pts_s, None if utc == _NO_TIME else utc)

    def _sum(self, track: OpenTrack, rows: Mapping[str, Any]) -> None:
        x1, y1, x2, y2 = (_whole(rows[name], 100) for name in ("x1", "y1", "x2", "y2"))
        times = self._offset_s + rows["pts_s"]
        for row in (0, -1):
            track.end = [float(x1[row] + x2[row]) / 200, float(y2[row]) / 100, float(times[row])]
            track.begin = track.begin or track.end
        scores = _whole(rows["score"], 10_000)
        track.scores += int(scores.sum())
        for class_id in np.unique(rows["class_id"]):
            key = str(class_id)
            weight = int(scores[rows["class_id"] == class_id].sum())
            track.class_scores[key] = track.class_scores.get(key, 0) + weight
        numbers = np.floor(times / MEAN_S).astype(np.int64)
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        each = np.stack([x1 * 0 + 1, x1 + x2, y2, _whole(times, 1_000_000), x2 - x1, y2 - y1], 1)
        sums = np.add.reduceat(each, starts, axis=0).tolist()
        for number, of_mean in zip(numbers[starts].tolist(), sums, strict=True):
            track.move(number, of_mean)

    def end(self, unseen_s: float) -> list[tuple[Any, ...]]:
        """End tracks not seen for that long; return their rows, in the order of TRAJECTORY_COLUMNS.

        0 ends all. A track that was only ever coasting has no row.
        """
        ended = [
            track_id
            for track_id, track in self._tracks.items()
            if unseen_s <= 0 or track.seen_s < self._now_s - unseen_s
        ]
        tracks = [(track_id, self._tracks.pop(track_id)) for track_id in sorted(ended)]
        return [self._row(track_id, track) for track_id, track in tracks if track.frames]

    def _row(self, track_id: int, track: OpenTrack) -> tuple[Any, ...]:
        class_id = max(track.class_scores, key=lambda key: (track.class_scores[key], -int(key)))
        path = track.path()
        steps = np.diff(path[:, :2], axis=0)
        dx, dy = (path[-1, :2] - path[0, :2]).tolist()
        displacement = math.hypot(dx, dy)
        # In the picture y points down; directions are given with y upwards.
        direction = math.degrees(math.atan2(-dy, dx)) % 360
        moved = displacement > track.tolerance
        return (
            self._segment,
            track.source,
            track_id,
            int(class_id),
            self._names.get(class_id, class_id),
            track.scores / 10_000 / track.frames,
            track.frames,
            track.coasting_frames,
            *_columns(track.first),
            *_columns(track.last),
            round(track.end[2] - track.begin[2], 6),
            track.widths / 100 / track.frames,
            track.heights / 100 / track.frames,
            path[:, 0].round(2).tolist(),
            path[:, 1].round(2).tolist(),
            (path[:, 2] - path[0, 2]).round(3).tolist(),
            float(np.hypot(*steps.T).sum()),
            displacement,
            direction if moved else None,
        )


def _fields(one: OpenTrack | Moment) -> dict[str, Any]:
    """Return the fields without copying: `asdict` copies every number, which is slow."""
    return {each.name: getattr(one, each.name) for each in fields(one)}


def _columns(moment: Moment) -> Iterator[Any]:
    utc_s = None if moment.utc_ms is None else moment.utc_ms / 1000
    return iter((moment.segment, moment.frame, moment.pts_s, utc_s))


def _whole(values: Any, per_unit: int) -> NDArray[np.int64]:
    whole: NDArray[np.int64] = np.rint(values.astype(np.float64) * per_unit).astype(np.int64)
    return whole


def _equals(column: Any, text: str) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    found: NDArray[np.bool_] = pc.equal(column.cast("string"), text).to_numpy()
    return found


def _kept(points: Float64, tolerance: float) -> NDArray[np.intp]:
    """Return the rows of x, y, t f64[N,3] that the simplified path keeps."""
    return simplified(points[:, 2], points[:, :2], tolerance)
