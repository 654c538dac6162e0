"""Readers for files of boxes: MOTChallenge text, KITTI detections, our CSV and JSONL.

The formats number frames differently; here frames always count from 0. MOTChallenge text ("frame,
id, left, top, width, height, score, ...", Dendorfer et al. 2020) counts from 1.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import UsageError, reading

SUFFIXES = (".txt", ".csv", ".jsonl")
Kind = Literal["mot", "kitti", "csv", "jsonl"]

FILLED_MARK = -2
"""Value of the last of ten MOTChallenge columns (normally -1) for a row that was filled in
later."""

# Detections "frame, type, x1, y1, x2, y2, score, h, w, l, x, y, z, rotation, alpha".
_KITTI_COLUMNS = 15
_KITTI_TYPES = {1: "pedestrian", 2: "car", 3: "cyclist"}
_NEEDED = ("frame", "x1", "y1", "x2", "y2")
STATES = ("matched", "coasting", "filled")
_NO_TIME_OR_SIZE = (math.nan, math.nan, 0, 0)
_CHUNK_ROWS = 20_000
_MAX_WHOLE = 1 << 62


class RowShape(NamedTuple):
    """Mask and keypoints of one box: COCO's RLE text for a picture of `size`, [x, y, score] rows.

    `size` is (height, width); either may be None.
    """

    size: tuple[int, int]
    mask: str | None
    keypoints: list[list[float]] | None


@dataclass(frozen=True, slots=True, eq=False)
class BoxTable:
    """N boxes of one sequence in the file's order.

    `frame` i64[N] from 0, `track_id` i64[N] (0: no identity), `xyxy` f64[N,4] in pixels, `score`
    f64[N] as in the file (1 if there is none), `class_id` i64[N] (-1: unknown), `state` str[N],
    `pts_s` f64[N] (NaN: unknown), `record` i64[N]: the index in `Recording.records` (-1: none),
    `utc_s` f64[N] Unix time (NaN: unknown), `size` i32[N,2]: width and height of the picture (0:
    unknown), `shape` [N] RowShape or None each; None if no row has one.
    """

    frame: NDArray[np.int64]
    track_id: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    score: NDArray[np.float64]
    class_id: NDArray[np.int64]
    state: NDArray[np.str_]
    pts_s: NDArray[np.float64]
    record: NDArray[np.int64]
    utc_s: NDArray[np.float64]
    size: NDArray[np.int32]
    shape: NDArray[np.object_] | None = None

    @classmethod
    def of(cls, frame: Any, track_id: Any, xyxy: Any, **known: Any) -> BoxTable:
        """Return a table of these columns; missing ones get the value for "unknown"."""
        n = len(frame)
        columns = {
            "score": np.ones(n),
            "class_id": np.full(n, -1),
            "state": np.full(n, "matched"),
            "pts_s": np.full(n, np.nan),
            "record": np.full(n, -1),
            "utc_s": np.full(n, np.nan),
            "size": np.zeros((n, 2)),
            **known,
        }
        made: dict[str, Any] = {
            name: np.asarray(columns[name], kind) for name, kind in _KNOWN.items()
        }
        made["shape"] = known.get("shape")
        return cls(
            np.asarray(frame, np.int64),
            np.asarray(track_id, np.int64),
            np.asarray(xyxy, np.float64).reshape(-1, 4),
            **made,
        )

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, rows: NDArray[Any] | slice) -> BoxTable:
        """Return the rows picked by a boolean mask, an index array or a slice."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in BoxTable.__slots__}
        picked: dict[str, Any] = {
            name: None if each is None else each[rows] for name, each in columns.items()
        }
        return BoxTable(**picked)

    @classmethod
    def joined(cls, tables: Sequence[BoxTable]) -> BoxTable:
        """Return the rows of several tables, one after the other."""
        if not tables:
            return cls.of((), (), ())
        names = [name for name in cls.__slots__ if name != "shape"]
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(table, name) for table in tables]) for name in names
        }
        if any(table.shape is not None for table in tables):
            columns["shape"] = np.concatenate(
                [np.full(len(t), None) if t.shape is None else t.shape for t in tables]
            )
        return cls(**columns)


