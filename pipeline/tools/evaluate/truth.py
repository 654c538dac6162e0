"""Ground truth: MOTChallenge folders and KITTI's label files, by sequence."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import UsageError, reading
from pipeline.core.sequences import RecordedSequence, read_seqinfo
from pipeline.core.track_files import sequence_name

Rules = Literal["MOT15", "MOT17", "KITTI"]
Data = Literal["mot", "kitti"]

# TrackEval's numbers; those of other types take no part in the car benchmark.
_KITTI_CLASSES = {"car": 1, "van": 2}
_IGNORED_REGION = "dontcare"
_MOT_CLASSES = range(1, 14)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The labelled boxes of one sequence; frames count from 0.

    `frame`, `track_id`, `class_id` i64[N]; `xyxy` f64[N,4] in pixels; `counts` bool[N]: false for
    boxes that are zero-marked (MOT) or hidden or cut off too far (KITTI). `ignored` holds i64[M]
    frames and f64[M,4] regions in which unmatched tracks are no mistakes. Without a known length
    `length` is up to the last labelled frame.
    """

    name: str
    rules: Rules
    length: int
    length_is_known: bool
    fps: float | None
    frame: NDArray[np.int64]
    track_id: NDArray[np.int64]
    class_id: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    truncation: NDArray[np.int64]
    occlusion: NDArray[np.int64]
    counts: NDArray[np.bool_]
    ignored: tuple[NDArray[np.int64], NDArray[np.float64]]


def load_truth(folder: Path, data: Data) -> dict[str, Truth]:
    """Return {sequence: truth} below `folder`; raises UsageError where there is none.

    mot: <folder>/<seq>/gt/gt.txt with seqinfo.ini, or one such <seq> itself. kitti:
    <folder>/label_02/<seq>.txt, or that folder of text files itself. Either may be one text file.
    """
    read = _read_mot if data == "mot" else _read_kitti
    if folder.is_file():
        truth = read(folder)
        return {truth.name: truth}
    pattern = {"mot": ("gt/gt.txt", "*/gt/gt.txt"), "kitti": ("label_02/*.txt", "*.txt")}[data]
    for each in pattern:
        if paths := sorted(folder.glob(each)):
            return {truth.name: truth for truth in map(read, paths)}
    problem = "no such folder" if not folder.is_dir() else f"no {' or '.join(pattern)} in there"
    raise UsageError(f"{folder}: {problem} (--data {data})")


def truth_of(sequence: RecordedSequence, classes: Collection[str]) -> Truth:
    """Return annotations as truth: boxes of the named classes and those that name none.

    Every box counts, as in MOT15. The last box, or the last of the tracks, ends the sequence.
    """
    table, wanted = sequence.table, {name.casefold() for name in classes}
    others = [one for one, name in sequence.class_names.items() if name.casefold() not in wanted]
    table = table[~np.isin(table.class_id, others)]
    if (table.track_id < 1).any():
        raise UsageError(f"{sequence.path}: {sequence.name} has boxes without identity")
    zeros = np.zeros(len(table), np.int64)
    return Truth(
        name=sequence.name,
        rules="MOT15",
        length=int(table.frame.max(initial=-1)) + 1,
        length_is_known=False,
        fps=sequence.video.fps,
        frame=table.frame,
        track_id=table.track_id,
        class_id=zeros - 1,
        xyxy=table.xyxy,
        truncation=zeros,
        occlusion=zeros,
        counts=np.ones(len(table), bool),
        ignored=(zeros[:0], np.empty((0, 4))),
    )


def _read_mot(path: Path) -> Truth:
    """Read "frame, id, left, top, width, height, mark, class, visibility"; frames from 1."""
    numbers = np.array(_rows(path, ",", _mot_row), np.float64).reshape(-1, 8)
    frame, track_id, mark, class_id = numbers[:, [0, 1, 6, 7]].astype(np.int64).T
    # MOT15 does not say what a box is; later sets mark distractors with a class.
    rules: Rules = "MOT17" if (class_id >= 1).any() else "MOT15"
    info = read_seqinfo(path.parent.parent) if path.parent.name == "gt" else None
    xyxy = numbers[:, 2:6].copy()
    xyxy[:, 2:] += xyxy[:, :2]
    zeros = np.zeros(len(numbers), np.int64)
    return Truth(
        name=sequence_name(path),
        rules=rules,
        length=max(info.length if info else 0, int(frame.max(initial=0))),
        length_is_known=info is not None,
        fps=info.fps if info else None,
        frame=frame - 1,
        track_id=track_id,
        class_id=class_id,
        xyxy=xyxy,
        truncation=zeros,
        occlusion=zeros,
        counts=mark != 0,
        ignored=(zeros[:0], np.empty((0, 4))),
    )


def _mot_row(cells: list[str]) -> tuple[float, ...]:
    if len(cells) < 7:
        raise ValueError("want 7 columns or more, with commas (KITTI's labels: --data kitti)")
    # Ten columns are MOT15's: the last three are a place in the world, not class and visibility.
    class_id = float(cells[7]) if len(cells) in (8, 9) else -1.0
    if class_id != -1 and class_id not in _MOT_CLASSES:
        raise ValueError(f"want a class from 1 to 13 (1: pedestrian) or -1, got {cells[7]}")
    numbers = [float(cell) for cell in cells[:7]]
    if numbers[0] < 1:
        raise ValueError("frames count from 1")
    return (*numbers, class_id)


def _read_kitti(path: Path) -> Truth:
    """Read "frame id type truncated occluded alpha x1 y1 x2 y2 ..."; frames from 0."""
    numbers = np.array(_rows(path, None, _kitti_row), np.float64).reshape(-1, 9)
    frame, track_id, class_id, truncation, occlusion = numbers[:, :5].astype(np.int64).T
    region, known = class_id == -1, class_id > 0
    return Truth(
        name=path.stem,
        rules="KITTI",
        length=int(frame.max(initial=-1)) + 1,
        length_is_known=False,
        fps=10.0,
        frame=frame[known],
        track_id=track_id[known],
        class_id=class_id[known],
        xyxy=numbers[known, 5:],
        truncation=truncation[known],
        occlusion=occlusion[known],
        counts=np.ones(np.count_nonzero(known), bool),
        ignored=(frame[region], numbers[region, 5:]),
    )


def _kitti_row(cells: list[str]) -> tuple[float, ...]:
    if len(cells) < 10:
        raise ValueError("want 10 columns or more")
    kind = cells[2].lower()
    class_id = -1 if kind == _IGNORED_REGION else _KITTI_CLASSES.get(kind, 0)
    return tuple(float(cell) for cell in (*cells[:2], str(class_id), *cells[3:5], *cells[6:10]))


def _rows(
    path: Path, separator: str | None, parse: Callable[[list[str]], tuple[float, ...]]
) -> list[Any]:
    """Return the parsed lines; raises UsageError with the line that is malformed."""
    rows = []
    with reading(path), path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = parse(line.strip().split(separator))
                if not np.isfinite(row).all():
                    raise ValueError("a number is not finite")
            except ValueError as error:
                raise UsageError(f"{path}:{number}: not a row of truth: {error}") from None
            rows.append(row)
    return rows
