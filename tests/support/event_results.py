"""Results with events, as a camera would give them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from pipeline.core.data import Detections, Event, Frame, Result, Tracks
from pipeline.core.run_info import RunInfo, SourceInfo

NAMES = {0: "person"}
START = time.monotonic()
"""When index 0 was captured."""
UTC = time.time() - time.monotonic()


def run_info(output: Path, *sources: str, files: bool = False) -> RunInfo:
    infos = {name: SourceInfo(160, 120, 10.0) for name in sources}
    return RunInfo(output, NAMES, infos, UTC, only_files=files)


def event(index: int, kind: str = "enter", track_id: int = 1, **values: object) -> Event:
    usual = {
        "kind": kind, "source": "gate", "area": "lawn", "direction": "", "track_id": track_id,
        "class_id": 0, "class_name": "person", "index": index, "pts_s": index / 10,
        "captured_at": START + index / 10, "xyxy": (1.0, 2.0, 30.0, 40.0),
    }  # fmt: skip
    return Event(**{**usual, **values})  # type: ignore[arg-type]


def result(
    index: int,
    *events: Event,
    source: str = "gate",
    size: tuple[int, int] = (120, 160),
    epoch: int = 0,
    fps: float = 10.0,
) -> Result:
    """A grey picture that gets lighter, with one track, at `fps` frames a second."""
    image = np.full((*size, 3), 40 + index % 180, np.uint8)
    at = index / fps
    tracks = Tracks(
        np.array([[20, 20, 60, 90]], np.float32),
        np.array([0.9], np.float32),
        np.array([0], np.int32),
        np.array([1], np.int64),
        np.array([0], np.int32),
        np.array([at], np.float32),
    )
    frame = Frame(image, source, index, at, START + at, epoch)
    return Result(frame, Detections.empty(), tracks, NAMES, events=events)
