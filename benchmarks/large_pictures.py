"""Trackline beside ultralytics' `track` on 720p, 1080p and 4K, and where the CPU time goes.

    python benchmarks/large_pictures.py VIDEO MODEL.onnx [--ultralytics-python PATH]
        [--before CHECKOUT] [--sizes 720p 1080p 4k] [--frames 60] [--repeats 3]
        [--formats h264 portrait hevc10 portrait10 jpeg422 odd]

VIDEO is scaled to each size (4K is four of it, each a little later than the one before, so that
details are as small as a camera's) and encoded in a temporary folder, as H.264 or as what phones
(rotated, HEVC of 10 bits) and webcams (JPEG in 4:2:2) give. Each measurement is
a process of its own, one side after the other, tracking only and then saving video. Prints frames
a second, CPU milliseconds a frame, peak memory, and trackline's CPU milliseconds by thread.
`--before` measures another checkout of trackline in the same turns. On a machine that is not alone
the CPU time says more than the frames a second.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, product
from pathlib import Path
from typing import Any

import versus_ultralytics
from _side_by_side import OURS, ROOT, THEIRS, cell, is_worker, measured, timed
from cpu_per_stage import Threads

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}
FORMATS = {  # codec, pixel format, rotation, pixels less each way
    "h264": ("libx264", "yuv420p", 0, 0),
    "portrait": ("libx264", "yuv420p", 90, 0),
    "hevc10": ("libx265", "yuv420p10le", 0, 0),
    "portrait10": ("libx265", "yuv420p10le", 90, 0),
    "jpeg422": ("mjpeg", "yuvj422p", 0, 0),
    "odd": ("mjpeg", "yuvj420p", 0, 1),
}
ENCODER_OPTIONS = {
    "libx264": {"crf": "23", "preset": "veryfast"},
    "libx265": {"crf": "23", "preset": "ultrafast", "x265-params": "log-level=none"},
}
BEFORE = "before"
_LATER = 7  # frames between the four parts of a 4K picture


def main() -> int:
    """Measure, print a table per size and return the exit code."""
    given = _arguments()
    if is_worker(given, _work):
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for size, form in product(given.sizes, given.formats):
            clip = Path(folder, f"{size}.mkv")
            make_clip(given.video, clip, SIZES[size], given.frames, form)
            for save in (False, True):
                rounds = [_round(given, clip, save) for _ in range(given.repeats)]
                _print(f"{size}, {form}, {'saving video' if save else 'tracking'}", rounds)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=lambda text: Path(text).resolve())
    parser.add_argument("model", type=lambda text: Path(text).resolve())
    parser.add_argument("--ultralytics-python", help="a Python that has ultralytics")
    parser.add_argument("--before", type=lambda text: Path(text).resolve(), metavar="CHECKOUT")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=["h264"])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="auto", help="this program's; theirs is float32")
    parser.add_argument("--worker", choices=[OURS, THEIRS], help=argparse.SUPPRESS)
    parser.add_argument("--save", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def make_clip(
    video: Path, clip: Path, size: tuple[int, int], count: int, form: str = "h264"
) -> None:
    """Write `count` frames of `video` at `size` (width, height) in one of the FORMATS."""
    import av

    codec, pixels, rotation, less = FORMATS[form]
    width, height = size
    parts = 2 if height > SIZES["1080p"][1] else 1
    with av.open(str(clip), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width - less, height - less, pixels
        stream.options = ENCODER_OPTIONS.get(codec, {})
        if codec == "mjpeg":
            stream.codec_context.qmin = stream.codec_context.qmax = 3
        if rotation:
            stream.set_display_rotation(rotation)
        readers = [
            islice(pictures(video, width // parts, height // parts), n * _LATER, None)
            for n in range(parts * parts)
        ]
        for n, tiles in enumerate(islice(zip(*readers, strict=False), count)):
            pixels_rgb = _tiled(tiles, parts)[: height - less, : width - less]
            frame = av.VideoFrame.from_ndarray(pixels_rgb, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def pictures(video: Path, width: int, height: int) -> Iterator[Any]:
    """Yield the video's pictures at that size, over and over again."""
    import av

    while True:
        with av.open(str(video)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(
                    format="rgb24", width=width, height=height, interpolation="LANCZOS"
                )


def _tiled(tiles: tuple[Any, ...], parts: int) -> Any:
    import numpy as np

    rows = [np.hstack(tiles[at : at + parts]) for at in range(0, len(tiles), parts)]
    return np.ascontiguousarray(np.vstack(rows))


def _round(given: argparse.Namespace, clip: Path, save: bool) -> dict[str, dict[str, Any]]:
    """Return what each side needed, measured one right after the other."""
    done = {OURS: _measure(given, OURS, sys.executable, clip, save)}
    if given.before:
        done[BEFORE] = _measure(given, OURS, sys.executable, clip, save, given.before)
    if given.ultralytics_python:
        done[THEIRS] = _measure(given, THEIRS, given.ultralytics_python, clip, save)
    return done


def _measure(
    given: argparse.Namespace,
    side: str,
    python: str,
    clip: Path,
    save: bool,
    checkout: Path = ROOT,
) -> dict[str, Any]:
    command = [python, str(Path(__file__).resolve()), str(clip), str(given.model)]
    command += ["--worker", side, "--precision", given.precision, *(["--save"] if save else [])]
    done: dict[str, Any] = measured(command, side, checkout)
    return done


def _work(given: argparse.Namespace) -> dict[str, Any]:
    """In the process that is measured: do the job and say what it took."""
    given.max_frames = None
    if given.worker == THEIRS:
        return timed(versus_ultralytics.theirs(given))
    start = versus_ultralytics.ours(given)
    with Threads() as threads:
        done = timed(start)
    return {**done, "threads": threads.by_name()}


def _print(title: str, rounds: list[dict[str, dict[str, Any]]]) -> None:
    """Print one table: a line per side, then trackline's CPU time by thread."""
    print(f"\n{title:32}{'fps':>22}{'CPU ms a frame':>24}{'MB':>24}{'fps, CPU, MB of ours':>24}")
    sides = {side: [each[side] for each in rounds] for side in rounds[0]}
    medians: dict[str, list[float]] = {}
    for side, runs in sides.items():
        values = [
            [run["frames"] / run["seconds"] for run in runs],
            [run["cpu_s"] / run["frames"] * 1e3 for run in runs],
            [run["peak_mb"] for run in runs],
        ]
        medians[side] = [statistics.median(each) for each in values]
        pairs = zip(medians[OURS], medians[side], strict=True)
        ratios = " ".join(f"{mine / other:.2f}x" for mine, other in pairs)
        cells = "".join(f"{cell(each):>24}" for each in values)
        print(f"  {side:28}{cells}{'' if side == OURS else ratios:>24}", flush=True)
    for side in (OURS, BEFORE):
        if side in sides:
            print(f"  {side}, CPU ms a frame: {_by_thread(sides[side])}", flush=True)


def _by_thread(runs: list[dict[str, Any]]) -> str:
    names = dict.fromkeys(name for run in runs for name in run["threads"])
    ms = {
        name: statistics.median(run["threads"].get(name, 0.0) / run["frames"] for run in runs)
        for name in names
    }
    ordered = sorted(ms.items(), key=lambda one: -one[1])
    return ", ".join(f"{name} {each:.1f}" for name, each in ordered if each >= 0.1)


if __name__ == "__main__":
    raise SystemExit(main())
