"""Conversion of boxes and tracks to and from supervision, ultralytics, pandas and polars.

Each library is imported by the first function that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import ClassNames, Detections, Float32, Result, Tracks
from pipeline.core.errors import MissingExtraError, UsageError
from pipeline.core.install_hints import pip_command
from pipeline.core.masks import Mask
from pipeline.core.output_columns import TRACK_COLUMNS, TRACK_NAMES, ColumnType, track_rows

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import supervision as sv

CLASS_NAME, KEYPOINTS, AGE_S, COASTING = "class_name", "keypoints", "age_s", "coasting"
"""Keys in supervision's `data` for values without a field; the first is supervision's own."""


def to_supervision(
    found: Detections | Tracks | Result, class_names: ClassNames | None = None
) -> sv.Detections:
    """Return boxes as `supervision.Detections`, for its annotators, zones and metrics.

    Of a Result the tracks are converted, or the detections if nothing was tracked; masks and class
    names are included, keypoints are in `data["keypoints"]`. Tracks set `data["age_s"]` and
    `data["coasting"]`. Raises MissingExtraError if supervision is not installed.
    """
    module = _imported("supervision")
    masks = keypoints = None
    rows: NDArray[Any]
    data: dict[str, Any] = {}
    if isinstance(found, Result):
        class_names = found.class_names if class_names is None else class_names
        seen, tracks = found.detections, found.tracks
        size = found.frame.shape[:2]
        if len(tracks) and not tracks.track_id.any():  # the tracker `none`
            found, rows = seen, np.arange(len(seen))
        else:
            found, rows = tracks, tracks.detection
        masks = _masks_of_rows(seen, rows, (size[0], size[1]))
        keypoints = _keypoints_of_rows(seen, rows)
    elif isinstance(found, Detections):
        rows = np.arange(len(found))
        masks, keypoints = _masks_of_rows(found, rows, None), found.keypoints
    if keypoints is not None:
        data[KEYPOINTS] = keypoints
    ids = None
    if isinstance(found, Tracks):
        ids = found.track_id
        data |= {AGE_S: found.age_s, COASTING: found.coasting}
    if class_names is not None:
        names = [class_names.get(each, str(each)) for each in found.class_id.tolist()]
        data[CLASS_NAME] = np.array(names, dtype=str)
    made: sv.Detections = module.Detections(
        xyxy=found.xyxy,
        mask=masks,
        confidence=found.score,
        class_id=found.class_id.astype(int),
        tracker_id=ids,
        data=data,
    )
    return made


def from_supervision(found: sv.Detections) -> Detections | Tracks:
    """Convert `supervision.Detections` to Tracks if they have tracker ids, else to Detections.

    A missing score is 1 and a missing class 0. Tracks have no masks: those belong to the
    detections.
    """
    xyxy = np.asarray(found.xyxy, np.float32).reshape(-1, 4)
    n = len(xyxy)
    score = _or_else(found.confidence, np.ones(n), np.float32)
    class_id = _or_else(found.class_id, np.zeros(n), np.int32)
    data: Mapping[str, Any] = found.data or {}
    if found.tracker_id is not None:
        coasting = _or_else(data.get(COASTING), np.zeros(n), np.bool_)
        age_s = _or_else(data.get(AGE_S), np.zeros(n), np.float32)
        return _tracks(xyxy, score, class_id, found.tracker_id, age_s, coasting)
    masks = None
    if found.mask is not None:
        pixels = np.asarray(found.mask, np.bool_)
        masks = tuple(map(Mask.from_pixels, pixels))
    keypoints = data.get(KEYPOINTS)
    return Detections(
        xyxy, score, class_id, masks, None if keypoints is None else np.asarray(keypoints, "f4")
    )


def from_ultralytics(found: Any) -> Detections | Tracks:
    """Convert ultralytics' `Results` or `Boxes` of one picture.

    To Tracks if `model.track` gave ids, else to Detections, with masks and keypoints if there are
    any. Raises UsageError for the list that a model returns and for oriented boxes.
    """
    if isinstance(found, list | tuple):
        raise UsageError(
            "from_ultralytics: want the results of one picture, got a list: "
            "[from_ultralytics(each) for each in results]"
        )
    boxes = found if hasattr(found, "xyxy") and hasattr(found, "conf") else found.boxes
    if boxes is None:
        raise UsageError("from_ultralytics: the results hold no boxes (want detect, segment, pose)")
    xyxy = _array(boxes.xyxy, np.float32).reshape(-1, 4)
    score, class_id = _array(boxes.conf, np.float32), _array(boxes.cls, np.int32)
    if boxes.id is not None:
        nothing = np.zeros(len(xyxy))
        ids = _array(boxes.id, np.int64)
        return _tracks(xyxy, score, class_id, ids, nothing.astype("f4"), nothing.astype(bool))
    masks = keypoints = None
    if found is not boxes and found.masks is not None:
        numbers = _array(found.masks.data, np.float32)
        size = int(found.orig_shape[0]), int(found.orig_shape[1])
        masks = tuple(
            _letterboxed_mask(one, _box(box), size) for one, box in zip(numbers, xyxy, strict=True)
        )
    if found is not boxes and found.keypoints is not None:
        keypoints = _array(found.keypoints.data, np.float32)
        if keypoints.shape[-1] == 2:
            keypoints = np.concatenate((keypoints, np.ones_like(keypoints[..., :1])), axis=-1)
    return Detections(xyxy, score, class_id, masks, keypoints)


def to_pandas(results: Iterable[Result]) -> pd.DataFrame:
    """Return a row for each track of all results, with the columns of the CSV file.

    Without a tracker each detection is a row, with track id 0. `utc` is empty: only a run with
    outputs knows when a recording began. Raises MissingExtraError if pandas is not installed.
    """
    pandas = _imported("pandas")
    rows = _rows(results)
    columns = zip(*rows, strict=True) if rows else ((),) * len(TRACK_NAMES)
    values = dict(zip(TRACK_NAMES, columns, strict=True))
    series = {
        column.name: pandas.Series(values[column.name], dtype=_PANDAS[column.type])
        for column in TRACK_COLUMNS
    }
    made: pd.DataFrame = pandas.DataFrame(series)
    return made


def to_polars(results: Iterable[Result]) -> pl.DataFrame:
    """Return the same rows as `to_pandas` for polars; raises MissingExtraError without polars."""
    polars = _imported("polars")
    types: dict[ColumnType, Any] = {
        "text": polars.String,
        "int32": polars.Int32,
        "int64": polars.Int64,
        "float32": polars.Float32,
        "float64": polars.Float64,
        "time": polars.Datetime("ms", "UTC"),
        "float32 list": polars.List(polars.Float32),
    }
    schema = {column.name: types[column.type] for column in TRACK_COLUMNS}
    made: pl.DataFrame = polars.DataFrame(_rows(results), schema=schema, orient="row")
    return made


_PANDAS: dict[ColumnType, str] = {
    "text": "str",
    "int32": "int32",
    "int64": "int64",
    "float32": "float32",
    "float64": "float64",
    "time": "datetime64[ms, UTC]",
    "float32 list": "object",
}


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError(f"to_{name} needs {name}: {pip_command(name)}") from None


def _rows(results: Iterable[Result]) -> list[tuple[Any, ...]]:
    utc = TRACK_NAMES.index("utc")
    rows = (row for result in results for row in track_rows(result, lambda *_: None))
    return [(*row[:utc], None, *row[utc + 1 :]) for row in rows]


def _array(value: Any, dtype: type) -> NDArray[Any]:
    """Convert a tensor on any device, or an array, to an array."""
    return np.asarray(value.cpu() if hasattr(value, "cpu") else value).astype(dtype)


def _or_else(value: Any, default: NDArray[Any], dtype: type) -> NDArray[Any]:
    return np.asarray(default if value is None else value).astype(dtype)


def _box(xyxy: Float32) -> tuple[float, float, float, float]:
    left, top, right, bottom = xyxy.tolist()
    return left, top, right, bottom


def _tracks(
    xyxy: Float32,
    score: Float32,
    class_id: NDArray[np.int32],
    track_id: NDArray[Any],
    age_s: Float32,
    coasting: NDArray[np.bool_],
) -> Tracks:
    row = np.where(coasting, -1, np.cumsum(~coasting) - 1).astype(np.int32)
    return Tracks(xyxy, score, class_id, np.asarray(track_id).astype(np.int64), row, age_s)


def _masks_of_rows(
    seen: Detections, rows: NDArray[Any], size: tuple[int, int] | None
) -> NDArray[np.bool_] | None:
    """Return bool[N,H,W] of the detections' `rows`; all False for row -1."""
    if seen.masks is None:
        return None
    if size is None:
        size = seen.masks[0].size if seen.masks else (0, 0)
    out = np.zeros((len(rows), *size), np.bool_)
    for place, row in enumerate(rows.tolist()):
        if row >= 0:
            out[place] = seen.masks[row].decode()
    return out


