"""Masks and keypoints in what sinks write: pictures, JSONL, COCO; none of it without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.core.drawing import Annotator
from pipeline.core.masks import Mask
from pipeline.core.output_columns import TRACK_NAMES
from pipeline.core.run_info import RunInfo
from pipeline.core.track_files import read_recording
from pipeline.sinks import coco, jsonl, parquet

SIZE = (60, 80)


def pixels() -> np.ndarray:
    out = np.zeros(SIZE, np.bool_)
    out[10:30, 10:30] = True
    out[15:20, 15:20] = False
    return out


def a_result(*, masks: bool = True, joints: int = 17) -> Result:
    """Two tracks, of which the second coasts."""
    points = np.tile(np.array([20.126, 25, 0.9], np.float32), (1, joints, 1))
    points[:, -1:, 2] = 0.1
    found = Detections(
        np.array([[10, 10, 30, 30]], np.float32),
        np.array([0.8], np.float32),
        np.zeros(1, np.int32),
        (Mask.from_pixels(pixels()),) if masks else None,
        points if joints else None,
    )
    tracks = Tracks(
        np.array([[10, 10, 30, 30], [50, 10, 70, 30]], np.float32),
        np.array([0.8, 0.7], np.float32),
        np.zeros(2, np.int32),
        np.array([1, 2]),
        np.array([0, -1], np.int32),
        np.zeros(2, np.float32),
    )
    frame = Frame(np.full((*SIZE, 3), 100, np.uint8), "a", 0, 0.0, 0.0)
    return Result(frame, found, tracks, {0: "person"})


def written(sink: Any, folder: Path, result: Result) -> None:
    sink.open(RunInfo(folder, {0: "person"}, {}, 0.0))
    sink.write(result)
    sink.close()


def painted(result: Result, **options: bool) -> np.ndarray:
    image = result.frame.image.copy()
    Annotator(0, labels=(), **options).paint(image, result)
    return image


def test_a_mask_is_half_transparent_and_ends_where_it_does() -> None:
    plain = painted(a_result(masks=False, joints=0))
    image = painted(a_result(joints=0))
    changed = (image != plain).any(axis=2)
    inner = pixels()
    inner[:13] = inner[27:] = inner[:, :13] = inner[:, 27:] = False  # the box is drawn over it
    assert changed[inner].all()
    assert not changed[~pixels()].any()
    assert (painted(a_result(joints=0), masks=False) == plain).all()


@pytest.mark.parametrize("joints", [17, 5])
def test_keypoints_are_drawn_where_they_are_sure(joints: int) -> None:
    plain = painted(a_result(masks=False, joints=0))
    changed = (painted(a_result(masks=False, joints=joints)) != plain).any(axis=2)
    assert changed[25, 20]
    assert not changed[:, 40:].any(), "the track that coasts has none"
    assert (painted(a_result(masks=False, joints=joints), keypoints=False) == plain).all()


def test_jsonl_has_masks_and_keypoints_and_boxes_come_back(tmp_path: Path) -> None:
    written(jsonl.build(jsonl.Options()), tmp_path, a_result())
    lines = [json.loads(line) for line in (tmp_path / "tracks.jsonl").read_text().splitlines()]
    assert lines[0]["mask"] == Mask.from_pixels(pixels()).rle()
    assert lines[0]["keypoints"][0] == [20.13, 25.0, 0.9]
    assert lines[1]["mask"] is None
    assert lines[1]["keypoints"] is None
    recording = read_recording(tmp_path / "tracks.jsonl")
    assert recording.tables["a"].xyxy[0].tolist() == [10, 10, 30, 30]


def test_jsonl_of_plain_boxes_is_as_it_was(tmp_path: Path) -> None:
    written(jsonl.build(jsonl.Options()), tmp_path, a_result(masks=False, joints=0))
    [first, _] = (tmp_path / "tracks.jsonl").read_text().splitlines()
    assert not {"mask", "keypoints"} & set(json.loads(first))


def test_coco_has_polygons_keypoints_and_what_they_mean(tmp_path: Path) -> None:
    written(coco.build(coco.Options()), tmp_path, a_result())
    file = json.loads((tmp_path / "coco.json").read_text())
    [annotation] = file["annotations"]
    [polygon] = annotation["segmentation"]
    assert {*polygon} == {10, 29}
    assert annotation["area"] == 20 * 20 - 25
    assert annotation["num_keypoints"] == 16
    assert annotation["keypoints"][:3] == [20.13, 25.0, 2]
    assert annotation["keypoints"][-1] == 0
    [category] = file["categories"]
    assert category["keypoints"][0] == "nose"
    assert [16, 14] in category["skeleton"]


def test_coco_of_plain_boxes_is_as_it_was(tmp_path: Path) -> None:
    written(coco.build(coco.Options()), tmp_path, a_result(masks=False, joints=0))
    file = json.loads((tmp_path / "coco.json").read_text())
    [annotation] = file["annotations"]
    assert not {"segmentation", "keypoints"} & set(annotation)
    assert annotation["area"] == 400
    assert file["categories"] == [{"id": 1, "name": "person"}]


def test_parquet_has_columns_of_what_the_network_gives(tmp_path: Path) -> None:
    """The first part has no keypoints; a network that gives them begins another one."""
    duckdb = pytest.importorskip("duckdb")
    sink = parquet.build(parquet.Options())
    sink.open(RunInfo(tmp_path, {0: "person"}, {}, 0.0))
    sink.write(a_result(joints=0))
    sink.write(a_result(joints=5))
    sink.close()
    parts = f"read_parquet('{tmp_path}/tracks/*.parquet', union_by_name=true, filename=true)"
    rows = duckdb.sql(f"select mask, keypoints from {parts} order by filename, track_id").fetchall()
    counts = Mask.from_pixels(pixels()).rle()["counts"]
    assert [mask for mask, _ in rows] == [counts, None, counts, None]
    points = [keypoints for _, keypoints in rows]
    assert points[:2] == [None, None]
    assert points[3] is None
    np.testing.assert_allclose(points[2][:3], [20.13, 25, 0.9], atol=1e-5)
    assert len(points[2]) == 15


def test_parquet_of_a_plain_detector_has_no_further_columns(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    sink = parquet.build(parquet.Options())
    written(sink, tmp_path, a_result(masks=False, joints=0))
    assert tuple(pq.read_schema(tmp_path / "tracks" / "part-00001.parquet").names) == TRACK_NAMES
