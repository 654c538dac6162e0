"""Results for tests of datasets, and a program that writes a dataset until it is killed.

Usage: dataset_results.py DATASET SEGMENTS FRAMES
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.archive.dataset.header import dataset_job
from pipeline.archive.dataset.layout import read_manifest
from pipeline.archive.dataset.schema import Segment, segment_name
from pipeline.archive.dataset.writer import SegmentWriter
from pipeline.core.data import Detections, Event, Frame, Result, Tracks
from pipeline.core.masks import Mask

NAMES = {0: "person", 2: "car"}
START = 1_700_000_000.0
FPS = 10


def moving(index: int, *, first: int = 0, tracks: int = 3, source: str = "cam") -> Result:
    """Return frame `index`: tracks 1.. move right at 20 px/s from frame `first` on, one coasts."""
    t = np.arange(tracks)
    x = 10 + 50 * t + 2.0 * (index + first)
    found = Tracks(
        np.stack([x, x * 0 + 20, x + 10, x * 0 + 40], 1).astype(np.float32).reshape(-1, 4),
        np.full(tracks, 0.75, np.float32),
        np.where(t == 1, 2, 0).astype(np.int32),
        t.astype(np.int64) + 1,
        np.where((t == 2) & (index % 4 == 3), -1, t).astype(np.int32),
        np.full(tracks, index / FPS, np.float32),
    )
    frame = Frame(np.zeros((48, 640, 3), np.uint8), source, index, index / FPS, 0.0, 0, "v.mp4")
    at_gate = ((10.0, 20.0, 20.0, 40.0), index, index / FPS)
    events = (
        (
            Event(
                "cross",
                source,
                "gate",
                "in",
                1,
                0,
                "person",
                at_gate[1],
                at_gate[2],
                0.0,
                at_gate[0],
            ),
        )
        if index % 10 == 5
        else ()
    )
    return Result(frame, Detections.empty(), found, NAMES, events=events)


def with_masks(result: Result) -> Result:
    """The same result of a network that gives masks and a keypoint; a third of it coasts."""
    found = result.tracks.detection.max(initial=-1) + 1
    size = result.frame.image.shape[:2]
    pixels = np.zeros(size, np.bool_)
    pixels[10:20, 5:15] = True
    detections = Detections(
        np.tile(np.array([[5, 10, 15, 20]], np.float32), (found, 1)),
        np.full(found, 0.75, np.float32),
        np.zeros(found, np.int32),
        (Mask.from_pixels(pixels),) * found,
        np.tile(np.array([[[7, 12, 0.5]]], np.float32), (found, 1, 1)),
    )
    return replace(result, detections=detections)


def segment(number: int, frames: int, camera: str = "yard") -> Segment:
    """Return one of several segments that follow each other."""
    path, offset = f"{camera}/{number}.mp4", number * frames / FPS
    name = segment_name(camera, path, START + offset)
    return Segment(name, camera, path, f"hash-{number}", START + offset, offset)


def write_all(dataset: Path, segments: int, frames: int) -> Iterator[str]:
    """Write or go on with a dataset, a checkpoint every seven frames; yield what was done."""
    with dataset_job(dataset, {"tracker": "sort"}, program="test"):
        previous = ""
        for number in range(segments):
            one = segment(number, frames)
            if read_manifest(dataset, one.name) is None:
                writer = SegmentWriter(dataset, one, previous=previous)
                begin = 0
                if writer.resumed is not None:
                    begin = writer.resumed.frame + 1
                    assert writer.resumed.state["next"] == begin
                for index in range(begin, frames):
                    writer.add(moving(index, first=number * frames))
                    if index % 7 == 6:
                        writer.checkpoint({"next": index + 1})
                        yield f"checkpoint {one.name}"
                writer.commit({"width": 640, "height": 48}, carry=number < segments - 1)
                yield f"commit {one.name}"
            previous = one.name


if __name__ == "__main__":
    for line in write_all(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