_KNOWN: dict[str, Any] = {
    "score": np.float64,
    "class_id": np.int64,
    "state": "U8",
    "pts_s": np.float64,
    "record": np.int64,
    "utc_s": np.float64,
    "size": np.int32,
}
"""Optional columns, with their types."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One file: its format, {sequence: boxes}, {class id: name} if given, and the records.

    A record is a list of texts (mot, kitti) or a mapping (csv, jsonl). `header` is the run's
    metadata from a JSONL file's `.meta.json`, in older files from the first line; CSV's columns are
    in `columns`. `files` is {sequence: {first frame: path of the video or picture}}.
    """

    path: Path
    kind: Kind
    tables: Mapping[str, BoxTable]
    class_names: Mapping[int, str]
    records: Sequence[Any]
    columns: Sequence[str] = ()
    header: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


def read_recording(path: Path, *, keep_records: bool = True) -> Recording:
    """Read the file `path`; raises UsageError with the line where it is malformed.

    Records take twenty times the memory of the arrays; without them `Recording.records` is empty.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: want a file of boxes ({', '.join(SUFFIXES)})")
    with reading(path), path.open(encoding="utf-8", newline="") as file:
        reader = {".csv": _read_csv, ".jsonl": _read_jsonl}.get(suffix, _read_text)
        return reader(_Rows(path, keep_records), file)


def meta_path(path: Path) -> Path:
    """Return the path of the metadata file beside a JSONL file."""
    return path.with_suffix(".meta.json")


def _meta(path: Path) -> dict[str, Any]:
    """Read a `.meta.json`, {} if there is none; raises UsageError."""
    try:
        meta = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path}: not JSON") from None
    if not isinstance(meta, dict):
        raise UsageError(f"{path}: want an object, got {type(meta).__name__}")
    return meta


def sequence_name(path: Path) -> str:
    """Return <seq> for <seq>/det/det.txt and <seq>/gt/gt.txt, else the file's stem."""
    inside = path.parent.name == path.stem and path.stem in ("det", "gt")
    return path.absolute().parent.parent.name if inside else path.stem


class _Rows:
    """Collects rows by sequence in chunked arrays, and locates malformed ones."""

    def __init__(self, path: Path, keep_records: bool) -> None:
        self.path = path
        self._keep_records = keep_records
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._chunks: dict[str, list[BoxTable]] = {}
        self.records: list[Any] = []
        self.files: dict[str, dict[int, str]] = {}

    @contextmanager
    def line(self, number: int) -> Iterator[None]:
        """Turn the exceptions of a malformed record into a UsageError with the line."""
        try:
            yield
        except KeyError as error:
            raise UsageError(f"{self.path}:{number}: has no {error}") from None
        except (ValueError, TypeError, OverflowError) as error:
            raise UsageError(f"{self.path}:{number}: not a row of boxes: {error}") from None

    def add(self, sequence: str, values: tuple[Any, ...], record: Any, file: str = "") -> None:
        """Add a row: frame, id, four box numbers, score, class, state, time, UTC, size."""
        if values[0] < 0:
            raise ValueError("number of the frame is too small")
        if not all(map(math.isfinite, values[2:7])):
            raise ValueError("a number is not finite")
        rows = self._rows.setdefault(sequence, [])
        rows.append((*values, len(self.records) if self._keep_records else -1))
        if self._keep_records:
            self.records.append(record)
        if len(rows) >= _CHUNK_ROWS:
            self._chunks.setdefault(sequence, []).append(_table(rows))
            rows.clear()
        if file:
            files = self.files.setdefault(sequence, {})
            if not files or next(reversed(files.values())) != file:
                files[values[0]] = file

    def tables(self) -> dict[str, BoxTable]:
        """Return the rows so far as arrays."""
        found = {}
        for name, rows in self._rows.items():
            chunks = self._chunks.pop(name, [])
            found[name] = BoxTable.joined([*chunks, _table(rows)] if rows else chunks)
        return found


def _table(rows: list[tuple[Any, ...]]) -> BoxTable:
    frame, track_id, x1, y1, x2, y2, score, class_id, state, pts_s, *rest = zip(*rows, strict=True)
    utc_s, width, height, record = rest
    return BoxTable.of(
        frame,
        [max(each, 0) for each in track_id],
        np.array((x1, y1, x2, y2), np.float64).T,
        score=score,
        class_id=class_id,
        state=state,
        pts_s=pts_s,
        record=record,
        utc_s=utc_s,
        size=np.array((width, height)).T,
    )


