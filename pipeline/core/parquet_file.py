"""Parquet files of the exported tables: columns gathered from results, written part by part.

pyarrow is in the extra `data`; it is imported when the first file is created.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.atomic_file import sync_folder
from pipeline.core.data import ClassNames, Event, Result
from pipeline.core.errors import MissingExtraError
from pipeline.core.install_hints import install_command
from pipeline.core.output_columns import (
    EVENT_COLUMNS,
    TRACK_COLUMNS,
    Column,
    UtcOf,
    event_rows,
    masks_and_keypoints,
)

ROW_GROUP = 1 << 17
"""Rows per row group: what a writer holds in memory, and a reader skips or reads at once."""


def import_pyarrow(wanted_by: str) -> Any:
    """Import and return pyarrow; raises MissingExtraError saying that `wanted_by` needs it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(
            f"{wanted_by} needs the extra 'data': {install_command('data')}"
        ) from None
    return pyarrow


def keep_pandas_out() -> None:
    """Stop pyarrow from importing pandas, which it otherwise does with its first array.

    That takes half a second and tens of MB that writing files does not need. pyarrow looks for
    pandas once, and again when something becomes a DataFrame; afterwards it would not recognise
    pandas columns given to it. So this is only for processes of our own.
    """
    pyarrow = import_pyarrow("a dataset")
    if "pandas" not in sys.modules:
        hidden = _Hidden()
        sys.meta_path.insert(0, hidden)
        try:
            pyarrow.array([0])
        finally:
            sys.meta_path.remove(hidden)


