"""The sample clip: its ground truth fits the clip and is what the script computes."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

import av
import numpy as np
import pytest
from support.paths import SAMPLES

from pipeline.core.boxes import iou_of_xyxy

PERSON, VEHICLE = 1, 3


class Row(NamedTuple):
    frame: int
    id: int
    left: int
    top: int
    width: int
    height: int
    considered: int
    kind: int
    visibility: float


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    lines = (SAMPLES / "street_gt.txt").read_text().splitlines()
    parts = [line.split(",") for line in lines]
    return [Row(*map(int, p[:8]), float(p[8])) for p in parts]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[ModuleType, ModuleType]]:
    """(make_street, street_scene); each finds its neighbours beside it, as when it is run."""
    sys.path.insert(0, str(SAMPLES))
    try:
        yield import_module("make_street"), import_module("street_scene")
    finally:
        sys.path.remove(str(SAMPLES))


def _xyxy(row: Row) -> list[float]:
    return [row.left, row.top, row.left + row.width, row.top + row.height]


@pytest.mark.slow
def test_clip_plays_in_a_browser_and_matches_its_ground_truth_in_size(rows: list[Row]) -> None:
    """A browser needs H.264, yuv420p and the index in front of the data."""
    path = SAMPLES / "street.mp4"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert "CC BY 3.0" in container.metadata["comment"]
        frames = sum(1 for _ in container.decode(video=0))
        wide, high = stream.width, stream.height
    data = path.read_bytes()
    assert len(data) < 3_000_000
    assert data.index(b"moov") < data.index(b"mdat")
    assert {row.frame for row in rows} == set(range(1, frames + 1))
    for row in rows:
        assert row.width >= 6
        assert row.height >= 6
        assert row.left >= 1
        assert row.top >= 1
        assert row.left + row.width - 1 <= wide
        assert row.top + row.height - 1 <= high


def test_ids_keep_their_class_and_appear_once_per_frame(rows: list[Row]) -> None:
    kinds = defaultdict(set)
    for row in rows:
        kinds[row.id].add(row.kind)
        assert row.considered == 1
        assert 0 <= row.visibility <= 1
    assert sorted(kinds) == list(range(1, len(kinds) + 1))
    assert all(len(kind) == 1 for kind in kinds.values())
    classes = [kind.pop() for kind in kinds.values()]
    assert classes.count(PERSON) >= 8
    assert classes.count(VEHICLE) >= 4
    assert len({(row.frame, row.id) for row in rows}) == len(rows)


@pytest.mark.slow
def test_script_computes_the_committed_ground_truth(
    scripts: tuple[ModuleType, ModuleType],
) -> None:
    """Integers only, so that every machine agrees and nobody has to encode to check."""
    committed = (SAMPLES / "street_gt.txt").read_text()
    assert "\n".join(scripts[1].ground_truth()) + "\n" == committed


@pytest.mark.slow
def test_clip_shows_what_the_script_draws(scripts: tuple[ModuleType, ModuleType]) -> None:
    """Ground truth is worthless beside a clip that was encoded from an older cast."""
    street, scene = scripts
    drawn = next(street.pictures()).astype(float)
    with av.open(str(SAMPLES / "street.mp4")) as container:
        shown = next(container.decode(video=0)).to_ndarray(format="bgr24").astype(float)
    assert np.abs(drawn - shown).mean() < 5
    for item in scene.far_to_near(0):
        mask = scene.mask_of(item)
        y, x, part = scene.in_frame(mask, item.left // 8, item.top // 8)
        if part.sum() > 500:
            assert np.abs(drawn[y, x] - shown[y, x])[part].mean() < 10


def test_people_and_vehicles_hide_each_other_and_come_out_again(rows: list[Row]) -> None:
    hidden = {row.id for row in rows if row.visibility < 0.1}
    back = set()
    for number in hidden & {row.id for row in rows if row.kind == PERSON}:
        seen = [row.visibility for row in rows if row.id == number]
        first = next(k for k, share in enumerate(seen) if share < 0.1)
        if max(seen[:first], default=0) > 0.8 and max(seen[first:]) > 0.8:
            back.add(number)
    assert len(back) >= 2
    persons = defaultdict(list)
    for row in rows:
        if row.kind == PERSON:
            persons[row.frame].append(_xyxy(row))
    overlaps = []
    for boxes in persons.values():
        xyxy = np.array(boxes, np.float64)
        iou = iou_of_xyxy(xyxy, xyxy)
        overlaps.append(float((iou - np.eye(len(boxes))).max()))
    assert max(overlaps) > 0.4


def test_some_leave_before_the_end_and_some_come_later(rows: list[Row]) -> None:
    first, last = {}, {}
    for row in rows:
        first.setdefault(row.id, row.frame)
        last[row.id] = row.frame
    end = max(last.values())
    kinds = {row.id: row.kind for row in rows}
    for kind in (PERSON, VEHICLE):
        mine = [number for number in kinds if kinds[number] == kind]
        assert any(last[number] < end - 25 for number in mine)
        assert any(first[number] > 25 for number in mine)
