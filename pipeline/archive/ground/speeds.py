"""Positions and speeds of tracks on the ground, each with its standard deviation.

The foot point of each box goes to the plane with the covariance that its jitter has there, a
smoother over the track's own times makes a path of the points, and the calibration's covariance is
added. What is not known is NaN, with the reason in `quality`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.archive.ground.jitter import (
    DEFAULT_JITTER,
    Jitter,
    Motion,
    measure_jitter,
    motion_of,
)
from pipeline.archive.ground.propagation import (
    matrix_jacobian,
    pixel_jacobian,
    propagated,
    velocity_jacobian,
)
from pipeline.archive.ground.smoothing import Measurements, smooth
from pipeline.core.homography import Homography
from pipeline.core.options import OptionsModel
from pipeline.core.sequences import RecordedSequence
from pipeline.core.track_files import BoxTable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

QUALITIES = ("measured", "interpolated", "predicted", "cut", "horizon", "unsure")
"""Last column of the table. The first two have a position; the others say why there is none."""
_EDGE_PX = 2.0
_MAX_HEADING_SD = 30.0
_CHUNK = 100_000


class SpeedOptions(OptionsModel):
    """When a number is given, and when it is left out."""

    max_gap_s: float = Field(2.0, gt=0)
    """Longest time without a measured box over which a path is continued."""
    max_error_m: float = Field(5.0, gt=0)
    """Standard deviation above which a position is left out."""
    max_speed_error: float = Field(3.0, gt=0)
    """Standard deviation in m/s above which a speed is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class GroundTracks:
    """N rows of one source in order of track and time; unknown numbers are NaN.

    `xy` f64[N,2] m, `xy_sd` f64[N,2] m, `speed` and `speed_sd` f64[N] m/s, `heading` and
    `heading_sd` f64[N] degrees clockwise from north (without an origin, from the y axis),
    `quality` str[N], one of QUALITIES; `jitter_sd` f64[N] m/s: the share of `speed_sd` that is not
    the calibration's, which all rows have in common; `path_slope` f64[N,9] and `speed_slope`
    f64[N,9]: how the way since the row before, and the speed, depend on the matrix's numbers.
    """

    sequence: RecordedSequence
    table: BoxTable
    t: Floats
    xy: Floats
    xy_sd: Floats
    speed: Floats
    speed_sd: Floats
    heading: Floats
    heading_sd: Floats
    quality: NDArray[np.str_]
    segment: Ints
    jitter_sd: Floats
    path_slope: Floats
    speed_slope: Floats


def ground_speeds(
    sequence: RecordedSequence, homography: Homography, options: SpeedOptions
) -> GroundTracks:
    """Return positions and speeds of a source's tracks; rows without identity have positions."""
    table, t = _in_order(sequence)
    feet, heights, cut = _feet(sequence, table, homography)
    motions, kind = _motions(sequence, table)
    raw = homography.plane_of(feet)
    horizon = ~np.isfinite(raw).all(axis=1)
    matched = table.state == "matched"
    usable = matched & ~cut & ~horizon
    track = _track_keys(table)
    covariance = np.zeros((len(t), 2, 2))
    variances = _variances(feet, heights, track, t, usable, kind)
    jacobian = pixel_jacobian(homography.h, feet[usable])
    covariance[usable] = jacobian @ (variances[usable, :, None] * jacobian.transpose(0, 2, 1))
    covariance += np.eye(2) * 1e-6
    # So far away a pixel's error is no small one any more, and the slopes say nothing.
    usable &= np.sqrt(np.trace(covariance, axis1=1, axis2=2)) < 5 * options.max_error_m
    xy = _middles(raw, feet, homography, np.array([m.half_depth_m for m in motions])[kind])
    segment = _segments(track, t, usable, options.max_gap_s)
    inside = segment >= 0
    quality = np.select(
        [usable & inside, inside, horizon, cut, ~matched],
        ["measured", "interpolated", "horizon", "cut", "predicted"], "unsure",
    )  # fmt: skip
    rows = Measurements(
        t[inside], _filled(xy, usable)[inside], covariance[inside], usable[inside],
        segment[inside], np.array([m.acceleration_psd for m in motions])[kind][inside],
        np.array([m.speed_sd for m in motions])[kind][inside],
    )  # fmt: skip
    states, spread = (_spread(each, inside) for each in smooth(rows))
    depth_sd = np.array([m.half_depth_m for m in motions])[kind] / 2
    return _known(sequence, table, t, homography, options, _Smoothed(
        states, spread, depth_sd, quality, segment))  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Smoothed:
    states: Floats
    covariance: Floats
    depth_sd: Floats
    quality: NDArray[np.str_]
    segment: Ints