class _Hidden(MetaPathFinder):
    """Import finder that makes pandas look not installed."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def arrow_schema(columns: Sequence[Column]) -> Any:
    """Return the columns as a pyarrow schema; text is a dictionary in memory, strings in files."""
    import pyarrow as pa

    types = {
        "text": pa.dictionary(pa.int32(), pa.string()),
        "string": pa.string(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "time": pa.timestamp("ms", "UTC"),
        "float32 list": pa.list_(pa.float32()),
    }
    return pa.schema([pa.field(column.name, types[column.type]) for column in columns])


def table_of(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Any:
    """Return rows in the order of `columns` as a pyarrow table; times are Unix seconds or None."""
    import pyarrow as pa

    schema = arrow_schema(columns)
    arrays = []
    for number, column in enumerate(columns):
        values = [row[number] for row in rows]
        if column.type == "text":
            codes = _Codes()
            array = codes.array([codes.of(value) for value in values])
        elif column.type == "time":
            array = pa.array(
                [None if value is None else milliseconds(value) for value in values],
                schema.field(number).type,
            )
        else:
            array = pa.array(values, schema.field(number).type)
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=schema)


def event_table(events: Iterable[Event], utc_of: UtcOf) -> Any:
    """Return events as a pyarrow table of EVENT_COLUMNS."""
    return table_of(EVENT_COLUMNS, event_rows(events, utc_of, time=lambda unix_s: unix_s))


def with_constants(table: Any, values: Mapping[str, str]) -> Any:
    """Return the table with text columns of one constant value each in front of it."""
    for number, (name, value) in enumerate(values.items()):
        table = table.add_column(number, name, _constant(value, table.num_rows))
    return table


def _constant(value: str, rows: int) -> Any:
    codes = _Codes()
    return codes.array(np.full(rows, codes.of(value), np.int32))


def milliseconds(unix_s: float) -> int:
    """Return seconds since 1970 as whole milliseconds, the stored form of a time."""
    return round(unix_s * 1000)


class TrackColumns:
    """Gathers the rows of `tracks` from results as columns, rounded like `track_rows`.

    `constant` are text columns of one value each, before the others; `extra`, from EXTRA_COLUMNS,
    follow after them.
    """

    def __init__(
        self, constant: Mapping[str, str] | None = None, extra: tuple[Column, ...] = ()
    ) -> None:
        text = [Column(name, "text", "", "") for name in constant or {}]
        self.columns = (*text, *TRACK_COLUMNS, *extra)
        self._extra = extra
        self._constant = dict(constant or {})
        self._clear()

    def __len__(self) -> int:
        return self._count

    def add(self, result: Result, utc_of: UtcOf) -> None:
        """Add the tracks of one result; keeps no reference to its picture."""
        tracks, frame = result.tracks, result.frame
        count = len(tracks)
        if not count:
            return
        utc = utc_of(frame.source, frame.pts_s, frame.captured_at)
        height, width = frame.shape[:2]
        self._counts.append(count)
        self._frames.append(
            (
                self._text["source"].of(frame.source),
                frame.index,
                round(frame.pts_s, 6),
                _NO_TIME if utc is None else milliseconds(utc),
                width,
                height,
                frame.epoch,
                self._text["file"].of(frame.file),
            )
        )
        names = self._class_codes(result.class_names)
        self._class_name += [names[number] for number in tracks.class_id.tolist()]
        self._rows.append(
            (tracks.track_id, tracks.class_id, tracks.score, tracks.xyxy,
             tracks.coasting, tracks.age_s)
        )  # fmt: skip
        if self._extra:
            self._masks_and_keypoints.append(masks_and_keypoints(result))
        self._count += count

    def take(self) -> Any:
        """Return the rows so far as a pyarrow table in the order of `columns`, and clear them."""
        import pyarrow as pa

        schema = arrow_schema(self.columns)
        if not self._count:
            return schema.empty_table()
        track_id, class_id, score, xyxy, coasting, age_s = (
            np.concatenate(each) for each in zip(*self._rows, strict=True)
        )
        counts = np.array(self._counts)
        source, frame, pts_s, utc, width, height, epoch, file = (
            np.repeat(np.array(each), counts) for each in zip(*self._frames, strict=True)
        )
        states = pa.array(["matched", "coasting"])
        boxes = np.round(xyxy.astype(np.float64), 2).astype(np.float32)
        columns = {
            "source": self._text["source"].array(source),
            "frame": frame,
            "pts_s": pts_s,
            "utc": pa.array(utc, schema.field("utc").type, mask=utc == _NO_TIME),
            "track_id": track_id,
            "class_id": class_id,
            "class_name": self._text["class_name"].array(self._class_name),
            "score": np.round(score.astype(np.float64), 4).astype(np.float32),
            **{name: boxes[:, number] for number, name in enumerate(("x1", "y1", "x2", "y2"))},
            "state": pa.DictionaryArray.from_arrays(coasting.astype(np.int32), states),
            "age_s": np.round(age_s.astype(np.float64), 3).astype(np.float32),
            "width": width,
            "height": height,
            "epoch": epoch,
            "file": self._text["file"].array(file),
        }
        for name, value in self._constant.items():
            columns[name] = _constant(value, self._count)
        for column in self._extra:
            columns[column.name] = self._extra_array(column, schema.field(column.name).type)
        self._clear()
        arrays = [
            each
            if isinstance(each := columns[field.name], pa.Array)
            else pa.array(each, field.type, from_pandas=False)
            for field in schema
        ]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _extra_array(self, column: Column, kind: Any) -> Any:
        """Return a column of masks or keypoints.

        Without any value, an all-null column made at once.
        """
        import pyarrow as pa

        if not any(self._masks_and_keypoints):
            return pa.nulls(self._count, kind)
        values: list[Any] = []
        for count, rows in zip(self._counts, self._masks_and_keypoints, strict=True):
            values += [None] * count if rows is None else [_flat(row[column.name]) for row in rows]
        return pa.array(values, kind)

    def _clear(self) -> None:
        self._count = 0
        self._counts: list[int] = []
        self._frames: list[tuple[Any, ...]] = []
        self._rows: list[tuple[Any, ...]] = []
        self._class_name: list[int] = []
        self._masks_and_keypoints: list[list[dict[str, Any]] | None] = []
        self._text = {name: _Codes() for name in ("source", "class_name", "file")}
        self._named: ClassNames | None = None
        self._codes: _ClassCodes = _ClassCodes({}, self._text["class_name"])

    def _class_codes(self, names: ClassNames) -> _ClassCodes:
        if self._named is not names:  # the run's object, the same until its detector changes
            self._named = names
            self._codes = _ClassCodes(names, self._text["class_name"])
        return self._codes


_NO_TIME = np.iinfo(np.int64).min


def _flat(value: Any) -> Any:
    """Return the cell's value for a mask's RLE or a list of keypoints, None for neither."""
    if isinstance(value, dict):
        return value["counts"]
    return None if value is None else [number for point in value for number in point]


class _Codes:
    """Assigns a number to each text: builds a dictionary column."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, text: str) -> int:
        """Return the text's number."""
        return self._numbers.setdefault(text, len(self._numbers))

    def array(self, codes: Any) -> Any:
        """Return the column; names that are not UTF-8, such as files', are written escaped."""
        import pyarrow as pa

        words = [text.encode("utf-8", "backslashreplace").decode() for text in self._numbers]
        return pa.DictionaryArray.from_arrays(
            pa.array(codes, pa.int32()), pa.array(words, pa.string())
        )


