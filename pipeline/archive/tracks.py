"""Reads tracks in any format the program writes, as sequences with facts about their videos."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.archive.annotations import looks_like_annotations, read_annotations
from pipeline.archive.dataset.reader import Dataset, dataset_named, open_dataset
from pipeline.core.errors import UsageError
from pipeline.core.options import unknown
from pipeline.core.parquet_file import import_pyarrow
from pipeline.core.paths import home_path
from pipeline.core.sequences import (
    DEFAULT_FPS,
    DEFAULT_SIZE,
    RecordedSequence,
    VideoInfo,
    find_files,
    load_sequences,
    video_of_table,
)
from pipeline.core.track_files import STATES, SUFFIXES, BoxTable, RowShape, meta_path

log = logging.getLogger("trackline")

_MAX_NAMED = 3

_INNER = "det/det.txt"
_PARTS = "part-*.parquet"
_NEEDED = ("frame", "x1", "y1", "x2", "y2")
_USED = (
    "source", "track_id", "class_id", "class_name", "score", "state", "pts_s", "utc", "width",
    "height", "file",
)  # fmt: skip
_SHAPES = ("mask", "keypoints")
_TYPES: Mapping[str, tuple[str, Any]] = {
    "frame": ("int64", None),
    **dict.fromkeys(("x1", "y1", "x2", "y2"), ("float64", None)),
    "track_id": ("int64", 0), "class_id": ("int64", -1), "score": ("float64", 1.0),
    "pts_s": ("float64", math.nan), "width": ("int32", 0), "height": ("int32", 0),
}  # fmt: skip
"""Numeric columns: their type and the default for empty values; None: a value is required."""


@dataclass(frozen=True, slots=True)
class TrackInput:
    """Origin of tracks: {sequence: its camera or source}, and a function that loads sequences.

    Sequences of a dataset are its videos; they are loaded one at a time. `media` is {sequence: path
    of its video}, for those whose video is known.
    """

    path: Path
    names: Mapping[str, str]
    media: Mapping[str, str]
    load: Callable[[Collection[str]], Iterable[RecordedSequence]]

    def named(self, wanted: Sequence[str] = ()) -> list[str]:
        """Return the sequences with these names, or of cameras with these names; all if empty.

        Raises UsageError for an unknown name, and if there is no sequence at all.
        """
        if not self.names:
            raise UsageError(
                f"{self.path}: has no tracks: no source, or no recording that was read"
            )
        known = [*dict.fromkeys([*self.names.values(), *self.names])]
        if missing := [name for name in wanted if name not in known]:
            raise UsageError(f"{self.path}: {unknown('source', missing[0], known)}")
        chosen = set(wanted or known)
        return [name for name, camera in self.names.items() if {name, camera} & chosen]


def open_tracks(path: Path, inner: str = _INNER, *, shapes: bool = False) -> TrackInput:
    """Open tracks.csv, tracks.jsonl, MOTChallenge text, Parquet, a dataset, a run's folder or
    annotations of another tool; raises UsageError.

    A dataset may be in a store: a path from `place_of`. In a folder of folders the file `inner` of
    each is read. Sources without any detections are included with an empty table if a report.json
    or the dataset names them. With `shapes`, tracks from Parquet and datasets have masks and
    keypoints, if there are any.
    """
    if (dataset := dataset_named(path)) is not None:
        return _of_dataset(open_dataset(dataset), shapes=shapes)
    path = home_path(path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    found = _loaded(path, inner, shapes=shapes)

    def load(names: Collection[str]) -> Iterator[RecordedSequence]:
        return (each for name, each in found.items() if name in names)

    media = {name: file for name, each in found.items() for file in [*each.media.values()][:1]}
    return TrackInput(path, {name: name for name in found}, media, load)


def load_tracks(path: Path, inner: str = _INNER) -> dict[str, RecordedSequence]:
    """Return all sequences of `open_tracks` at once; raises UsageError if there are none."""
    given = open_tracks(path, inner)
    return {each.name: each for each in given.load(given.named())}


def _loaded(path: Path, inner: str, *, shapes: bool) -> dict[str, RecordedSequence]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _read_parquet(path, [path], shapes=shapes)
    if suffix not in SUFFIXES and looks_like_annotations(path):
        return read_annotations(path)
    if path.is_file() and suffix not in SUFFIXES:
        raise UsageError(
            f"{path}: want tracks: {', '.join(SUFFIXES)}, .parquet, a run's folder, a "
            "dataset, or annotations of another tool"
        )
    if not any((path / f"tracks{each}").exists() for each in SUFFIXES):
        if (table := path / "tracks.parquet").exists():
            return _read_parquet(table, [table], shapes=shapes)
        for folder in (path / "tracks", path):  # the sink `parquet` writes parts
            if parts := sorted(folder.glob(_PARTS), key=lambda part: (len(part.name), part.name)):
                return _read_parquet(folder, parts, shapes=shapes)
    found = load_sequences([path], inner)
    for file in find_files(path, inner):
        _complete(found, file)
    return found


# -- what the run's report says -------------------------------------------------------------------


def _complete(found: dict[str, RecordedSequence], file: Path) -> None:
    """Add facts about the sources from the run's report and the metadata next to a table."""
    report = _section(file.with_name("report.json"))
    meta = _section(meta_path(file))
    if file.suffix.lower() == ".txt":  # one of several files: the others do not belong to it
        report = {name: about for name, about in report.items() if name in found}
        meta = {}
    for name in {**report, **meta}:
        about, more = report.get(name, {}), meta.get(name, {})
        there = found.get(name) or _empty(name, file)
        if there.path.parent == file.parent:
            found[name] = _with_facts(there, about, more)


