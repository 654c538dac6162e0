"""Results, run infos and opened sinks for tests of what sinks write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.core.data import Detections, Event, Frame, Result, Tracks
from pipeline.core.run_info import RunInfo, SourceInfo
from pipeline.sinks import csv, events_csv, jsonl, mot, parquet, video

NAMES = {0: "person", 1: 'a "quoted", long\nname', 2: "行人"}
PLUGINS = {
    "csv": csv,
    "jsonl": jsonl,
    "mot": mot,
    "parquet": parquet,
    "events_csv": events_csv,
    "video": video,
}
EVENT = Event("cross", "cam", 'a "line",\nlong', "in", 1, 0, "x", 3, 0.3, 1.0, (1.0, 2.0, 3.0, 4.0))


def run_info(output: Path, *sources: str, metadata: dict[str, Any] | None = None) -> RunInfo:
    infos = {name: SourceInfo(64, 48, 10.0) for name in sources}
    return RunInfo(output, NAMES, infos, 1_700_000_000.25, metadata or {})


def result(
    index: int,
    *,
    pts_s: float | None = None,
    tracks: int = 3,
    source: str = "cam",
    size: tuple[int, int] = (48, 64),
    epoch: int = 0,
) -> Result:
    image = np.full((*size, 3), index * 20 % 256, np.uint8)
    t = np.arange(tracks)
    found = Tracks(
        np.stack([t + 1.25, t + 2.5, t + 11.25, t + 22.5], 1).astype(np.float32).reshape(-1, 4),
        np.full(tracks, 0.8765432, np.float32),
        (t % 4).astype(np.int32),
        t.astype(np.int64),
        np.where(t == 2, -1, t).astype(np.int32),
        np.full(tracks, index / 10, np.float32),
    )
    pts_s = index / 10 if pts_s is None else pts_s
    frame = Frame(image, source, index, pts_s, pts_s + 100, epoch)
    return Result(frame, Detections.empty(), found, NAMES)


def opened(kind: str, folder: Path, *sources: str) -> Any:
    sink = PLUGINS[kind].build(PLUGINS[kind].Options())
    sink.open(run_info(folder, *(sources or ("cam",)), metadata={"areas": {"cam": {}}}))
    return sink


def rich(index: int) -> Result:
    one = result(index)
    return Result(one.frame, one.detections, one.tracks, one.class_names, events=(EVENT,) * 3)


def quick_video(**options: Any) -> video.VideoSink:
    return video.build(video.Options(preset="ultrafast", threads=1, **options))


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
