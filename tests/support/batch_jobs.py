"""Small batch jobs: recordings of a second with their detections, and what a dataset holds."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from support.tiny_videos import write_video

from pipeline.archive.batch.job import plan_job, run_job
from pipeline.archive.batch.options import BatchOptions
from pipeline.archive.batch.progress import JobProgress, Update
from pipeline.archive.dataset.reader import open_dataset
from pipeline.config.schema import Config

FPS = 25
FRAMES = 25
START = datetime(2024, 1, 2, 3, 4, 0)
ZONES = """
cameras:
  {camera}:
    size: [128, 96]
    gone_s: 1
    settle_s: 0.1
    zones:
      - {{name: "{zone}", points: [[30, 0], [90, 0], [90, 96], [30, 96]]}}
    lines:
      - {{name: gate, points: [[64, 96], [64, 0]]}}
      - {{name: never, points: [[1, 1], [1, 4]]}}
"""


def boxes_at(k: int) -> list[tuple[float, float, float, float]]:
    """Two who walk towards each other, and one who is there from frame 30 on (x, y, w, h)."""
    there = [(5 + 0.7 * k, 20, 12, 30), (110 - 0.6 * k, 50, 12, 30)]
    if k >= 30:
        there.append((60, 10 + 0.2 * k, 10, 20))
    return there


def lay_out(
    root: Path, camera: str = "door", *, count: int = 4, gap_after: int | None = None
) -> list[Path]:
    """Write `count` recordings of a second and their detections; an hour is missing after one."""
    (root / "videos" / camera).mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        late = timedelta(hours=1) if gap_after is not None and number > gap_after else timedelta()
        moment = START + timedelta(seconds=number) + late
        name = f"{camera}_{moment:%Y%m%d_%H%M%S}"
        paths.append(record(root, camera, name, number * FRAMES))
    return paths


def record(root: Path, camera: str, name: str, first: int, *, frames: int = FRAMES) -> Path:
    """Write one recording that begins with frame `first` of the scene, and its detections."""
    path = root / "videos" / camera / f"{name}.mp4"
    # No two files have the same content: large squares whose shades depend on name and scene.
    seed = zlib.crc32(f"{name} {first}".encode())
    shades = np.random.default_rng(seed).integers(60, 120, (6, 8, 1), np.uint8)
    write_video(path, [shades.repeat(16, 0).repeat(16, 1).repeat(3, 2)] * frames)
    write_detections(root, name, first, frames)
    return path


def write_detections(root: Path, name: str, first: int, frames: int = FRAMES) -> None:
    """Write the detections of a recording that begins with frame `first` of the scene."""
    (root / "det").mkdir(exist_ok=True)
    rows = [
        f"{index + 1},-1,{x:.2f},{y:.2f},{w},{h},0.9,-1,-1,-1"
        for index in range(frames)
        for x, y, w, h in boxes_at(first + index)
    ]
    (root / "det" / f"{name}.txt").write_text("\n".join(rows) + "\n")


def config(root: Path, **tree: Any) -> Config:
    """Return a configuration that replays the detections."""
    detector = {"kind": "replay", "paths": [str(root / "det")]}
    return Config.model_validate({"detector": detector, **tree})


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def job(
    root: Path,
    dataset: str | Path = "dataset",
    *,
    on_update: Callable[[Update], None] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
    tree: dict[str, Any] | None = None,
    **options: Any,
) -> JobProgress:
    """Run a job over the videos below `root` and return how far it came."""
    paths = options.pop("paths", (str(root / "videos"),))
    chosen = BatchOptions(
        **{"timezone": "UTC", "paths": paths, "dataset": _place(root, dataset), **options}
    )
    planned = plan_job(chosen, config(root, **(tree or {})))
    progress = planned.progress()

    def report(update: Update) -> None:
        progress.add(update)
        on_update(update)

    run_job(planned, report, is_stopped)
    return progress


def _place(root: Path, dataset: str | Path) -> Path:
    """Return a dataset's folder; one in a store is a place already."""
    return root / dataset if isinstance(dataset, str) else dataset


def rows(root: Path, dataset: str | Path = "dataset") -> dict[str, list[Any]]:
    """Return all rows of all tables in order, but for what a run's speed decides."""
    opened = open_dataset(_place(root, dataset))
    found = {}
    for name in ("tracks", "trajectories", "events", "videos"):
        table = opened.table(name).to_pylist()
        for row in table:
            for key in ("wall_s", "report"):
                row.pop(key, None)
        found[name] = sorted(table, key=str)
    return found
