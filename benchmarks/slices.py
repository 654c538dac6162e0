"""What `slice` finds that the whole picture does not show, and what it costs.

    python benchmarks/slices.py VIDEO MODEL [--slices 640,480,320] [--imgsz 960]
        [--classes car,truck,bus,motorcycle] [--frames 24] [--rounds 3] [--small 20] [-o FOLDER]

Takes `--frames` frames evenly from the video, and prints for the whole picture, the whole picture
at another `imgsz`, and each slice: objects a frame, those less than `--small` pixels high, frames a
second and CPU a frame. Every way has its turn on all frames in each round, so that a busy machine
is as busy for all of them; the factor is the median over the rounds of the time beside the whole
picture's. With `-o`, pictures of the same frame side by side, whole and sliced, to be looked at.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from _side_by_side import machine_name

import pipeline

SHOWN = 4
"""Frames drawn with -o."""


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    frames = _frames(arguments.video, arguments.frames)
    height, width = frames[0].shape[:2]
    print(f"{machine_name()}; {arguments.video.name} {width} x {height}, {len(frames)} frames")
    ways: dict[str, dict[str, Any]] = {"whole": {}}
    if arguments.imgsz:
        ways[f"whole, imgsz {arguments.imgsz}"] = {"imgsz": arguments.imgsz}
    for side in filter(None, arguments.slices.split(",")):
        ways[f"slice {side}"] = {"slice": int(side)}
    classes = arguments.classes.split(",")
    models = {
        name: pipeline.load_model(arguments.model, classes=classes, **options)
        for name, options in ways.items()
    }
    results: dict[str, list[pipeline.Result]] = {}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for model in models.values():  # networks are compiled for the sizes that come
        list(pipeline.detect(frames[:1], model=model))
    for _ in range(arguments.rounds):
        for name, model in models.items():
            began = time.perf_counter(), time.process_time()
            results[name] = [*pipeline.detect(frames, model=model)]
            wall[name].append(time.perf_counter() - began[0])
            cpu[name].append(time.process_time() - began[1])
    small = f"under {arguments.small} px"
    print(f"{'':20}{'objects':>9}{small:>13}{'fps':>8}{'times as long':>15}{'CPU ms':>9}")
    for name in ways:
        heights = [
            result.detections.xyxy[:, 3] - result.detections.xyxy[:, 1] for result in results[name]
        ]
        count = sum(map(len, heights)) / len(frames)
        low = sum(int((each < arguments.small).sum()) for each in heights) / len(frames)
        ratios = [one / other for one, other in zip(wall[name], wall["whole"], strict=True)]
        print(
            f"{name:20}{count:9.2f}{low:13.2f}{len(frames) / min(wall[name]):8.2f}"
            f"{statistics.median(ratios):15.2f}{min(cpu[name]) / len(frames) * 1e3:9.0f}"
        )
    if arguments.output:
        _draw(results, arguments.output)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("model")
    parser.add_argument("--slices", default="640,480,320")
    parser.add_argument("--imgsz", type=int, default=960, help="0 leaves it out")
    parser.add_argument("--classes", default="car,truck,bus,motorcycle")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", type=int, default=20, help="height in pixels")
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


def _frames(path: Path, count: int) -> list[pipeline.Image]:
    """Return `count` frames, evenly over the whole video."""
    with av.open(str(path)) as container:
        found = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    rows = np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)
    return [found[row] for row in rows]


def _draw(results: dict[str, list[pipeline.Result]], folder: Path) -> None:
    """Write each frame once for all ways, one below the other, cut to where objects are small."""
    folder.mkdir(parents=True, exist_ok=True)
    total = len(results["whole"])
    for index in np.linspace(0, total - 1, min(SHOWN, total)).astype(int).tolist():
        rows = []
        for name, found in results.items():
            picture = found[index].frame.image.copy()
            for left, top, right, bottom in found[index].detections.xyxy.round().astype(int):
                corners = (int(left), int(top)), (int(right), int(bottom))
                cv2.rectangle(picture, *corners, (0, 255, 0), 1)
            middle = picture.shape[0] * 11 // 20
            strip = picture[middle - picture.shape[0] // 8 : middle + picture.shape[0] // 8]
            strip = cv2.resize(strip, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            cv2.putText(strip, name, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 255), 2)
            rows.append(strip)
        cv2.imwrite(str(folder / f"frame-{index:03d}.jpg"), np.vstack(rows))
    print(f"pictures in {folder}: what is small lies around the horizon of a road")


if __name__ == "__main__":
    main()
