"""Writes a large table of tracks through the dataset's writer: rows a second, bytes a row, memory.

    python benchmarks/dataset_writer.py --rows 50_000_000 -o /tmp/DATASET

Segments of a minute at 30 frames a second with `--tracks` moving tracks each, two cameras in turn;
detections are made up, positions jitter as those of a detector do. Memory is the peak of the
process, said at every tenth of the rows: it must stay flat.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.archive.dataset.header import dataset_job
from pipeline.archive.dataset.schema import Segment, segment_name
from pipeline.archive.dataset.writer import SegmentWriter
from pipeline.core.data import Detections, Frame, Result, Tracks

FPS = 30
SEGMENT_S = 60
IMAGE = np.zeros((1080, 1920, 3), np.uint8)
NAMES = {0: "person", 2: "car", 7: "truck"}
START = 1_700_000_000


def results(
    camera: str, number: int, tracks: int, first_id: int, random: np.random.Generator
) -> list[Result]:
    """Return a segment's results: each track crosses the picture at a speed of its own."""
    frames = FPS * SEGMENT_S
    start = random.uniform((0, 200), (1500, 900), (tracks, 2))
    speed = random.uniform(-4, 4, (tracks, 2))
    size = random.uniform((20, 30), (150, 200), (tracks, 2))
    ids = np.arange(first_id, first_id + tracks)
    class_id = random.choice([0, 2, 7], tracks).astype(np.int32)
    found = []
    for index in range(frames):
        centre = (start + speed * index) % (1920, 1080) + random.normal(0, 0.7, (tracks, 2))
        xyxy = np.concatenate([centre - size / 2, centre + size / 2], 1).astype(np.float32)
        rows = Tracks(
            xyxy,
            random.uniform(0.3, 0.95, tracks).astype(np.float32),
            class_id,
            ids,
            np.where(random.random(tracks) < 0.05, -1, np.arange(tracks)).astype(np.int32),
            np.full(tracks, index / FPS, np.float32),
        )
        file = f"{camera}/{number}.mp4"
        frame = Frame(IMAGE, camera, index, index / FPS, 0.0, 0, file)
        found.append(Result(frame, Detections.empty(), rows, NAMES))
    return found


def main() -> None:
    """Write, measure, print one line per tenth and one about the whole."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=50_000_000, help="at least so many rows")
    parser.add_argument("--tracks", type=int, default=40, help="tracks in every frame")
    parser.add_argument("-o", "--output", type=Path, help="keep the dataset here")
    arguments = parser.parse_args()
    folder = arguments.output or Path(tempfile.mkdtemp()) / "DATASET"
    random = np.random.default_rng(13)
    per_segment = FPS * SEGMENT_S * arguments.tracks
    segments = -(-arguments.rows // per_segment)
    spent_s, cpu_s, written, rows, said = 0.0, 0.0, 0, 0, 0
    with dataset_job(folder, {"benchmark": True}, fresh=True):
        for number in range(segments):
            camera = ("gate", "yard")[number % 2]
            # Making up the rows is not what is measured.
            made = results(camera, number, arguments.tracks, 1 + number * arguments.tracks, random)
            began, began_cpu = time.perf_counter(), time.process_time()
            utc = START + number // 2 * SEGMENT_S
            path = f"{camera}/{number}.mp4"
            writer = SegmentWriter(
                folder, Segment(segment_name(camera, path, utc), camera, path, "", utc)
            )
            for result in made:
                writer.add(result)
            manifest = writer.commit({"width": 1920, "height": 1080, "fps": FPS})
            spent_s += time.perf_counter() - began
            cpu_s += time.process_time() - began_cpu
            rows += manifest.parts["tracks"].rows
            written += manifest.parts["tracks"].bytes
            if rows * 10 // arguments.rows > said:
                said = rows * 10 // arguments.rows
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(
                    f"{said * 10:4} %  {rows:>11,} rows  {rows / spent_s:>9,.0f} rows/s  "
                    f"{rows / cpu_s:>9,.0f} rows/CPU s  "
                    f"{written / rows:5.1f} bytes/row  peak {peak:,.0f} MiB",
                    flush=True,
                )
    print(f"{segments:,} segments, {rows:,} rows of tracks in {spent_s:.1f} s of writing")
    whole = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    print(f"all four tables: {whole / 2**20:,.1f} MiB")
    if arguments.output is None:
        shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
