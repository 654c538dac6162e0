"""Speeds on the ground: within their stated errors, left out where nothing is known."""

from __future__ import annotations

import csv
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.ground_tracks import FPS, driving, sequence_of
from support.ground_views import SIZE, homography, view

from pipeline.archive.ground.calibration import Errors, calibrate_points
from pipeline.archive.ground.export import COLUMNS, rows_of, write_speeds
from pipeline.archive.ground.smoothing import Measurements, smooth
from pipeline.archive.ground.speeds import QUALITIES, SpeedOptions, ground_speeds
from pipeline.archive.ground.summary import summarize
from pipeline.core.homography import Homography, Origin
from pipeline.core.track_files import BoxTable

OPTIONS = SpeedOptions()
ORIGIN = Origin(lat=52.0, lon=13.0, bearing=30)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [{}, {"braking": 2.5}, {"jitter": 0.04}, {"alike": 0.6}], ids=lambda how: str(how)
)
def test_speeds_are_within_two_sigma_as_often_as_stated(how: Any) -> None:
    """Differences of raw positions gave "1536 km/h"; these say how far off they are."""
    within, count, inside = 0, 0, []
    for seed in range(5):
        sequence, places, speeds = driving(np.random.default_rng(seed), **how)
        found = ground_speeds(sequence, homography(), OPTIONS)
        known = np.isfinite(found.speed)
        within += int((np.abs(found.speed - speeds)[known] < 2 * found.speed_sd[known]).sum())
        count += int(known.sum())
        placed = np.isfinite(found.xy[:, 0])
        inside.append((np.abs(found.xy - places)[placed] < 2 * found.xy_sd[placed]).mean())
    assert count > 5000
    assert 0.90 < within / count < 0.97
    assert np.mean(inside) > 0.90


@pytest.mark.slow
def test_raw_differences_would_be_nonsense_and_smoothed_ones_are_not() -> None:
    sequence, _, speeds = driving(np.random.default_rng(1), jitter=0.04)
    boxes = sequence.table.xyxy
    raw = homography().plane_of(np.column_stack([boxes[:, [0, 2]].mean(axis=1), boxes[:, 3]]))
    raw_speed = np.linalg.norm(np.diff(raw, axis=0), axis=1) * FPS
    joined = np.diff(sequence.table.track_id) == 0
    found = ground_speeds(sequence, homography(), OPTIONS)
    assert raw_speed[joined].max() * 3.6 > 150
    assert np.nanmax(np.abs(found.speed - speeds)) < 3


@pytest.mark.slow
def test_errors_of_the_calibration_are_in_the_errors_of_speeds() -> None:
    """A ground measured too short makes all speeds too low together: smoothing cannot see it."""
    ground = np.array([[-4.0, 12.0], [4.0, 12.0], [4.0, 30.0], [-4.0, 30.0]])
    pixels, rng, z = homography().pixel_of(ground), np.random.default_rng(3), []
    sequence, _, _ = driving(rng, tracks=1, braking=0.01, jitter=0.001)
    exact = np.nanmedian(ground_speeds(sequence, homography(), OPTIONS).speed)
    for _ in range(40):
        made = calibrate_points(pixels, ground + rng.normal(0, 0.5, (4, 2)), Errors(1, 0.5))
        rows = {"matrix": made.matrix.tolist(), "covariance": made.covariance.tolist()}
        one = Homography(size=SIZE, **rows)
        row = summarize(ground_speeds(sequence, one, OPTIONS), one)[0]
        z.append((row.median_speed - exact) / row.median_speed_sd)
    assert 0.7 < np.sqrt(np.mean(np.square(z))) < 1.4


@pytest.mark.slow
def test_pieces_of_a_long_track_fit_together() -> None:
    count = 3000
    t = np.arange(count) / 25
    rng = np.random.default_rng(0)
    truth = np.column_stack([5 * t, 20 * np.sin(t / 10)])
    rows = Measurements(
        t, truth + rng.normal(0, 0.3, truth.shape), np.tile(np.eye(2) * 0.09, (count, 1, 1)),
        np.ones(count, bool), np.zeros(count, np.int64), np.full(count, 1.0), np.full(count, 10.0),
    )  # fmt: skip
    states, covariances = smooth(rows)
    z = (states[:, :2] - truth) / np.sqrt(covariances[:, [0, 1], [0, 1]])
    assert 0.7 < z.std() < 1.1
    assert np.abs(np.diff(states[:, 2])).max() < 0.2


def track(ys: Any, **columns: Any) -> Any:
    """A box that stands in the middle of the picture at these heights, a frame each."""
    ys = np.asarray(ys, float)
    count = len(ys)
    boxes = np.column_stack([np.full(count, 900), ys - 100, np.full(count, 1000), ys])
    known = {"size": np.tile(SIZE, (count, 1)), "class_id": np.zeros(count), **columns}
    frame = known.pop("frame", np.arange(count))
    known.setdefault("pts_s", np.asarray(frame) / FPS)
    track_id = known.pop("track_id", np.ones(count))
    return sequence_of(BoxTable.of(frame, track_id, boxes, **known))


