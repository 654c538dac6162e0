"""Pictures beside ultralytics' `predict`: whether the boxes are the same, and the speed.

    python benchmarks/pictures_versus_ultralytics.py MODEL PICTURES... [--ultralytics-python PATH]
        [--check 102] [--count 500] [--repeats 5] [--ultralytics-model PATH]

PICTURES are pictures, folders of them and .tar files with a folder `images/`. First the boxes of
`--check` pictures at fp32, by the same weights: each of theirs is matched with our nearest one of
its class; a box that only one side has counts as an edge case where its score is within 0.01 of
`conf`. Then the first `--count` pictures as one folder, in turn, each measurement a process of its
own, from the call to the last result (loading the weights included, importing libraries not).
Ours at its default precision and at fp32, theirs with the weights given and, with
`--ultralytics-model`, with others as well (a .pt beside the .onnx). Exit code 1 where boxes differ.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from _side_by_side import OURS, THEIRS, machine_name, measured, print_row, timed

CONF = 0.25
MAX_PIXELS, MAX_SCORE = 1.0, 0.01
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
Boxes = dict[str, list[list[float]]]
"""Rows of x1, y1, x2, y2, score, class by a picture's name."""


def main() -> int:
    """Compare, measure, print both and return the exit code."""
    arguments = _arguments()
    if arguments.worker:
        work = _boxes if arguments.boxes else _timed
        print(json.dumps(work(arguments)))
        return 0
    print(f"{machine_name()}; {arguments.model.name}")
    with tempfile.TemporaryDirectory() as text:
        check, count = Path(text, "check"), Path(text, "count")
        found = _lay_out(arguments.pictures, Path(text))
        differ = 0
        for folder, number in ((check, arguments.check), (count, arguments.count)):
            folder.mkdir()
            for place, path in enumerate(found[:number]):
                shutil.copy(path, folder / f"{place:05d}-{path.name}")
        if arguments.check:
            differ = _compare(arguments, check)
        if arguments.count:
            _race(arguments, count, min(arguments.count, len(found)))
    return int(bool(differ))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=lambda text: Path(text).resolve())
    parser.add_argument("pictures", nargs="+", type=lambda text: Path(text).resolve())
    parser.add_argument("--check", type=int, default=102, help="pictures whose boxes are compared")
    parser.add_argument("--count", type=int, default=500, help="pictures that are raced over")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ultralytics-python", default=sys.executable)
    parser.add_argument("--ultralytics-model", type=lambda text: Path(text).resolve())
    parser.add_argument("--precision", default="auto", help=argparse.SUPPRESS)
    parser.add_argument("--worker", choices=[OURS, THEIRS], help=argparse.SUPPRESS)
    parser.add_argument("--boxes", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for path in (arguments.model, *arguments.pictures):
        if not path.exists():
            parser.error(f"no such file: {path}")
    return arguments


def _lay_out(paths: list[Path], folder: Path) -> list[Path]:
    """Return all pictures in order, those of .tar files unpacked below `folder`."""
    found: list[Path] = []
    for place, path in enumerate(paths):
        if path.suffix == ".tar":
            unpacked = folder / f"tar-{place}"
            with tarfile.open(path) as archive:
                archive.extractall(unpacked, filter="data")
            path = next(unpacked.rglob("images"))
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found += [each for each in inside if each.suffix.lower() in SUFFIXES]
    return found


def _command(
    arguments: argparse.Namespace, side: str, model: Path, folder: Path, *more: str
) -> list[str]:
    python = sys.executable if side == OURS else arguments.ultralytics_python
    script = str(Path(__file__).resolve())
    return [python, script, str(model), str(folder), "--worker", side, *more]


# -- are the boxes the same? ----------------------------------------------------------------------


def _compare(arguments: argparse.Namespace, folder: Path) -> int:
    """Print how far the boxes of both sides are apart; return how many differ by too much."""
    model = arguments.model
    ours: Boxes = measured(
        _command(arguments, OURS, model, folder, "--boxes", "--precision", "fp32"), OURS
    )
    theirs: Boxes = measured(_command(arguments, THEIRS, model, folder, "--boxes"), THEIRS)
    pixels, scores, single, edge = [0.0], [0.0], [], 0
    for name, rows in theirs.items():
        pairs, alone = _matched(np.array(rows).reshape(-1, 6), np.array(ours[name]).reshape(-1, 6))
        pixels += [float(np.abs(one[:4] - other[:4]).max()) for one, other in pairs]
        scores += [float(abs(one[4] - other[4])) for one, other in pairs]
        edge += sum(row[4] < CONF + MAX_SCORE for row in alone)
        single += [(name, row) for row in alone if row[4] >= CONF + MAX_SCORE]
    far = sum(
        one > MAX_PIXELS or other > MAX_SCORE for one, other in zip(pixels, scores, strict=True)
    )
    count = sum(map(len, theirs.values()))
    print(
        f"boxes of {len(theirs)} pictures at fp32: {count} of theirs, "
        f"{sum(map(len, ours.values()))} of ours; largest difference {max(pixels):.3f} px, "
        f"{max(scores):.5f} of score; {far} differ by more than {MAX_PIXELS:g} px or {MAX_SCORE}; "
        f"{len(single)} on one side only, and {edge} at the edge of conf"
    )
    for name, row in single:
        print(f"  on one side only: {name}: {[round(float(each), 3) for each in row]}")
    return far + len(single)


def _matched(theirs: Any, ours: Any) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Return pairs of boxes that are nearest to each other, and those that have no partner."""
    pairs, free = [], list(range(len(ours)))
    alone = []
    for row in theirs:
        near = [n for n in free if ours[n][5] == row[5]]
        best = min(near, key=lambda n: np.abs(ours[n][:4] - row[:4]).max(), default=None)
        if best is None or np.abs(ours[best][:4] - row[:4]).max() > 20 * MAX_PIXELS:
            alone.append(row)
            continue
        free.remove(best)
        pairs.append((row, ours[best]))
    return pairs, alone + [ours[n] for n in free]


def _boxes(arguments: argparse.Namespace) -> Boxes:
    """In the process of one side: return its boxes."""
    (folder,) = arguments.pictures
    if arguments.worker == OURS:
        import pipeline

        results = pipeline.detect(folder, model=arguments.model, precision=arguments.precision)
        return {
            Path(result.frame.file).name: np.column_stack(
                (result.detections.xyxy, result.detections.score, result.detections.class_id)
            ).tolist()
            for result in results
        }
    return {Path(result.path).name: result.boxes.data.tolist() for result in _predict(arguments)()}


# -- which is faster? -----------------------------------------------------------------------------


def _race(arguments: argparse.Namespace, folder: Path, count: int) -> None:
    """Measure in turn and print a row for each setting."""
    print(f"\na folder of {count} pictures, median of {arguments.repeats} (range), in turn\n")
    print(f"{'':28}{OURS:>22}{THEIRS:>22}{'ratio':>20}")
    settings = [("", "auto", arguments.model), (", ours fp32", "fp32", arguments.model)]
    if arguments.ultralytics_model:
        settings.append((f", theirs {arguments.ultralytics_model.suffix}", "auto",
                         arguments.ultralytics_model))  # fmt: skip
    for title, precision, theirs in settings:
        commands = {
            OURS: _command(arguments, OURS, arguments.model, folder, "--precision", precision),
            THEIRS: _command(arguments, THEIRS, theirs, folder),
        }
        rounds = [
            {side: measured(command, side) for side, command in commands.items()}
            for _ in range(arguments.repeats + 1)
        ][1:]  # the first fills caches
        print_row(f"pictures/s{title}", rounds, lambda one: one["frames"] / one["seconds"])
        print_row(f"CPU ms{title}", rounds, lambda one: one["cpu_s"] / one["frames"] * 1e3)
        print_row(f"MB{title}", rounds, lambda one: one["peak_mb"])


def _timed(arguments: argparse.Namespace) -> dict[str, float]:
    """In the process that is measured: go over the folder once."""
    if arguments.worker == THEIRS:
        return timed(_predict(arguments))
    import av  # noqa: F401 - or it is imported once the clock runs
    import cv2  # noqa: F401

    import pipeline
    from pipeline.models.openvino_library import import_openvino

    import_openvino()
    (folder,) = arguments.pictures
    return timed(
        lambda: pipeline.detect(folder, model=arguments.model, precision=arguments.precision)
    )


def _predict(arguments: argparse.Namespace) -> Callable[[], Iterable[Any]]:
    """Return their side of the job, its libraries imported."""
    import _torchvision_operators

    _torchvision_operators.import_torchvision()  # ultralytics does so itself when it warms up
    import ultralytics

    with suppress(ImportError):
        import onnxruntime  # noqa: F401
    (folder,) = arguments.pictures

    def run() -> Iterable[Any]:
        model = ultralytics.YOLO(arguments.model, task="detect")
        results: Iterable[Any] = model.predict(
            str(folder), stream=True, verbose=False, device="cpu", conf=CONF
        )
        return results

    return run


if __name__ == "__main__":
    raise SystemExit(main())
