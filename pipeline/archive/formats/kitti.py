"""KITTI tracking labels: label_02/<seq>.txt, 17 columns with spaces, as folder or zip file.

Values that a picture alone does not give (angle, size and position in metres) are those KITTI uses
for "unknown". Geiger et al. 2013, the tracking devkit's readme.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.archive.formats._format import (
    Labels,
    Layout,
    counted_from_1,
    label_of,
    rows_by_frame,
    with_file_names,
    with_identities,
)
from pipeline.archive.formats._tree import TreeReader, TreeWriter, names_in_tree
from pipeline.core.errors import UsageError
from pipeline.core.options import OptionsModel
from pipeline.core.sequences import KITTI_FPS, KITTI_SIZE, RecordedSequence, VideoInfo
from pipeline.core.track_files import BoxTable, whole

_TYPES = {
    "car": "Car", "van": "Van", "truck": "Truck", "person": "Pedestrian",
    "pedestrian": "Pedestrian", "cyclist": "Cyclist", "tram": "Tram",
}  # fmt: skip
"""Our names of KITTI's types; its tools compare them by case."""
_OURS = {theirs: ours for ours, theirs in _TYPES.items() if ours != "pedestrian"}
_IGNORED_REGION = "dontcare"
_UNKNOWN = "-1 -1 -1 -1000 -1000 -1000 -10"
_PLACES = ("label_02/*.txt", "*/label_02/*.txt")


class Options(OptionsModel):
    """No options."""


def build(options: Options) -> KittiFormat:  # noqa: ARG001 - every plug-in takes its options
    """Return the format."""
    return KittiFormat()


class KittiFormat:
    """Writes and reads label_02/<seq>.txt; frames count from 0, in the type spaces become "_"."""

    layout: Layout = "tree"
    suffix = ".zip"
    one_size = True
    needs_size = False

    def write(self, sequences: Iterable[RecordedSequence], path: Path) -> None:
        """Write a file per sequence; raises OSError."""
        with TreeWriter(path) as tree:
            for name, each in with_file_names(sequences, ".txt"):
                types = {
                    class_id: _type_of(label_of(each.class_names, class_id))
                    for class_id in set(each.table.class_id.tolist())
                }
                with tree.file(f"label_02/{name}") as file:
                    for row in rows_by_frame(with_identities(each.table)):
                        file.write(
                            f"{row.frame} {row.track_id} {types[row.class_id]} 0 "
                            f"{2 if row.hidden else 0} -10 {row.x1:.2f} {row.y1:.2f} {row.x2:.2f} "
                            f"{row.y2:.2f} {_UNKNOWN}\n"
                        )

    def matches(self, path: Path) -> bool:
        """Return whether there is a folder label_02 of text files."""
        return bool(names_in_tree(path, *_PLACES))

    def read(self, path: Path) -> dict[str, RecordedSequence]:
        """Return the sequences by file name; DontCare regions are left out."""
        with TreeReader(path) as tree:
            names = tree.names(*_PLACES)
            if not names:
                raise UsageError(f"{path}: has no label_02/*.txt")
            return {Path(name).stem: _read(tree, name, path) for name in names}


def _type_of(label: str) -> str:
    return _TYPES.get(label.casefold(), "_".join(label.split()))


def _read(tree: TreeReader, name: str, path: Path) -> RecordedSequence:
    labels = Labels()
    rows: list[tuple[Any, ...]] = []
    for number, line in tree.lines(name):
        cells = line.split()
        if not cells:
            continue
        try:
            if len(cells) < 10:
                raise ValueError("want 10 columns or more")
            if cells[2].casefold() == _IGNORED_REGION:
                continue
            x1, y1, x2, y2 = map(float, cells[6:10])
            frame, track_id = whole(cells[0]), whole(cells[1])
            if not all(map(math.isfinite, (x1, y1, x2, y2))) or frame < 0:
                raise ValueError("want frames from 0 and finite numbers")
            class_id = labels.id_of(_OURS.get(cells[2], cells[2]))
            rows.append((frame, track_id, class_id, x1, y1, x2, y2))
        except (ValueError, OverflowError) as error:
            raise UsageError(f"{tree.where(name)}:{number}: not a row of labels: {error}") from None
    frames, ids, classes, *xyxy = zip(*rows, strict=True) if rows else [()] * 7
    numbers = counted_from_1(np.array(ids, np.int64))
    table = BoxTable.of(frames, numbers, [*zip(*xyxy, strict=True)], class_id=classes)
    length = int(table.frame.max(initial=-1)) + 1
    video = VideoInfo(KITTI_FPS, length, *KITTI_SIZE, has_known_size=False)
    return RecordedSequence(Path(name).stem, table, labels.names, path, video)
