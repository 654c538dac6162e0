"""Interface of export formats, and the rows of a sequence by frame or by track."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.core.paths import folded, unused_name
from pipeline.core.sequences import DEFAULT_FPS, RecordedSequence
from pipeline.core.track_files import BoxTable, RowShape

Layout = Literal["file", "file per source", "tree"]
"""One file for all sources, one for each, or a folder (or zip file) of several files."""

NO_CLASS = "object"
"""Label of boxes without a known class."""
_CHUNK_ROWS = 50_000


class TrackFormat(Protocol):
    """An export format, as returned by `build(options)` of its file.

    Optional: `ReadsAnnotations`, `TakesShapes`.
    """

    layout: Layout
    suffix: str
    """Suffix of its file (".xml"); ".zip" for a tree, which may also be a folder."""
    one_size: bool
    """A sequence has one picture size in this format; others are scaled to it first."""
    needs_size: bool
    """The picture size is required."""

    def write(self, sequences: Iterable[RecordedSequence], path: Path) -> None:
        """Write the sequences to a new file at `path`; a tree also into a folder there.

        Raises OSError if writing fails, UsageError for data the format cannot represent.
        """


@runtime_checkable
class TakesShapes(Protocol):
    """Optional, for formats that write masks and keypoints: they are read from the tracks."""

    takes_shapes: Literal[True]


@runtime_checkable
class ReadsAnnotations(Protocol):
    """Optional, for formats from which corrected annotations can be read back."""

    def matches(self, path: Path) -> bool:
        """Return whether the file or folder looks like this format; raises UsageError if broken."""

    def read(self, path: Path) -> dict[str, RecordedSequence]:
        """Return {sequence: boxes}, frames from 0, ids from 1; raises UsageError."""


class Row(NamedTuple):
    """One box; `hidden` while the track coasts on its prediction."""

    frame: int
    track_id: int
    class_id: int
    score: float
    x1: float
    y1: float
    x2: float
    y2: float
    hidden: bool
    pts_s: float
    shape: RowShape | None


def with_file_names(
    sequences: Iterable[RecordedSequence], suffix: str = ""
) -> Iterator[tuple[str, RecordedSequence]]:
    """Yield each sequence with a safe file name of its own."""
    taken: set[str] = set()
    for each in sequences:
        name = unused_name(each.name, suffix, taken)
        taken.add(folded(name))
        yield name, each


def rows_by_frame(table: BoxTable) -> Iterator[Row]:
    """Yield the rows by frame and track; a chunk at a time is turned into Python numbers."""
    order = np.lexsort((table.track_id, table.frame))
    for start in range(0, len(order), _CHUNK_ROWS):
        yield from _rows(table[order[start : start + _CHUNK_ROWS]])


def _rows(table: BoxTable) -> Iterator[Row]:
    columns = (
        table.frame, table.track_id, table.class_id, table.score, *table.xyxy.T,
        table.state == "coasting", table.pts_s,
        np.full(len(table), None) if table.shape is None else table.shape,
    )  # fmt: skip
    return map(Row._make, zip(*(column.tolist() for column in columns), strict=True))


def tracks_of(table: BoxTable) -> Iterator[BoxTable]:
    """Yield each track's rows by frame, tracks by id; rows without identity are a track each."""
    table = with_identities(table)
    order = np.lexsort((table.frame, table.track_id))
    edges = np.flatnonzero(np.diff(table.track_id[order])) + 1
    for first, end in pairwise([0, *edges.tolist(), len(order)]):
        if end > first:
            yield table[order[first:end]]


def with_identities(table: BoxTable) -> BoxTable:
    """Return the table with new ids, above all others, for rows that have none."""
    missing = np.flatnonzero(table.track_id == 0)
    if not len(missing):
        return table
    track_id = table.track_id.copy()
    track_id[missing] = track_id.max() + 1 + np.arange(len(missing))
    return replace(table, track_id=track_id)


def label_of(names: Mapping[int, str], class_id: int) -> str:
    """Return the name of a class in one line, with single spaces; never empty."""
    return " ".join(names.get(class_id, "").split()) or (
        NO_CLASS if class_id < 0 else str(class_id)
    )


def usual_class(track: BoxTable) -> int:
    """Return the most frequent class of a track's rows."""
    classes, count = np.unique(track.class_id, return_counts=True)
    return int(classes[count.argmax()])


def labels_in(sequence: RecordedSequence) -> list[str]:
    """Return the labels of the classes that occur, by class id, each once."""
    classes = np.unique(sequence.table.class_id).tolist()
    return [*dict.fromkeys(label_of(sequence.class_names, each) for each in classes)]


def media_of(sequence: RecordedSequence) -> str:
    """Return the path of the sequence's video, "" if unknown."""
    return next(iter(sequence.media.values()), "")


def other_sizes(each: RecordedSequence) -> dict[int, tuple[int, int]]:
    """Return {frame: (width, height)} of frames that differ from the video's size."""
    size, table = np.array((each.video.width, each.video.height)), each.table
    other = (table.size > 0).all(axis=1) & (table.size != size).any(axis=1)
    pairs = zip(table.frame[other].tolist(), table.size[other].tolist(), strict=True)
    return {frame: (width, height) for frame, (width, height) in pairs}


class Labels:
    """Class ids of labels in the order in which they are first seen."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def id_of(self, label: str) -> int:
        """Return the label's class id, from 0."""
        return self._ids.setdefault(label, len(self._ids))

    @property
    def names(self) -> dict[int, str]:
        """Return {class id: label} of those seen."""
        return {class_id: label for label, class_id in self._ids.items()}


def read_fps(values: Mapping[str, Any]) -> float:
    """Return `fps` from a file's values, else the default rate; raises ValueError."""
    fps = float(values.get("fps") or DEFAULT_FPS)
    if not 0 < fps < math.inf:
        raise ValueError(f"want fps above 0, got {fps:g}")
    return fps


def counted_from_1(track_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ids unchanged, or all increased by one if a tool counted from 0.

    An id of 0 would mean "no identity"; -1, which means that in files, becomes 0.
    """
    if (track_id == 0).any():
        return np.where(track_id < 0, 0, track_id + 1)
    return np.maximum(track_id, 0)