def _empty(name: str, path: Path) -> RecordedSequence:
    video = VideoInfo(DEFAULT_FPS, 0, *DEFAULT_SIZE, has_known_size=False)
    return RecordedSequence(name, BoxTable.joined([]), {}, path, video)


def _section(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return {source: facts} from a report.json or tracks.meta.json, {} if there is none."""
    with suppress(OSError, ValueError, AttributeError):
        sources = json.loads(path.read_text("utf-8")).get("sources", {})
        return {name: each for name, each in sources.items() if isinstance(each, dict)}
    return {}


def _with_facts(
    sequence: RecordedSequence, report: Mapping[str, Any], meta: Mapping[str, Any]
) -> RecordedSequence:
    video, media = sequence.video, sequence.media
    with suppress(KeyError, TypeError, ValueError):
        video = replace(video, length=max(video.length, int(report["last"]["frame"]) + 1))
    with suppress(KeyError, TypeError, ValueError):
        video = replace(video, length=max(video.length, int(meta["frame_count"])))
    with suppress(KeyError, TypeError, ValueError):
        if 0 < (fps := float(meta["fps"])) < math.inf:
            video = replace(video, fps=fps)
    if not video.has_known_size:
        with suppress(KeyError, TypeError, ValueError):
            width, height = report.get("size") or (meta["width"], meta["height"])
            video = replace(video, width=int(width), height=int(height), has_known_size=True)
    if not media and (file := report.get("file") or meta.get("file")):
        media = {0: str(file)}
    return replace(sequence, video=video, media=media)


# -- Parquet --------------------------------------------------------------------------------------


def _of_dataset(dataset: Dataset, *, shapes: bool) -> TrackInput:
    """Return a dataset's videos as sequences, without unreadable ones."""
    videos = dataset.videos()
    stems = Counter(Path(str(video["path"])).stem for video in videos)
    names: dict[str, str] = {}
    media: dict[str, str] = {}
    by_segment: dict[str, tuple[str, Mapping[str, Any]]] = {}
    failed: list[str] = []
    for video in videos:
        stem = Path(str(video["path"])).stem
        name = stem if stem and stems[stem] == 1 else str(video["segment"])
        if video["status"] == "failed":
            failed.append(name)
            continue
        names[name] = str(video["camera"])
        media[name] = str(video["path"])
        by_segment[str(video["segment"])] = (name, video)
    if failed:
        more = f" and {len(failed) - _MAX_NAMED} more" if len(failed) > _MAX_NAMED else ""
        shown = ", ".join(failed[:_MAX_NAMED]) + more
        log.warning("%s: left out, for it could not be read: %s", dataset.path, shown)

    def load(wanted: Collection[str]) -> Iterator[RecordedSequence]:
        left = {segment: each for segment, each in by_segment.items() if each[0] in wanted}
        cameras = dict.fromkeys(names[name] for name, _ in left.values())
        for camera in cameras:
            for segment, columns in _by_segment(dataset, camera, left.keys(), shapes=shapes):
                name, video = left.pop(segment)
                yield _of_video(name, dataset.path, columns, video)
        for name, video in left.values():
            yield _of_video(name, dataset.path, _Columns(), video)

    return TrackInput(dataset.path, names, media, load)


def _by_segment(
    dataset: Dataset, camera: str, wanted: Collection[str], *, shapes: bool
) -> Iterator[tuple[str, _Columns]]:
    """Yield (segment, rows) of the segments with rows, one at a time."""
    last, columns = "", _Columns()
    used = ["segment", *_NEEDED, *_USED, *(_SHAPES if shapes else ())]
    for batch in dataset.batches("tracks", used, camera, wanted):
        segment = batch["segment"][0].as_py()  # a batch comes from one part, which is one segment
        if segment != last:
            if last:
                yield last, columns
            last, columns = segment, _Columns()
        columns.add(batch)
    if last:
        yield last, columns


def _of_video(
    name: str, path: Path, columns: _Columns, video: Mapping[str, Any]
) -> RecordedSequence:
    table = columns.table()
    known = bool(video["width"] and video["height"])
    size = (int(video["width"]), int(video["height"])) if known else DEFAULT_SIZE
    length = max(int(video["frames"] or 0), int(table.frame.max(initial=-1)) + 1)
    info = VideoInfo(float(video["fps"] or 0) or DEFAULT_FPS, length, *size, has_known_size=known)
    media = {0: str(video["path"])} if video["path"] else {}
    return RecordedSequence(name, table, columns.names, path, info, media)


def _read_parquet(
    path: Path, files: Sequence[Path], *, shapes: bool
) -> dict[str, RecordedSequence]:
    """Return {source: tracks} of the Parquet files of one table, with the columns of tracks.csv."""
    pa = import_pyarrow("Parquet")
    found: dict[str, _Columns] = {}
    for each in files:
        try:
            with pa.parquet.ParquetFile(each) as file:
                there = file.schema_arrow.names
                if missing := [name for name in _NEEDED if name not in there]:
                    shown = ", ".join(there[:20])
                    raise UsageError(f"{each}: has no column '{missing[0]}' (it has: {shown})")
                wanted = (*_NEEDED, *_USED, *(_SHAPES if shapes else ()))
                used = [name for name in wanted if name in there]
                for batch in file.iter_batches(1 << 16, columns=used):
                    _by_source(pa.Table.from_batches([batch]), path.stem, found)
        except (OSError, pa.ArrowException, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(f"{each}: cannot be read as Parquet: {reason}") from None
    sequences = {}
    for name, columns in found.items():
        table = columns.table()
        media = {0: columns.file} if columns.file else {}
        sequences[name] = RecordedSequence(
            name, table, columns.names, path, video_of_table(table), media
        )
    _complete(sequences, path)
    return sequences


def _by_source(table: Any, stem: str, found: dict[str, _Columns]) -> None:
    """Add a batch's rows to the columns of their sources."""
    if "source" not in table.column_names:
        found.setdefault(stem, _Columns()).add(table)
        return
    import pyarrow.compute as pc

    for source in pc.unique(table["source"]).to_pylist():
        is_null = source is None  # null is equal to nothing
        mine = pc.is_null(table["source"]) if is_null else pc.equal(table["source"], source)
        name = stem if is_null else str(source)
        found.setdefault(name, _Columns()).add(table.filter(mine))


def _checked(table: Any) -> dict[str, Any]:
    """Return the columns by name in the types of a BoxTable, with defaults for optional nulls.

    Raises ValueError for rows that are not valid boxes, like the readers of text.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    given = {name: table[name] for name in table.column_names}
    for name, (kind, default) in _TYPES.items():
        if name in given:
            column = given[name].cast(getattr(pa, kind)())
            if column.null_count:
                if default is None:
                    raise ValueError(f"column '{name}' has empty rows")
                column = pc.fill_null(column, default)
            given[name] = column
    for name in ("x1", "y1", "x2", "y2", "score"):
        if name in given and not pc.all(pc.is_finite(given[name])).as_py():
            raise ValueError(f"column '{name}' has a number that is not finite")
    if pc.min(given["frame"]).as_py() < 0:
        raise ValueError("number of the frame is too small")
    if "track_id" in given:
        given["track_id"] = pc.max_element_wise(given["track_id"], 0)
    return given


def _shapes(given: Mapping[str, Any], size: Any) -> Any:
    """Return a RowShape or None for each row; just None if no row has a mask or keypoints."""
    columns = [given.get(name) for name in _SHAPES]
    if all(column is None or column.null_count == len(column) for column in columns):
        return None
    none = [None] * len(size)
    masks, points = (none if column is None else column.to_pylist() for column in columns)
    found = np.full(len(size), None)
    rows = zip(size.tolist(), masks, points, strict=True)
    for row, ((width, height), mask, numbers) in enumerate(rows):
        if mask is not None or numbers is not None:
            joints = None if numbers is None else np.reshape(numbers, (-1, 3)).tolist()
            found[row] = RowShape((height, width), mask, joints)
    return found


class _Columns:
    """Rows of one sequence, collected from pyarrow tables as arrays."""

    def __init__(self) -> None:
        self._parts: list[BoxTable] = []
        self.names: dict[int, str] = {}
        self.file = ""

    def add(self, table: Any) -> None:
        """Add the rows of a pyarrow table; raises ValueError for rows that are not valid boxes."""
        if not table.num_rows:
            return
        given = _checked(table)
        known: dict[str, Any] = {}
        for name in ("score", "class_id", "pts_s"):
            if name in given:
                known[name] = given[name].to_numpy()
        if "state" in given:
            known["state"] = np.array([each or STATES[0] for each in given["state"].to_pylist()])
            if wrong := set(known["state"].tolist()).difference(STATES):
                raise ValueError(f"state '{min(wrong)}' is none of {', '.join(STATES)}")
        if "utc" in given:
            import pyarrow as pa

            stamps = given["utc"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
            known["utc_s"] = stamps.to_numpy(zero_copy_only=False).astype(np.float64) / 1000
        if "width" in given and "height" in given:
            known["size"] = np.column_stack([given[key].to_numpy() for key in ("width", "height")])
            known["shape"] = _shapes(given, known["size"])
        frame = given["frame"].to_numpy()
        track_id = given["track_id"].to_numpy() if "track_id" in given else np.zeros(len(frame))
        xyxy = np.column_stack([given[key].to_numpy() for key in ("x1", "y1", "x2", "y2")])
        self._parts.append(BoxTable.of(frame, track_id, xyxy, **known))
        if "class_id" in given and "class_name" in given:
            classes, first = np.unique(known["class_id"], return_index=True)
            for class_id, row in zip(classes.tolist(), first.tolist(), strict=True):
                self.names[class_id] = str(given["class_name"][row].as_py())
        if "file" in given and not self.file:
            self.file = str(given["file"][0].as_py() or "")

    def table(self) -> BoxTable:
        """Return the rows."""
        return BoxTable.joined(self._parts)
