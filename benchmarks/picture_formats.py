"""CPU time a picture of phones' and webcams' video takes between decoder and network, or encoder.

    python benchmarks/picture_formats.py VIDEO [--before CHECKOUT] [--sizes 1080p 4k]
        [--formats h264 portrait hevc10 portrait10 jpeg422 odd] [--frames 40] [--repeats 3]

VIDEO is scaled and encoded as in large_pictures.py. A process of its own decodes it on one thread,
alone ("decode"), as the source `file` gives it, letterboxed for a network of 640x640 and looked at
for the camera's motion ("track"), and with a copy drawn on and encoded, too ("save"). No network
runs. Prints CPU milliseconds a picture and peak memory, the median of the repeats with their range;
`--before` measures another checkout of trackline in the same turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

from _side_by_side import ROOT, cell, machine_name, measured, peak_mb
from large_pictures import FORMATS, SIZES, make_clip

JOBS = ("decode", "track", "save")


def main() -> int:
    """Measure, print a table per format and return the exit code."""
    given = _arguments()
    if given.job:
        print(json.dumps(_work(given.video, given.job)))
        return 0
    print(f"{machine_name()}; {given.video.name}, {given.frames} frames, CPU ms a picture, MB")
    checkouts = {"now": ROOT, **({"before": given.before} if given.before else {})}
    with tempfile.TemporaryDirectory() as folder:
        for size, form in product(given.sizes, given.formats):
            clip = Path(folder, f"{size}.mkv")
            make_clip(given.video, clip, SIZES[size], given.frames, form)
            done: dict[tuple[str, str], list[dict[str, float]]] = {}
            for _, job, side in product(range(given.repeats), JOBS, checkouts):
                command = [sys.executable, str(Path(__file__).resolve()), str(clip), "--job", job]
                done.setdefault((job, side), []).append(measured(command, side, checkouts[side]))
            for (job, side), runs in done.items():
                ms, mb = [run["ms"] for run in runs], [run["mb"] for run in runs]
                text = f"{size}, {form}, {job}, {side}"
                print(f"{text:36}{cell(ms):>24}{statistics.median(mb):>8.0f}", flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=lambda text: Path(text).resolve())
    parser.add_argument("--before", type=lambda text: Path(text).resolve(), metavar="CHECKOUT")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["1080p", "4k"])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=[*FORMATS])
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _work(clip: Path, job: str) -> dict[str, float]:
    """In the process that is measured: do the job and say what it took."""
    import cv2

    cv2.setNumThreads(1)
    if job == "decode":
        import av

        with av.open(str(clip)) as container:
            container.streams.video[0].thread_count = 1
            began = time.process_time()
            frames = sum(1 for _ in container.decode(video=0))
        return {"ms": (time.process_time() - began) / frames * 1e3, "mb": peak_mb()}
    return _through(clip, save=job == "save")


def _through(clip: Path, *, save: bool) -> dict[str, float]:
    import numpy as np

    from pipeline.core.canvas import Canvas
    from pipeline.detectors.common.letterbox import fit, paste
    from pipeline.sinks import video
    from pipeline.sinks._mp4 import Mp4Writer
    from pipeline.sources import file
    from pipeline.trackers._camera_motion import CameraMotion

    source = file.build(file.Options(path=clip, threads=1))
    source.open()
    motion, writer, frames = CameraMotion(), None, 0
    sink = video.build(video.Options())
    began = time.process_time()
    while (frame := source.read()) is not None:
        frames += 1
        height, width = frame.shape[:2]
        box = fit((height, width), (640, 640), 32)
        network = np.full((*box.input_size, 3), 114, np.uint8)
        paste(frame.picture, box, network)
        motion.estimate(frame.picture, np.empty((4, 0)))
        if save:
            options = sink._x264(height * width)
            writer = writer or Mp4Writer(Path("out.mp4"), frame.picture, options, 1)
            Canvas.on(writer.canvas(frame.picture)).rectangle((8, 8), (99, 99), (0, 0, 255), 2)
            writer.encode(frame)
        del frame
    if writer is not None:
        writer.close()
    source.close()
    return {"ms": (time.process_time() - began) / frames * 1e3, "mb": peak_mb()}


if __name__ == "__main__":
    raise SystemExit(main())
