"""Boxes and tracks to and from supervision, ultralytics, pandas and polars."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pipeline
from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.core.errors import MissingExtraError, UsageError
from pipeline.core.masks import Mask
from pipeline.core.output_columns import TRACK_NAMES

NEEDS_TORCH = "needs torch and ultralytics"
NAMES = {0: "person", 2: "car"}
BOXES = np.array([[10, 20, 30, 60], [100.5, 50, 200, 90.25]], np.float32)
SCORE, CLASS_ID = np.array([0.9, 0.4], np.float32), np.array([0, 2], np.int32)
SIZE = (120, 240)


def pixels_of(box: Any) -> np.ndarray:
    left, top, right, bottom = map(int, box)
    pixels = np.zeros(SIZE, np.bool_)
    pixels[top:bottom, left:right] = True
    return pixels


def detections(*, more: bool = False) -> Detections:
    if not more:
        return Detections(BOXES, SCORE, CLASS_ID)
    masks = tuple(Mask.from_pixels(pixels_of(box)) for box in BOXES)
    keypoints = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
    return Detections(BOXES, SCORE, CLASS_ID, masks, keypoints)


def tracks() -> Tracks:
    """The second box's track, and one that coasts."""
    ids, rows = np.array([7, 3], np.int64), np.array([1, -1], np.int32)
    ages = np.array([2.5, 0.5], np.float32)
    return Tracks(BOXES[::-1].copy(), SCORE[::-1].copy(), CLASS_ID[::-1].copy(), ids, rows, ages)


def result(found: Tracks | None = None, *, more: bool = False, index: int = 0) -> Result:
    seen = detections(more=more)
    frame = Frame(np.zeros((*SIZE, 3), np.uint8), "gate", index, index / 25, 0.0)
    return Result(frame, seen, Tracks.untracked(seen) if found is None else found, NAMES)


# -- supervision ----------------------------------------------------------------------------------


@pytest.fixture
def sv() -> Any:
    return pytest.importorskip("supervision")


@pytest.mark.slow
@pytest.mark.parametrize("more", [False, True])
def test_detections_go_to_supervision_and_back(sv: Any, more: bool) -> None:
    there = pipeline.to_supervision(detections(more=more), NAMES)
    assert isinstance(there, sv.Detections)
    assert there.tracker_id is None
    assert there["class_name"].tolist() == ["person", "car"]
    picked = there[there.confidence > 0.5]  # its own filters keep everything together
    assert picked["class_name"].tolist() == ["person"]
    back = pipeline.from_supervision(there)
    assert isinstance(back, Detections)
    for name in ("xyxy", "score", "class_id"):
        np.testing.assert_array_equal(getattr(back, name), getattr(detections(), name))
    if not more:
        assert back.masks is back.keypoints is there.mask is None
        return
    assert back.masks is not None
    np.testing.assert_array_equal([m.decode() for m in back.masks], [*map(pixels_of, BOXES)])
    np.testing.assert_array_equal(back.keypoints, detections(more=True).keypoints)


@pytest.mark.slow
def test_tracks_go_to_supervision_and_back(sv: Any) -> None:
    back = pipeline.from_supervision(pipeline.to_supervision(tracks()))
    assert isinstance(back, Tracks)
    for name in ("xyxy", "score", "class_id", "track_id", "age_s", "coasting"):
        np.testing.assert_array_equal(getattr(back, name), getattr(tracks(), name))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "ids", "covered"),
    [
        (result(tracks(), more=True), [7, 3], [True, False]),  # what coasts has no mask
        (result(more=True), None, [True, True]),
        (result(Tracks.empty(), more=True), [], []),  # the tracker has not confirmed any yet
    ],
)
def test_a_result_is_what_was_tracked(
    sv: Any, one: Result, ids: list[int] | None, covered: list[bool]
) -> None:
    there = pipeline.to_supervision(one)
    assert (None if there.tracker_id is None else there.tracker_id.tolist()) == ids
    assert there.mask.any(axis=(1, 2)).tolist() == covered
    assert there["class_name"].tolist() == [NAMES[each] for each in there.class_id.tolist()]
    assert there["keypoints"].shape == (len(covered), 5, 3)


@pytest.mark.slow
def test_what_supervision_made_itself_comes_over(sv: Any) -> None:
    plain = sv.Detections(xyxy=BOXES.astype(np.float64))
    found = pipeline.from_supervision(plain)
    assert isinstance(found, Detections)
    assert found.score.tolist() == [1, 1]
    assert found.class_id.tolist() == [0, 0]
    assert len(pipeline.from_supervision(sv.Detections.empty())) == 0
    assert len(pipeline.to_supervision(Detections.empty())) == 0


# -- ultralytics ----------------------------------------------------------------------------------


class Tensor:
    """A tensor on a GPU, as far as these adapters see it."""

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values)

    def cpu(self) -> np.ndarray:
        return self._values


def boxes_of(ids: list[int] | None) -> SimpleNamespace:
    cls = Tensor(CLASS_ID.astype(np.float32))
    found = None if ids is None else Tensor(np.array(ids, np.float32))
    return SimpleNamespace(xyxy=Tensor(BOXES), conf=Tensor(SCORE), cls=cls, id=found)


