"""Arguments --gt, --data and --classes: ground truth for `eval` and `tune`, in any format."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, get_args

from pipeline.archive.annotations import looks_like_annotations, read_annotations
from pipeline.cli._arguments import local_path
from pipeline.core.errors import UsageError
from pipeline.core.options import split_names
from pipeline.core.paths import home_path, one_line
from pipeline.core.sequences import RecordedSequence, in_one_line
from pipeline.tools.evaluate.tracks import USUAL_CLASSES
from pipeline.tools.evaluate.truth import Data, Truth, load_truth, truth_of

BENCHMARKS: tuple[Data, ...] = get_args(Data)


def add_truth_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --gt, --data and --classes."""
    parser.add_argument(
        "--gt", required=True, type=local_path, metavar="DIR|FILE",
        help="folder with <seq>/gt/gt.txt (mot) or label_02/<seq>.txt (kitti), one such text "
        "file, or corrected annotations",
    )  # fmt: skip
    parser.add_argument(
        "--data", metavar="FORM",
        help="format of the ground truth: mot or kitti for that benchmark's files and rules, "
        "or an annotation format; detected by default",
    )  # fmt: skip
    parser.add_argument(
        "--classes", metavar="NAME,...", help="classes to score, if the file names any"
    )


def benchmark(args: argparse.Namespace) -> Data:
    """Return the benchmark whose usual classes are scored."""
    return "kitti" if args.data == "kitti" else "mot"


def chosen_classes(args: argparse.Namespace) -> list[str] | None:
    """Return the names in --classes, None if it was not given."""
    return split_names(args.classes) if args.classes else None


class GivenTruths(NamedTuple):
    """{sequence: truth}, and whether it comes from files whose sequence names may differ.

    That is so for annotations and for a single text file.
    """

    truths: dict[str, Truth]
    has_free_names: bool

    def of(self, names: Collection[str]) -> dict[str, Truth]:
        """Return the truths for tracks or detections of these sequences.

        Annotations of a single video match a single sequence, whatever name the other tool gave it.
        Line feeds and tabs in a name match the space that MOTChallenge's files have instead.
        """
        if self.has_free_names and len(self.truths) == 1 == len(names):
            (name,), ((title, truth),) = names, self.truths.items()
            if title != name:
                note = one_line(f"trackline: using the truth of '{title}' for {name}")
                print(note, file=sys.stderr)  # noqa: T201
            return {name: replace(truth, name=name)}
        written: dict[str, list[str]] = {}
        for name in sorted(set(names) - set(self.truths)):
            written.setdefault(in_one_line(name), []).append(name)
        found = {}
        for title, truth in self.truths.items():
            same = [] if title in names else written.get(title, [])
            name = same[0] if len(same) == 1 else title
            found[name] = replace(truth, name=name)
        return found


def load_truths(args: argparse.Namespace) -> GivenTruths:
    """Load the truth that --gt names; raises UsageError."""
    path = home_path(args.gt)
    kind = args.data
    if path.is_dir() and (kind in BENCHMARKS or (kind is None and not _holds_annotations(path))):
        return GivenTruths(load_truth(path, benchmark(args)), False)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    if path.suffix.lower() == ".txt" and (kind is None or kind in BENCHMARKS):
        return GivenTruths(load_truth(path, benchmark(args)), True)
    found = _annotations(path, kind)
    wanted = chosen_classes(args) or USUAL_CLASSES[benchmark(args)]
    truths = {name: truth_of(each, wanted) for name, each in found.items()}
    if truths and not any(len(truth.frame) for truth in truths.values()):
        there = {label for each in found.values() for label in each.class_names.values()}
        raise UsageError(
            f"{path}: no truth of class {', '.join(sorted(wanted))} "
            f"(there are: {', '.join(sorted(there)) or 'none'}); choose with --classes"
        )
    return GivenTruths(truths, True)


def _holds_annotations(folder: Path) -> bool:
    if files := [*folder.glob("gt/gt.txt"), *folder.glob("*/gt/gt.txt")]:
        # Labels that name the classes are CVAT's and ours; a benchmark has none.
        named = any(file.with_name("labels.txt").exists() for file in files)
        return named and looks_like_annotations(folder)
    return looks_like_annotations(folder) or any(map(looks_like_annotations, _files(folder)))


def _files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix.lower() in _SUFFIXES)


_SUFFIXES = (".xml", ".zip", ".json")


def _annotations(path: Path, kind: str | None) -> dict[str, RecordedSequence]:
    """Return the sequences of an annotation file, or of all annotation files in a folder."""
    if not path.is_dir() or looks_like_annotations(path):
        return read_annotations(path, kind)
    found: dict[str, RecordedSequence] = {}
    for file in _files(path):
        for name, each in read_annotations(file, kind).items():
            if name in found:
                raise UsageError(f"{file}: sequence '{name}' is in {found[name].path} already")
            found[name] = each
    return found