def _in_order(sequence: RecordedSequence) -> tuple[BoxTable, Floats]:
    """Return the rows by track and time, and their times in seconds."""
    table = sequence.table
    known = np.isfinite(table.pts_s)
    t = np.where(known, table.pts_s, table.frame / sequence.video.fps)
    order = np.lexsort((t, table.track_id))
    return table[order], t[order]


def _motions(sequence: RecordedSequence, table: BoxTable) -> tuple[list[Motion], Ints]:
    """Return the kinds of motion that occur, and for each row which one it has."""
    classes, number = np.unique(table.class_id, return_inverse=True)
    of_class = [motion_of(sequence.class_names.get(each, "")) for each in classes.tolist()]
    motions = list(dict.fromkeys(of_class))
    kind = np.array([motions.index(each) for each in of_class], np.int64)[number]
    return motions, kind


def _track_keys(table: BoxTable) -> Ints:
    """Return a number for each row's track; a row without identity is a track of its own."""
    alone = table.track_id == 0
    keys = table.track_id.copy()
    keys[alone] = -1 - np.arange(alone.sum())
    return keys


def _feet(
    sequence: RecordedSequence, table: BoxTable, homography: Homography
) -> tuple[Floats, Floats, Bools]:
    """Return foot points and heights in the homography's pixels, and which boxes are cut off."""
    video = sequence.video
    known = table.size > 0
    default = (video.width, video.height) if video.has_known_size else homography.size or (0, 0)
    size = np.where(known, table.size, np.array(default)).astype(np.float64)
    x1, y1, x2, y2 = table.xyxy.T
    cut = (size[:, 1] > 0) & ((x1 <= _EDGE_PX) | (x2 >= size[:, 0] - _EDGE_PX)
                              | (y2 >= size[:, 1] - _EDGE_PX))  # fmt: skip
    scale = np.ones_like(size)
    if homography.size:
        scale = np.array(homography.size) / np.where(size > 0, size, np.array(homography.size))
    feet = np.column_stack([(x1 + x2) / 2, y2]) * scale
    heights = np.maximum((y2 - y1) * scale[:, 1], 1.0)
    return feet, heights, cut


def _variances(
    feet: Floats, heights: Floats, track: Ints, t: Floats, usable: Bools, kind: Ints
) -> Floats:
    """Return f64[N,2] px^2: the jitter of each kind of object, of all where one is rare."""
    every = measure_jitter(feet[usable], heights[usable], track[usable], t[usable])
    found = np.zeros((len(t), 2))
    for number in np.unique(kind).tolist():
        own = kind == number
        these = own & usable
        jitter = measure_jitter(feet[these], heights[these], track[these], t[these])
        chosen: Jitter = every if jitter == DEFAULT_JITTER else jitter
        found[own] = chosen.variances(heights[own])
    return found


def _middles(xy: Floats, feet: Floats, homography: Homography, half_depth: Floats) -> Floats:
    """Return the places of the objects' middles: farther from the camera than the edge it sees."""
    seen = np.isfinite(xy).all(axis=1)
    moved = xy.copy()
    away = -pixel_jacobian(homography.h, feet[seen])[:, :, 1]
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    moved[seen] += away * half_depth[seen, None]
    return moved


def _segments(track: Ints, t: Floats, usable: Bools, max_gap_s: float) -> Ints:
    """Return the stretch without long gaps that each row is in, -1 for rows in none."""
    measured = np.flatnonzero(usable)
    segment = np.full(len(t), -1)
    if not len(measured):
        return segment
    new = (np.diff(track[measured]) != 0) | (np.diff(t[measured]) > max_gap_s)
    number = np.concatenate([[0], np.cumsum(new)])
    before = np.searchsorted(measured, np.arange(len(t)), side="right") - 1
    after = np.searchsorted(measured, np.arange(len(t)), side="left")
    between = (before >= 0) & (after < len(measured))
    within = np.flatnonzero(between)
    same = number[before[within]] == number[after[within]]
    segment[within[same]] = number[before[within[same]]]
    return segment


def _filled(xy: Floats, usable: Bools) -> Floats:
    """Return positions with those not measured between their neighbours: a start, no datum."""
    at = np.flatnonzero(usable)
    if not len(at):
        return np.nan_to_num(xy)
    every = np.arange(len(xy))
    return np.column_stack([np.interp(every, at, xy[at, axis]) for axis in (0, 1)])