STATES = np.array(["matched"] * 30)
COASTING = STATES.copy()
COASTING[10:15] = COASTING[28:] = "coasting"


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        (track(np.full(30, 700.0)), {"measured": 30}),
        (track(np.full(30, 1080.0)), {"cut": 30}),
        (track(np.full(30, 150.0)), {"horizon": 30}),
        (track(np.full(30, 5.0)), {"horizon": 30}),
        (track(np.full(30, 200.0)), {"unsure": 30}),
        (track(np.full(30, 700.0), state=COASTING),
         {"measured": 23, "interpolated": 5, "predicted": 2}),
        (track([]), {}),
    ],
)  # fmt: skip
def test_what_is_not_known_is_left_out_with_the_reason(sequence: Any, expected: Any) -> None:
    found = ground_speeds(sequence, homography(view(tilt=13)), OPTIONS)
    names, counts = np.unique(found.quality, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == expected
    assert set(expected) <= set(QUALITIES)
    placed = np.isin(found.quality, ("measured", "interpolated"))
    assert (np.isfinite(found.xy).all(axis=1) == placed).all()
    assert not np.isfinite(found.speed[~placed]).any()


@pytest.mark.parametrize(
    "sequence",
    [track([700.0]), track(np.full(9, 700.0), track_id=np.zeros(9))],
    ids=["one row", "no identity"],
)
def test_few_rows_have_a_place_and_no_speed(sequence: Any) -> None:
    found = ground_speeds(sequence, homography(), OPTIONS)
    assert np.isfinite(found.xy).all()
    assert np.isnan(found.speed).all()
    assert np.isnan(found.heading).all()


def test_a_long_gap_is_not_bridged() -> None:
    frames = np.concatenate([np.arange(40), np.arange(40) + 400])
    ys = np.concatenate([np.full(40, 500.0), np.full(40, 900.0)])
    found = ground_speeds(track(ys, frame=frames), homography(), OPTIONS)
    assert np.nanmax(found.speed) < 1
    row = summarize(found, homography())[0]
    assert row.path_m < 1


def test_standing_still_has_no_heading() -> None:
    rng = np.random.default_rng(0)
    found = ground_speeds(track(700 + rng.normal(0, 2, 100)), homography(), OPTIONS)
    assert np.isnan(found.heading).mean() > 0.9
    assert (found.speed < 3 * found.speed_sd).all()


def test_boxes_of_another_picture_size_are_scaled() -> None:
    small = track(np.full(30, 700.0))
    half = replace(small.table, xyxy=small.table.xyxy / 2, size=small.table.size // 2)
    one, other = (
        ground_speeds(sequence_of(table), homography(), OPTIONS).xy for table in (small.table, half)
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


def written(tmp_path: Path, suffix: str, origin: Origin | None = ORIGIN) -> Path:
    sequence, _, _ = driving(np.random.default_rng(0), tracks=2, rows=40)
    one = homography(origin=origin)
    path = tmp_path / f"speeds{suffix}"
    write_speeds(path, [rows_of(ground_speeds(sequence, one, OPTIONS), one.origin)])
    return path


def test_csv(tmp_path: Path) -> None:
    with written(tmp_path, ".csv", None).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [column.name for column in COLUMNS]
    seen = [row for row in rows if row["quality"] == "measured"]
    assert seen
    assert float(seen[0]["speed_kmh"]) == pytest.approx(float(seen[0]["speed_mps"]) * 3.6, abs=0.01)
    assert seen[0]["lat"] == ""


@pytest.mark.slow
def test_geoparquet(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    path = written(tmp_path, ".parquet")
    table = pq.read_table(path)
    about = json.loads(pq.read_schema(path).metadata[b"geo"])
    assert about["primary_column"] == "geometry"
    assert about["columns"]["geometry"]["encoding"] == "WKB"
    for row in table.to_pylist():
        if row["lon"] is None:
            assert row["geometry"] is None
        else:
            assert struct.unpack("<BIdd", row["geometry"]) == (1, 1, row["lon"], row["lat"])


@pytest.mark.parametrize("origin", [True, False])
def test_text_is_text_in_parquet(tmp_path: Path, origin: bool) -> None:
    """pandas made categories of it: groups of question nine came in the order of the rows."""
    pq = pytest.importorskip("pyarrow.parquet")
    path = written(tmp_path, ".parquet") if origin else written(tmp_path, ".parquet", None)
    schema = pq.read_schema(path)
    texts = ("source", "class_name", "quality")
    assert [str(schema.field(name).type) for name in texts] == ["string"] * 3


def test_parquet_without_origin_is_no_geoparquet(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    schema = pq.read_schema(written(tmp_path, ".parquet", None))
    assert schema.names == [column.name for column in COLUMNS]
    assert b"geo" not in (schema.metadata or {})


def test_geojson(tmp_path: Path) -> None:
    tree = json.loads(written(tmp_path, ".geojson").read_text())
    assert [each["properties"]["track_id"] for each in tree["features"]] == [1, 2]
    first = tree["features"][0]
    assert first["geometry"]["type"] == "LineString"
    count = len(first["geometry"]["coordinates"])
    assert len(first["properties"]["times"]) == len(first["properties"]["speed_mps"]) == count
    lon, lat = first["geometry"]["coordinates"][0]
    assert (lon, lat) == pytest.approx((13.0, 52.0), abs=0.01)
