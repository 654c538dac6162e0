"""CPU time a picture of phones' and webcams' video takes between decoder and network, or encoder.

    python benchmarks/picture_formats.py VIDEO [--before CHECKOUT] [--sizes 1080p 4k]
        [--formats h264 portrait hevc10 portrait10 jpeg422 odd] [--frames 10] [--repeats 3]

VIDEO is scaled and encoded as in large_pictures.py. A process of its own decodes it and measures of
each picture what the program does with it besides: make a frame of it, letterbox it for a network
of 640x640, look whether the camera moves, and copy it to where the video sink draws and encodes. No
network runs, nothing is drawn. Prints the median CPU milliseconds of each step, of three runs the
middle one with the range of the sums, and peak memory; `--before` measures another checkout of
trackline in the same turns.
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

STEPS = ("frame", "letterbox", "motion", "to the encoder")


def main() -> int:
    """Measure, print a table per format and return the exit code."""
    given = _arguments()
    if given.worker:
        print(json.dumps(_work(given.video)))
        return 0
    print(f"{machine_name()}; {given.video.name}, {given.frames} frames, CPU ms a picture")
    print(f"{'':28}{'sum':>20}{''.join(f'{step:>16}' for step in STEPS)}{'MB':>8}")
    checkouts = {"now": ROOT, **({"before": given.before} if given.before else {})}
    with tempfile.TemporaryDirectory() as folder:
        for size, form in product(given.sizes, given.formats):
            clip = Path(folder, f"{size}.mkv")
            make_clip(given.video, clip, SIZES[size], given.frames, form)
            done: dict[str, list[dict[str, float]]] = {}
            for _, side in product(range(given.repeats), checkouts):
                command = [sys.executable, str(Path(__file__).resolve()), str(clip), "--worker"]
                done.setdefault(side, []).append(measured(command, side, checkouts[side]))
            for side, runs in done.items():
                sums = cell([sum(run[step] for step in STEPS) for run in runs])
                each = "".join(f"{_middle(runs, step):>16.1f}" for step in STEPS)
                title = f"{size}, {form}, {side}"
                print(f"{title:28}{sums:>20}{each}{_middle(runs, 'mb'):>8.0f}", flush=True)
    return 0


def _middle(runs: list[dict[str, float]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=lambda text: Path(text).resolve())
    parser.add_argument("--before", type=lambda text: Path(text).resolve(), metavar="CHECKOUT")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["1080p", "4k"])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=[*FORMATS])
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _work(clip: Path) -> dict[str, float]:
    """In the process that is measured: return the median of each step, and peak memory."""
    import av
    import cv2
    import numpy as np

    from pipeline.core.data import Frame
    from pipeline.core.frame_pool import FramePool
    from pipeline.detectors.common.letterbox import fit, paste
    from pipeline.sinks._mp4 import Mp4Writer, write_nv12
    from pipeline.sources._file.picture import UprightConverter
    from pipeline.trackers._camera_motion import CameraMotion

    cv2.setNumThreads(1)
    upright, motion = UprightConverter(FramePool(), may_mirror=True), CameraMotion()
    writer: Mp4Writer | None = None
    times: list[list[float]] = []
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_count = 1
        for picture in container.decode(video=0):
            at = [time.thread_time()]
            frame = Frame(upright(picture), "a", len(times), 0.0, 0.0)
            at.append(time.thread_time())
            box = fit(frame.shape[:2], (640, 640), 32)
            paste(frame.picture, box, np.empty((*box.input_size, 3), np.uint8))
            at.append(time.thread_time())
            motion.estimate(frame.picture, np.empty((4, 0)))
            at.append(time.thread_time())
            writer = writer or Mp4Writer(Path("out.mp4"), frame.picture, {}, 1)
            spent = time.thread_time()
            if isinstance(writer.canvas(frame.picture), np.ndarray) and writer._bgr is not None:
                write_nv12(writer._bgr, writer._colour, writer._nv12, writer._chroma)
            at.append(at[-1] + time.thread_time() - spent)
            times.append(np.diff(at).tolist())
            del frame, picture
    if writer is not None:
        writer.close()
    medians = np.median(times[1:], axis=0) * 1e3  # the first takes memory
    return {**dict(zip(STEPS, medians.tolist(), strict=True)), "mb": peak_mb()}


if __name__ == "__main__":
    raise SystemExit(main())
