"""CPU time that reading a video takes where not every picture is wanted.

    python benchmarks/decode_less.py VIDEO [--max-fps 12.5 5 1 0.2] [--repeat 3]

Reads VIDEO whole, at most so many pictures a second, and key frames only, in turn, and prints the
pictures that came, CPU milliseconds per frame of the file (median), and the share of reading it
whole. Nothing is detected; planes are not converted. A clip with B frames, 1080p:

    ffmpeg -f lavfi -i testsrc2=size=1920x1080:rate=25 -t 20 -c:v libx264 -bf 3 -g 50 clip.mp4
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from pipeline.sources import file


def read(path: Path, options: dict[str, Any]) -> tuple[int, int, float]:
    """Return (pictures that came, frames of the file, CPU seconds)."""
    source = file.build(file.Options(path=path, **options))
    began = time.process_time()
    source.open()
    came = 0
    while source.read() is not None:
        came += 1
    cpu_s = time.process_time() - began
    frames = came + source.unwanted
    source.close()
    return came, frames, cpu_s


def main() -> None:
    """Print one line for each way to read the video."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--max-fps", type=float, nargs="+", default=[12.5, 5, 1, 0.2])
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    ways: list[dict[str, Any]] = [{}, *({"max_fps": rate} for rate in args.max_fps)]
    ways.append({"keyframes_only": True})
    runs = [[read(args.video, way) for way in ways] for _ in range(args.repeat)]
    whole_ms = 0.0
    for n, way in enumerate(ways):
        came, frames, _ = runs[0][n]
        ms = statistics.median(run[n][2] for run in runs) / frames * 1e3
        whole_ms = whole_ms or ms
        name = ", ".join(f"{key} {value:g}" for key, value in way.items()) or "all"
        print(f"{name:18} {came:5} of {frames} {ms:7.2f} ms {ms / whole_ms:6.0%}")


if __name__ == "__main__":
    main()
