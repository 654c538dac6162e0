"""Videos cut into recordings of a dashcam's kind, with detections; what a dataset then holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.archive.dataset.reader import open_dataset
from pipeline.core.data import Detections

START = datetime(2024, 1, 2, 3, 4, 0, tzinfo=UTC)
TICKS = 90_000


@dataclass(frozen=True)
class Piece:
    """One recording, and the frames of the whole that it holds."""

    path: Path
    first: int
    count: int


def pictures(path: Path) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield (seconds, BGR picture) of a video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for number, picture in enumerate(container.decode(stream)):
            seconds = picture.time if picture.time is not None else number / 10
            yield float(seconds), picture.to_ndarray(format="bgr24")


def write_pieces(
    video: Sequence[tuple[float, NDArray[np.uint8]]], folder: Path, camera: str, count: int
) -> list[Piece]:
    """Write a video in `count` pieces, named by camera and time as dashcams name theirs.

    Times are whole seconds where pieces are longer than one, else with milliseconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    edges = np.linspace(0, len(video), count + 1).astype(int).tolist()
    short = min((video[b][0] - video[a][0] for a, b in pairwise(edges[:-1])), default=9.0) < 1.5
    pieces = []
    for first, end in pairwise(edges):
        began = START + timedelta(seconds=video[first][0] - video[0][0])
        tail = f"{began.microsecond // 1000:03d}" if short else ""
        path = folder / f"{camera}_{began:%Y%m%d_%H%M%S}{tail}.mp4"
        encode(path, video[first:end])
        pieces.append(Piece(path, first, end - first))
    return pieces


def cut_videos(videos: Path, folder: Path, pieces: Mapping[str, int]) -> list[Piece]:
    """Cut {name of a video: number of pieces}; each video is a camera's recordings."""
    return [
        piece
        for name, count in pieces.items()
        for piece in write_pieces(
            [*pictures(videos / name)], folder, Path(name).stem.replace("_", "-"), count
        )
    ]


def encode(path: Path, frames: Sequence[tuple[float, NDArray[np.uint8]]]) -> None:
    """Write pictures with their times in seconds as one H.264 file."""
    with av.open(str(path), "w") as container:
        height, width = frames[0][1].shape[:2]
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "20"}
        stream.codec_context.time_base = Fraction(1, TICKS)
        for seconds, image in frames:
            picture = av.VideoFrame.from_ndarray(image, format="bgr24")
            picture.pts = round((seconds - frames[0][0]) * TICKS)
            picture.time_base = Fraction(1, TICKS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def write_detections(path: Path, found: Sequence[Detections]) -> None:
    """Write detections, one per frame, as MOTChallenge text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, each in enumerate(found, 1):
        for (x1, y1, x2, y2), score in zip(each.xyxy.tolist(), each.score.tolist(), strict=True):
            box = f"{x1:.3f},{y1:.3f},{x2 - x1:.3f},{y2 - y1:.3f}"
            lines.append(f"{number},-1,{box},{score:.5f},-1,-1,-1")
    # A piece without detections has a file all the same: a line of a score below all limits.
    path.write_text("\n".join(lines or ["1,-1,0,0,1,1,0.0,-1,-1,-1"]) + "\n")


SPEED_DEPENDS = ("wall_s", "report")


def dataset_rows(dataset: Path) -> dict[str, list[Any]]:
    """Return all rows of all tables, in order, but for what a run's speed decides."""
    opened = open_dataset(dataset)
    found = {}
    for name in ("tracks", "trajectories", "events", "videos"):
        table = opened.table(name)
        kept = [each for each in table.column_names if each not in SPEED_DEPENDS]
        found[name] = sorted(table.select(kept).to_pylist(), key=str)
    return found