class _ClassCodes(dict[int, int]):
    """Maps class ids to the code of their name in the column `class_name`."""

    def __init__(self, names: ClassNames, codes: _Codes) -> None:
        super().__init__()
        self._names = names
        self._texts = codes

    def __missing__(self, class_id: int) -> int:
        code = self[class_id] = self._texts.of(self._names.get(class_id, str(class_id)))
        return code


class PartWriter:
    """Writes one Parquet file as `partial` and renames it into place when it is complete.

    `partial` is in another folder of the same file system, because some readers of a whole folder
    take every file in it. `durable` waits until the file is on disk. Rows are held until a row
    group is full, so memory stays constant however long the file gets. `abort` without `commit`
    leaves nothing behind. Raises OSError.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[Column],
        partial: Path,
        *,
        durable: bool = False,
        compression: str = "zstd",
    ) -> None:
        import pyarrow.parquet as pq

        self.path = path
        self.rows = 0
        self._schema = arrow_schema(columns)
        self._durable = durable
        self._waiting: list[Any] = []
        self._waiting_rows = 0
        self._partial = partial
        self._file = self._partial.open("wb")
        # Coordinates hardly repeat: split by bytes they take two thirds of a dictionary's size.
        split = [each.name for each in columns if each.type == "float32" and each.unit == "px"]
        # A stored Arrow schema would give text as categories in pandas and polars, not as strings.
        try:
            self._writer = pq.ParquetWriter(
                self._file, self._schema, store_schema=False, compression=compression,
                use_dictionary=[
                    each.name
                    for each in columns
                    if each.name not in split and each.type != "string"
                ],
                column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT") or None,
            )  # fmt: skip
        except BaseException:  # it writes the file's first bytes, and the disk may be full
            self._close()
            raise

    def write(self, table: Any) -> None:
        """Write a table with the writer's columns."""
        if not table.num_rows:
            return
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        self.rows += table.num_rows
        if self._waiting_rows >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._waiting_rows:
            return
        whole = pa.concat_tables(self._waiting).unify_dictionaries().combine_chunks()
        self._waiting, self._waiting_rows = [], 0
        self._writer.write_table(whole, row_group_size=ROW_GROUP)

    def commit(self) -> int:
        """Finish the file, rename it into place and return its size in bytes."""
        try:
            self._flush()
            self._writer.close()
            self._file.flush()
            if self._durable:
                os.fsync(self._file.fileno())
            size = self._file.tell()
            self._file.close()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._partial.replace(self.path)
            if self._durable:
                for folder in (self.path.parent, *self.path.parent.parents[:2]):
                    sync_folder(folder)  # up to the table's: the partitions may be new
        except BaseException:
            self.abort()
            raise
        return size

    def abort(self) -> None:
        """Close and remove an uncommitted file; safe to call at any time."""
        self._waiting, self._waiting_rows = [], 0
        with suppress(Exception):  # its footer no longer matters, and the disk may be full
            self._writer.close()
        self._close()

    def _close(self) -> None:
        """Close and remove the unfinished file."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)
