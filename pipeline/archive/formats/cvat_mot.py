"""CVAT's MOT zip: gt/gt.txt with gt/labels.txt, whose lines number the classes from 1.

One zip file for each task, which is one video. Boxes without identity have the id -1 and become
shapes of their own. https://docs.cvat.ai/docs/dataset_management/formats/format-mot
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.archive.formats._format import Layout, label_of, labels_in, rows_by_frame
from pipeline.archive.formats._mot_text import gt_lines, read_gt, read_labels, sequence
from pipeline.archive.formats._tree import TreeReader, TreeWriter
from pipeline.core.errors import UsageError
from pipeline.core.options import OptionsModel
from pipeline.core.sequences import RecordedSequence

_PLACES = ("gt/gt.txt", "gt.txt")


class Options(OptionsModel):
    """No options."""


def build(options: Options) -> CvatMotFormat:  # noqa: ARG001 - every plug-in takes its options
    """Return the format."""
    return CvatMotFormat()


class CvatMotFormat:
    """Writes and reads the zip file that CVAT calls "MOT 1.1"."""

    layout: Layout = "file per source"
    suffix = ".zip"
    one_size = True
    needs_size = False

    def write(self, sequences: Iterable[RecordedSequence], path: Path) -> None:
        """Write the one sequence; raises OSError."""
        (each,) = sequences
        labels = labels_in(each)
        numbers = {
            class_id: labels.index(label_of(each.class_names, class_id)) + 1
            for class_id in set(each.table.class_id.tolist())
        }
        with TreeWriter(path) as tree:
            with tree.file("gt/gt.txt") as file:
                file.writelines(gt_lines(rows_by_frame(each.table), numbers))
            with tree.file("gt/labels.txt") as file:
                file.writelines(f"{label}\n" for label in labels)

    def matches(self, path: Path) -> bool:
        """Return whether it is a zip file with gt/gt.txt, or gt.txt, and no seqinfo.ini."""
        if path.is_dir() or path.suffix.lower() != ".zip":
            return False
        with TreeReader(path) as tree:
            return bool(tree.names(*_PLACES)) and not tree.names("seqinfo.ini")

    def read(self, path: Path) -> dict[str, RecordedSequence]:
        """Return the one sequence, named like the file."""
        with TreeReader(path) as tree:
            names = tree.names(*_PLACES)
            if not names:
                raise UsageError(f"{path}: has no gt/gt.txt")
            labels = read_labels(tree, f"{names[0].removesuffix('gt.txt')}labels.txt")
            return {path.stem: sequence(path.stem, path, read_gt(tree, names[0], labels, None))}