def _spread(found: Floats, inside: Bools) -> Floats:
    """Return results for all rows, NaN for those in no segment."""
    every = np.full((len(inside), *found.shape[1:]), np.nan)
    every[inside] = found
    return every


def _known(
    sequence: RecordedSequence, table: BoxTable, t: Floats, homography: Homography,
    options: SpeedOptions, smoothed: _Smoothed,
) -> GroundTracks:  # fmt: skip
    """Return the values that are accurate enough, with the calibration's share of the errors."""
    xy, velocity = smoothed.states[:, :2].copy(), smoothed.states[:, 2:]
    speed = np.linalg.norm(velocity, axis=1)
    along = np.where(
        speed[:, None] > 0, velocity / np.maximum(speed, 1e-9)[:, None], np.array((1.0, 0.0))
    )
    covariance = np.zeros((9, 9)) if homography.covariance is None else homography.covariance
    place, moving, path_slope, speed_slope = _by_matrix(
        homography, xy, velocity, along, np.array(covariance)
    )
    place += smoothed.covariance[:, :2, :2] + smoothed.depth_sd[:, None, None] ** 2 * np.eye(2)
    own = smoothed.covariance[:, 2:, 2:]
    moving += own
    across = np.column_stack([-along[:, 1], along[:, 0]])
    along_sd, across_sd = _sd_along(moving, along), _sd_along(moving, across)
    # Standing, the way of the velocity is noise, and its error the larger one of both.
    speed_sd = np.where(speed > 2 * along_sd, along_sd, np.maximum(along_sd, across_sd))
    heading_sd = np.degrees(across_sd / np.maximum(speed, 1e-9))
    bearing = homography.origin.bearing if homography.origin else 0.0
    heading = (np.degrees(np.arctan2(velocity[:, 0], velocity[:, 1])) + bearing) % 360
    xy_sd = np.sqrt(np.stack([place[:, 0, 0], place[:, 1, 1]], axis=1))
    with np.errstate(invalid="ignore"):
        unsure = xy_sd.max(axis=1, initial=0) > options.max_error_m
        slow = unsure | ~(speed_sd <= options.max_speed_error) | (table.track_id == 0)
        lost = slow | ~(heading_sd <= _MAX_HEADING_SD)
    for values, out in ((xy, unsure), (xy_sd, unsure), (speed, slow), (speed_sd, slow),
                        (heading, lost), (heading_sd, lost)):  # fmt: skip
        values[out] = np.nan
    quality = np.where(unsure, "unsure", smoothed.quality)
    return GroundTracks(
        sequence, table, t, xy, xy_sd, speed, speed_sd, heading, heading_sd, quality,
        smoothed.segment, _sd_along(own, along), path_slope, speed_slope,
    )  # fmt: skip


def _sd_along(covariance: Floats, way: Floats) -> Floats:
    """Return f64[N], the standard deviation along f64[N,2] unit vectors."""
    variance: Floats = np.einsum("ni,nij,nj->n", way, covariance, way)
    return np.sqrt(np.maximum(variance, 0))


def _by_matrix(
    homography: Homography, xy: Floats, velocity: Floats, along: Floats, covariance: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the calibration's covariances of places and velocities, slopes of way and speed.

    The way is that from the row before, along the line between the two.
    """
    count = len(xy)
    place, moving = (np.full((count, 2, 2), np.nan) for _ in range(2))
    path_slope, speed_slope = np.zeros((count, 9)), np.zeros((count, 9))
    pixels = homography.pixel_of(np.nan_to_num(xy))
    good = np.flatnonzero(np.isfinite(xy).all(axis=1) & np.isfinite(pixels).all(axis=1))
    for first in range(0, len(good), _CHUNK):
        rows = good[first : first + _CHUNK]
        by_place = matrix_jacobian(homography.h, pixels[rows])
        by_speed = velocity_jacobian(homography.h, pixels[rows], velocity[rows])
        place[rows], moving[rows] = (
            propagated(by_place, covariance),
            propagated(by_speed, covariance),
        )
        speed_slope[rows] = np.einsum("ni,nij->nj", along[rows], by_speed)
        step = np.diff(xy[rows], axis=0)
        unit = step / np.maximum(np.linalg.norm(step, axis=1), 1e-9)[:, None]
        path_slope[rows[1:]] = np.einsum("ni,nij->nj", unit, np.diff(by_place, axis=0))
    return place, moving, path_slope, speed_slope