@pytest.mark.parametrize("ids", [None, [4, 9]])
@pytest.mark.parametrize("alone", [False, True])
def test_boxes_come_from_ultralytics(ids: list[int] | None, alone: bool) -> None:
    boxes = boxes_of(ids)
    whole = SimpleNamespace(boxes=boxes, masks=None, keypoints=None, orig_shape=SIZE)
    found = pipeline.from_ultralytics(boxes if alone else whole)
    assert isinstance(found, Detections if ids is None else Tracks)
    np.testing.assert_array_equal(found.xyxy, BOXES)
    np.testing.assert_array_equal(found.score, SCORE)
    np.testing.assert_array_equal(found.class_id, CLASS_ID)
    if isinstance(found, Tracks):
        assert found.track_id.tolist() == ids
        assert not found.coasting.any()


@pytest.mark.parametrize("numbers", [2, 3])
def test_masks_and_keypoints_come_from_ultralytics(numbers: int) -> None:
    """Masks are of the network's input: half the picture's size here, with bars above and below."""
    bars = 2
    masks = np.stack([np.pad(pixels_of(box)[::2, ::2], ((bars, bars), (0, 0))) for box in BOXES])
    keypoints = np.full((2, 17, numbers), 5, np.float32)
    whole = SimpleNamespace(
        boxes=boxes_of(None),
        masks=SimpleNamespace(data=Tensor(masks.astype(np.float32))),
        keypoints=SimpleNamespace(data=Tensor(keypoints)),
        orig_shape=SIZE,
    )
    found = pipeline.from_ultralytics(whole)
    assert isinstance(found, Detections)
    assert found.masks is not None
    assert found.keypoints is not None
    for mask, box in zip(found.masks, BOXES, strict=True):
        both = mask.decode(), pixels_of(box)
        assert np.logical_and(*both).sum() / np.logical_or(*both).sum() > 0.95
    assert found.keypoints.shape == (2, 17, 3)
    assert found.keypoints[..., 2].tolist() == [[1 if numbers == 2 else 5] * 17] * 2


@pytest.mark.parametrize(
    ("came", "message"),
    [
        ([boxes_of(None)], r"want the results of one picture, got a list: \[from_ultralytics"),
        (SimpleNamespace(boxes=None), "hold no boxes"),
    ],
)
def test_what_is_not_one_pictures_boxes_is_refused(came: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pipeline.from_ultralytics(came)


@pytest.mark.needs_torch
@pytest.mark.slow
def test_results_of_ultralytics_itself_come_over() -> None:
    results = pytest.importorskip("ultralytics.engine.results", reason=NEEDS_TORCH)
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    rows = torch.tensor([[*BOXES[0].tolist(), 4, 0.9, 0], [*BOXES[1].tolist(), 9, 0.4, 2]])
    image = np.zeros((*SIZE, 3), np.uint8)
    for boxes, kind in ((rows, Tracks), (rows[:, [0, 1, 2, 3, 5, 6]], Detections)):
        found = pipeline.from_ultralytics(results.Results(image, "", NAMES, boxes=boxes))
        assert isinstance(found, kind)
        np.testing.assert_allclose(found.xyxy, BOXES)


# -- pandas and polars ----------------------------------------------------------------------------

RESULTS = [result(tracks()), result(index=1)]
IDS, STATES = [7, 3, 0, 0], ["matched", "coasting", "matched", "matched"]


@pytest.mark.slow
def test_rows_for_pandas_have_the_columns_of_the_csv_file() -> None:
    pandas = pytest.importorskip("pandas")
    table = pipeline.to_pandas(iter(RESULTS))
    assert tuple(table.columns) == TRACK_NAMES
    assert table["track_id"].tolist() == IDS
    assert table["state"].tolist() == STATES
    assert table["frame"].tolist() == [0, 0, 1, 1]
    assert table["class_name"].tolist() == ["car", "person", "person", "car"]
    assert table["utc"].isna().all()
    assert (table["x2"].dtype, table["frame"].dtype) == (np.float32, np.int64)
    empty = pipeline.to_pandas([])
    assert len(empty) == 0
    assert (empty.dtypes == table.dtypes).all()
    assert pandas.api.types.is_datetime64_any_dtype(empty["utc"])


@pytest.mark.slow
def test_rows_for_polars_are_the_same() -> None:
    pytest.importorskip("polars")
    table = pipeline.to_polars(iter(RESULTS))
    assert tuple(table.columns) == TRACK_NAMES
    assert table["track_id"].to_list() == IDS
    assert table["state"].to_list() == STATES
    assert table["utc"].null_count() == 4
    assert pipeline.to_polars([]).schema == table.schema


# -- without them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("supervision", lambda: pipeline.to_supervision(Detections.empty())),
        ("pandas", lambda: pipeline.to_pandas([])),
        ("polars", lambda: pipeline.to_polars([])),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_command(
    name: str, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"to_{name} needs {name}: .*pip.* install {name}"):
        use()


@pytest.mark.slow
def test_none_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, trackline\n"
        "print(trackline.to_pandas, trackline.to_supervision)\n"
        "print({'pandas', 'polars', 'supervision', 'ultralytics'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
