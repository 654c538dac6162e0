"""Prints what an annotated video costs: tables only, with subtitles, with the encoded video.

    python benchmarks/subtitles_cost.py VIDEO [--height 1080] [--model builtin] [--rounds 3]

The clip is scaled up once, then each set of sinks runs over it in a process of its own, in turn,
as often as there are rounds. Printed are medians of processor seconds (of the whole process, its
start included), their ratio to tables only, round by round, and the bytes written; and the same
with recorded tracks in place of the network, where the sinks are most of the work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av

SINKS: Mapping[str, Sequence[str]] = {
    "csv": ("csv",),
    "csv, subtitles": ("csv", "subtitles"),
    "csv, video": ("csv", "video"),
}


def scaled(video: str, path: Path, height: int, max_frames: int | None) -> int:
    """Write the video with `height` rows; return how many frames it has."""
    with av.open(video) as source, av.open(str(path), "w") as target:
        before = source.streams.video[0]
        stream = target.add_stream("libx264", rate=before.average_rate)
        width = round(before.width * height / before.height / 2) * 2
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "20"}
        frames = 0
        for picture in source.decode(before):
            if max_frames is not None and frames >= max_frames:
                break
            large = picture.reformat(width=width, height=height, format="yuv420p")
            large.pts, large.time_base = frames, 1 / Fraction(before.average_rate or 25)
            target.mux(stream.encode(large))
            frames += 1
        target.mux(stream.encode(None))
    return frames


def processor_seconds(arguments: Sequence[str]) -> float:
    """Run `trackline` with these arguments and return the seconds of all its threads."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    actions = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
    pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"{' '.join(arguments)}: exit status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime


def print_costs(title: str, base: Sequence[str], output: Path, rounds: int, frames: int) -> None:
    """Print the table of one way to run."""
    seconds: dict[str, list[float]] = {name: [] for name in SINKS}
    for _ in range(rounds):
        for name, sinks in SINKS.items():
            folder = output / name.replace(", ", "-")
            seconds[name].append(
                processor_seconds([*base, "--save", ",".join(sinks), "-o", str(folder)])
            )
    print(f"\n{title}: CPU ms a frame, times tables only (each round), bytes a frame")
    for name in SINKS:
        each = statistics.median(seconds[name]) / frames * 1e3
        ratios = [b / a for a, b in zip(seconds["csv"], seconds[name], strict=True)]
        files = (output / name.replace(", ", "-")).glob("*.[am][sp]*")
        size = sum(file.stat().st_size for file in files) / frames
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{name:16} {each:7.1f}  {statistics.median(ratios):.2f}x ({shown})  {size:9.0f}")


def main() -> None:
    """Scale the clip and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-frames", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        frames = scaled(args.video, clip, args.height, args.max_frames)
        print(f"{args.video} at {args.height} rows, {frames} frames")
        run = ["run", str(clip), "--model", args.model]
        print_costs("with the network", run, folder / "whole", args.rounds, frames)
        tracks = folder / "mot"
        processor_seconds([*run, "--save", "mot", "-o", str(tracks)])
        recorded = ["run", str(clip), "--detections", str(tracks / "clip.txt")]
        print_costs("without it", recorded, folder / "recorded", args.rounds, frames)


if __name__ == "__main__":
    main()
