"""MOTChallenge: <seq>/seqinfo.ini with <seq>/gt/gt.txt (or det/det.txt), as folder or zip file.

Class numbers are MOTChallenge's; classes it does not know are numbered from 14. gt/labels.txt names
them all, line by line. Dendorfer et al. 2020, https://motchallenge.net/instructions
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pipeline.archive.formats._format import (
    Layout,
    label_of,
    labels_in,
    rows_by_frame,
    with_file_names,
)
from pipeline.archive.formats._mot_text import CLASSES, gt_lines, read_gt, read_labels, sequence
from pipeline.archive.formats._tree import TreeReader, TreeWriter, names_in_tree
from pipeline.core.errors import UsageError
from pipeline.core.options import OptionsModel
from pipeline.core.sequences import RecordedSequence, VideoInfo, in_one_line, parse_seqinfo

_SAME = {"person": "pedestrian", "motorcycle": "motorbike"}
"""Classes that MOTChallenge knows under another name."""


class Options(OptionsModel):
    """Options of the MOTChallenge files."""

    part: Literal["gt", "det"] = "gt"
    """gt: tracks as ground truth; det: boxes with scores and without identity."""


def build(options: Options) -> MotFormat:
    """Return the format."""
    return MotFormat(options)


class MotFormat:
    """Writes and reads MOTChallenge folders and zip files of any number of sequences."""

    layout: Layout = "tree"
    suffix = ".zip"
    one_size = True
    needs_size = False

    def __init__(self, options: Options) -> None:
        self._part = options.part

    def write(self, sequences: Iterable[RecordedSequence], path: Path) -> None:
        """Write a folder per sequence; raises OSError."""
        with TreeWriter(path) as tree:
            for folder, each in with_file_names(sequences):
                with tree.file(f"{folder}/seqinfo.ini") as file:
                    file.write(_seqinfo(each))
                if self._part == "det":
                    _write_detections(tree, folder, each)
                else:
                    _write_truth(tree, folder, each)

    def matches(self, path: Path) -> bool:
        """Return whether there is a <seq>/gt/gt.txt, or gt/gt.txt with seqinfo.ini."""
        one = len(names_in_tree(path, "gt/gt.txt", "seqinfo.ini")) == 2
        return one or bool(names_in_tree(path, "*/gt/gt.txt"))

    def read(self, path: Path) -> dict[str, RecordedSequence]:
        """Return the sequences by the name in seqinfo.ini, else by their folder's."""
        found = {}
        with TreeReader(path) as tree:
            for name in tree.names("gt/gt.txt", "*/gt/gt.txt"):
                folder = name.removesuffix("gt/gt.txt")
                title, video = _read_seqinfo(tree, f"{folder}seqinfo.ini")
                title = title or folder.rstrip("/") or path.stem
                if title in found:
                    raise UsageError(
                        f"{tree.where(name)}: a sequence '{title}' is in there already"
                    )
                labels = read_labels(tree, f"{folder}gt/labels.txt")
                found[title] = sequence(title, path, read_gt(tree, name, labels, video))
        if not found:
            raise UsageError(f"{path}: has no gt/gt.txt or */gt/gt.txt")
        return found


def _seqinfo(each: RecordedSequence) -> str:
    video = each.video
    fps = f"{video.fps:.0f}" if video.fps == round(video.fps) else f"{video.fps:.6g}"
    return (
        f"[Sequence]\nname={in_one_line(each.name)}\nimDir=img1\nframeRate={fps}\n"
        f"seqLength={video.length}\nimWidth={video.width}\nimHeight={video.height}\nimExt=.jpg\n"
    )


def _read_seqinfo(tree: TreeReader, name: str) -> tuple[str, VideoInfo | None]:
    if not tree.names(name):
        return "", None
    return parse_seqinfo("\n".join(line for _, line in tree.lines(name)), tree.where(name))


def _write_truth(tree: TreeWriter, folder: str, each: RecordedSequence) -> None:
    numbers, labels = _numbered(each)
    with tree.file(f"{folder}/gt/gt.txt") as file:
        file.writelines(gt_lines(rows_by_frame(each.table), numbers))
    with tree.file(f"{folder}/gt/labels.txt") as file:
        file.writelines(f"{label}\n" for label in labels)


def _write_detections(tree: TreeWriter, folder: str, each: RecordedSequence) -> None:
    with tree.file(f"{folder}/det/det.txt") as file:
        for row in rows_by_frame(each.table):
            x1, y1, x2, y2 = round(row.x1, 2), round(row.y1, 2), round(row.x2, 2), round(row.y2, 2)
            file.write(
                f"{row.frame + 1},-1,{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},"
                f"{row.score:.4f},-1,-1,-1\n"
            )


def _numbered(each: RecordedSequence) -> tuple[Mapping[int, int], list[str]]:
    """Return ({class id: number from 1}, labels in the order of their numbers)."""
    labels = [*CLASSES]
    places = {label: place for place, label in enumerate(labels)}
    used: set[int] = set()  # of two labels for one class the second has a number of its own
    for label in labels_in(each):
        usual = _SAME.get(label.casefold(), label.casefold())
        place = places.get(usual, len(CLASSES))
        if place < len(CLASSES) and place not in used:
            labels[place] = label  # "person" stays "person" when it is read back
            places[label] = place
            used.add(place)
        else:
            places[label] = len(labels)
            labels.append(label)
    ids = {int(each_id) for each_id in set(each.table.class_id.tolist())}
    return {each_id: places[label_of(each.class_names, each_id)] + 1 for each_id in ids}, labels