def _read_text(rows: _Rows, lines: Iterator[str]) -> Recording:
    path = rows.path
    name, kinds = sequence_name(path), set[Kind]()
    for number, line in enumerate(lines, 1):
        cells = line.strip().split(",")
        if cells == [""]:
            continue
        if len(cells) < 6:
            raise UsageError(
                f"{path}:{number}: want 6 or more numbers with commas: '{line.strip()}'"
            )
        is_kitti = len(cells) >= _KITTI_COLUMNS
        kinds.add("kitti" if is_kitti else "mot")
        with rows.line(number):
            rows.add(name, (_kitti_row if is_kitti else _mot_row)(cells), cells)
    if len(kinds) > 1:
        raise UsageError(f"{path}: lines of 15 columns (KITTI) and shorter ones (MOT) are mixed")
    kind = kinds.pop() if kinds else "mot"
    names = _KITTI_TYPES if kind == "kitti" else {}
    return Recording(path, kind, rows.tables() or {name: BoxTable.joined([])}, names, rows.records)


def _mot_row(cells: list[str]) -> tuple[Any, ...]:
    left, top, width, height = map(float, cells[2:6])
    score = float(cells[6]) if len(cells) > 6 else 1.0
    filled = len(cells) == 10 and float(cells[9]) == FILLED_MARK
    box = left, top, left + width, top + height
    state = "filled" if filled else "matched"
    return whole(cells[0]) - 1, whole(cells[1]), *box, score, -1, state, *_NO_TIME_OR_SIZE


def _kitti_row(cells: list[str]) -> tuple[Any, ...]:
    frame, kind, *box, score = (float(cell) for cell in cells[:7])
    return whole(frame), 0, *box, score, whole(kind), "matched", *_NO_TIME_OR_SIZE


def _read_csv(rows: _Rows, lines: Iterator[str]) -> Recording:
    path = rows.path
    reader = csv.DictReader(lines)
    columns = reader.fieldnames or []
    if missing := [name for name in _NEEDED if name not in columns]:
        raise UsageError(f"{path}:1: want a header with {', '.join(_NEEDED)}; no {missing[0]}")
    names = dict[int, str]()
    try:
        for record in reader:
            with rows.line(reader.line_num):
                rows.add(*_named_row(record, path, names), record, record.get("file") or "")
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: not CSV: {error}") from None
    return Recording(path, "csv", rows.tables(), names, rows.records, columns, files=rows.files)


def _read_jsonl(rows: _Rows, lines: Iterator[str]) -> Recording:
    path = rows.path
    names, header = dict[int, str](), _meta(meta_path(path))
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise UsageError(f"{path}:{number}: not JSON: {error.msg}") from None
        if not isinstance(record, dict):
            raise UsageError(f"{path}:{number}: want an object, got {type(record).__name__}")
        if record.get("type") == "header":
            header = record
            continue
        if record.get("type") == "event":
            continue
        with rows.line(number):
            rows.add(*_named_row(record, path, names), record, record.get("file") or "")
    return Recording(
        path, "jsonl", rows.tables(), names, rows.records, header=header, files=rows.files
    )


def _named_row(
    record: Mapping[str, Any], path: Path, names: dict[int, str]
) -> tuple[str, tuple[Any, ...]]:
    """Return (sequence, row) of a CSV or JSONL record; only frame and box are required."""
    values = {key: value for key, value in record.items() if value not in ("", None)}
    class_id = whole(values.get("class_id", -1))
    if "class_name" in values:
        names[class_id] = str(values["class_name"])
    state = values.get("state", "matched")
    if state not in STATES:
        raise ValueError(f"state '{state}' is none of {', '.join(STATES)}")
    row = (
        whole(values["frame"]),
        whole(values.get("track_id", 0)),
        *(float(values[name]) for name in ("x1", "y1", "x2", "y2")),
        float(values.get("score", 1.0)),
        class_id,
        state,
        float(values.get("pts_s", "nan")),
        unix_s(values["utc"]) if "utc" in values else math.nan,
        int(values.get("width", 0)),
        int(values.get("height", 0)),
    )
    return str(values.get("source", path.stem)), row


def unix_s(utc: object) -> float:
    """Return the Unix time of an ISO 8601 text, NaN for other text."""
    try:
        return datetime.fromisoformat(str(utc)).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def whole(number: float | str) -> int:
    """Parse a whole number given as a number or text ("7", "7.0"); raises ValueError.

    Ids and frames are 64-bit numbers from here on.
    """
    try:
        found = int(number) if isinstance(number, str) else None
    except ValueError:
        found = None
    if found is None:
        value = float(number)
        found = int(value)  # raises for NaN and infinity
        if value != found:
            raise ValueError(f"want a whole number, got {number}")
    if not -_MAX_WHOLE < found < _MAX_WHOLE:
        raise ValueError(f"want a number of at most 62 bits, got {number}")
    return found
