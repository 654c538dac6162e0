"""One row per track on the ground: median speed and path length, with errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.ground.speeds import GroundTracks
from pipeline.core.homography import Homography

Floats = NDArray[np.float64]

_INDEPENDENT_S = 2.0
"""Smoothed speeds farther apart than this have errors of their own."""


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """A track: seconds in m, m/s; NaN where nothing is known. `rows` have a position."""

    source: str
    track_id: int
    class_name: str
    first_s: float
    last_s: float
    rows: int
    path_m: float
    path_sd_m: float
    median_speed: float
    median_speed_sd: float
    max_speed: float
    """The 95 % quantile: a single row's error must not decide."""


def summarize(tracks: GroundTracks, homography: Homography) -> list[TrackSummary]:
    """Return a summary of each track with an identity, in order of its number."""
    ids = tracks.table.track_id
    starts = np.flatnonzero(np.diff(ids, prepend=-1))
    ends = np.append(starts[1:], len(ids))
    covariance = np.zeros((9, 9)) if homography.covariance is None else homography.covariance
    return [
        _summary(tracks, slice(a, b), np.array(covariance))
        for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
        if ids[a] > 0
    ]


def _summary(tracks: GroundTracks, rows: slice, covariance: Floats) -> TrackSummary:
    t, xy, speed = tracks.t[rows], tracks.xy[rows], tracks.speed[rows]
    placed = np.isfinite(xy[:, 0])
    path, path_sd = _path(tracks, rows, placed, covariance)
    known = np.isfinite(speed)
    median = median_sd = top = float("nan")
    if known.any():
        median, top = float(np.median(speed[known])), float(np.quantile(speed[known], 0.95))
        own = float(np.median(tracks.jitter_sd[rows][known]))
        slope = tracks.speed_slope[rows][known].mean(axis=0)
        shared = float(slope @ covariance @ slope)
        independent = max(1.0, float(np.ptp(t[known])) / _INDEPENDENT_S)
        median_sd = float(np.sqrt(own**2 / independent + max(shared, 0.0)))
    table = tracks.table
    kinds, counts = np.unique(table.class_id[rows], return_counts=True)
    kind = int(kinds[counts.argmax()])
    return TrackSummary(
        tracks.sequence.name, int(table.track_id[rows][0]),
        tracks.sequence.class_names.get(kind, str(kind) if kind >= 0 else "object"),
        float(t[0]), float(t[-1]), int(placed.sum()), path, path_sd, median, median_sd, top,
    )  # fmt: skip


def _path(
    tracks: GroundTracks, rows: slice, placed: NDArray[np.bool_], covariance: Floats
) -> tuple[float, float]:
    """Return the length of a track's path in m and its standard deviation."""
    xy, segment = tracks.xy[rows][placed], tracks.segment[rows][placed]
    if not len(xy):
        return float("nan"), float("nan")
    joined = np.diff(segment) == 0
    path = float(np.linalg.norm(np.diff(xy, axis=0)[joined], axis=1).sum())
    slope = tracks.path_slope[rows][placed][1:][joined].sum(axis=0)
    own = tracks.xy_sd[rows][placed]
    ends = float((own[0] ** 2).mean() + (own[-1] ** 2).mean())
    return path, float(np.sqrt(ends + max(float(slope @ covariance @ slope), 0.0)))
