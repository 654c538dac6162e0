"""Peak memory of a run over a folder of 10 clips, and over one of 300.

    python benchmarks/many_files.py [--clips 10 300] [--size 1920x1080] [--frames 30]

Makes the clips, then runs the command on each folder in a process of its own and prints the most
memory it had (resident, as the kernel counts it), without and with the annotated video.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

ARGUMENTS = ("--model", "builtin", "--set", "tracker.kind=sort")


def write_clip(path: Path, width: int, height: int, frames: int) -> None:
    """Write noise that moves, so that pictures differ and take some bytes."""
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (height, width, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, n * 8, axis=1), "bgr24")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def peak_megabytes(folder: Path, out: Path, save: str) -> float:
    """Return the most memory the command had while it processed the folder."""
    command = [sys.executable, "-m", "pipeline", "run", str(folder), "-o", str(out)]
    pid = os.posix_spawn(command[0], [*command, "--save", save, *ARGUMENTS], os.environ)
    _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes here
    return usage.ru_maxrss * unit / 2**20


def main() -> None:
    """Print one line per number of clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[10, 300])
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--save", nargs="+", default=["csv", "csv,video"])
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(f"{args.frames} frames of {args.size} each; at most {soft} open files")
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        write_clip(top / "clip.mp4", width, height, args.frames)
        for save in args.save:
            for clips in args.clips:
                folder = top / f"{clips}"
                folder.mkdir(exist_ok=True)
                for n in range(clips):
                    if not (folder / f"{n}.mp4").exists():
                        os.link(top / "clip.mp4", folder / f"{n}.mp4")
                peak = peak_megabytes(folder, top / "out", save)
                shutil.rmtree(top / "out", ignore_errors=True)
                print(f"{save:10} {clips:5} clips: {peak:7.0f} MB", flush=True)


if __name__ == "__main__":
    main()
