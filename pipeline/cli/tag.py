"""Tag pictures: prints a line of words per picture, or a JSON object.

Unreadable pictures are reported on stderr, one line each; the others are processed, and the exit
code is 1. No files are written. Ctrl-C ends the command after the current batch of pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.api import NO_DETECTOR, check_limits, load_classifier, load_model
from pipeline.classifiers._tags.merge import DEFAULT_THRESHOLD, DEFAULT_TOP, tags_of
from pipeline.classifiers._tags.shapes import SHAPES, Tagged
from pipeline.cli._pictures import (
    PictureList,
    add_picture_arguments,
    name_width,
    picture_progress,
    printable,
    quiet_libraries,
)
from pipeline.cli._signals import StopSignals
from pipeline.core.data import Image
from pipeline.core.errors import UsageError
from pipeline.core.paths import one_line
from pipeline.sources._file.picture_size import MAX_MEGAPIXELS
from pipeline.sources._file.still_picture import load_picture

HELP = "tag pictures with words"
BATCH = 8
"""Maximum batch size."""
MAX_BATCH_PIXELS = 2**26
"""Of a batch: 64 megapixels take 200 MB."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_picture_arguments(parser)
    parser.add_argument(
        "--top", type=int, default=DEFAULT_TOP, metavar="N",
        help="most words a picture; %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=float, default=DEFAULT_THRESHOLD, metavar="T",
        help="lowest score; %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true", help="print a JSON object per picture, one per line"
    )
    parser.add_argument(
        "--shape",
        choices=SHAPES,
        help="format of the JSON, that of the named service (default: trackline)",
    )
    parser.add_argument("--model", metavar="NAME|FILE|URL", help="the classifier; tags")
    parser.add_argument(
        "--detector", metavar="NAME|FILE|URL", help="the detector (default: builtin), or none"
    )


def execute(args: argparse.Namespace) -> int:
    """Tag all pictures and print their words; return 1 if a picture could not be read."""
    check_limits(args.top, args.threshold)
    if args.shape is not None and not args.json:
        raise UsageError("--shape: is for --json")
    with quiet_libraries():
        pictures = PictureList(args.pictures, recursive=args.recursive)
        if not pictures.paths:
            return 1
        show = _as_json(args.shape or "trackline") if args.json else _as_line(pictures.paths)
        signals = StopSignals()
        with signals, picture_progress(len(pictures.paths)) as advance:
            for path, tagged in _tagged(args, pictures, signals):
                sys.stdout.write(printable(show(path, tagged)) + "\n")
                advance()
    return signals.exit_code or int(bool(pictures.failed))


def _tagged(
    args: argparse.Namespace, pictures: PictureList, signals: StopSignals
) -> Iterator[tuple[Path, Tagged]]:
    """Yield the tags of each readable picture, in order; unreadable ones are reported."""
    with load_classifier(args.model) as classifier:
        detector = None if args.detector == NO_DETECTOR else load_model(args.detector)
        try:
            for batch in _batches(pictures, signals):
                images = list(batch.values())
                scores = classifier.classify(images).tolist()
                objects = (
                    [[]] * len(images)
                    if detector is None
                    else [detector.named(each) for each in detector.find(images)]
                )
                for path, row, seen in zip(batch, scores, objects, strict=True):
                    tags = tags_of(
                        classifier.class_names, row, seen, top=args.top, threshold=args.threshold
                    )
                    yield path, Tagged(tags, seen, batch[path].shape[:2])
        finally:
            if detector is not None:
                detector.close()


def _batches(pictures: PictureList, signals: StopSignals) -> Iterator[dict[Path, Image]]:
    """Yield batches of pictures, until there are no more or a signal arrives."""
    batch: dict[Path, Image] = {}
    pixels = 0
    for path in pictures.paths:
        picture = load_picture(path, MAX_MEGAPIXELS)
        if signals.is_stopped:
            return
        if picture.image is None:
            pictures.fail_to_read(path, picture.why)
            continue
        here = picture.image.shape[0] * picture.image.shape[1]
        if batch and (len(batch) == BATCH or pixels + here > MAX_BATCH_PIXELS):
            yield batch
            batch, pixels = {}, 0
        batch[path] = picture.image
        pixels += here
    if batch:
        yield batch


def _as_json(shape: str) -> Callable[[Path, Tagged], str]:
    """Return a function that formats a picture's tags as one line of JSON, the file first."""

    def line(path: Path, tagged: Tagged) -> str:
        answer: dict[str, Any] = {"file": str(path)} | SHAPES[shape](tagged)
        return json.dumps(answer, ensure_ascii=False)

    return line


def _as_line(paths: list[Path]) -> Callable[[Path, Tagged], str]:
    """Return a function that formats a picture's tags as text, names in a column of their own."""
    width = name_width(paths)

    def line(path: Path, tagged: Tagged) -> str:
        words = ", ".join(f"{word} {score:.2f}" for word, score in tagged.tags.items())
        return f"{one_line(str(path)):{width}}  {words or '-'}"

    return line