def _keypoints_of_rows(seen: Detections, rows: NDArray[Any]) -> Float32 | None:
    """Return f32[N,K,3] of the detections' `rows`; zeros for row -1."""
    if seen.keypoints is None:
        return None
    out = np.zeros((len(rows), *seen.keypoints.shape[1:]), np.float32)
    out[rows >= 0] = seen.keypoints[rows[rows >= 0]]
    return out


def _letterboxed_mask(
    numbers: Float32, xyxy: tuple[float, float, float, float], size: tuple[int, int]
) -> Mask:
    """Return ultralytics' mask, 1 inside and 0 outside, in the network's input or in the picture.

    The input holds the picture of `size` (height, width) as large as it fits, in the middle.
    """
    height, width = numbers.shape
    scale = min(height / size[0], width / size[1])
    left, top = (width - size[1] * scale) / 2, (height - size[0] * scale) / 2
    # Only the cells of the box, and one more on each side, are kept.
    low = np.floor(np.array(xyxy[:2]) * scale + (left, top)).astype(int) - 1
    high = np.ceil(np.array(xyxy[2:]) * scale + (left, top)).astype(int) + 1
    x0, y0 = low.clip(0, (width, height)).tolist()
    x1, y1 = high.clip(0, (width, height)).tolist()
    region = [(x0 - left) / scale, (y0 - top) / scale, (x1 - left) / scale, (y1 - top) / scale]
    cells = numbers[y0:y1, x0:x1] * 2 - 1
    return Mask.from_numbers(cells, _box(np.array(region)), xyxy, size)
