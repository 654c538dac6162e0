"""Time until a job over a finished dataset has found that nothing is new.

python benchmarks/batch_resume.py [--files 2000] [--work FOLDER]

Writes that many recordings of two frames and tracks them once with replayed detections; then the
same command again, three times, and once after all files were copied to another folder.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
from _batch_pieces import START, encode, write_detections

from pipeline.core.data import Detections


def main() -> None:
    """Print the seconds of each run and its last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--work", type=Path, help="folder to keep recordings and dataset in")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        root = args.work or Path(text)
        if not (root / "videos").is_dir():
            lay_out(root, args.files)
            run(root, "videos", "first run")
        for number in (1, 2, 3):
            run(root, "videos", f"again, {number}")
        shutil.rmtree(root / "moved", ignore_errors=True)
        shutil.copytree(root / "videos", root / "moved")
        run(root, "moved", "moved")
        run(root, "moved", "moved, again")


def lay_out(root: Path, files: int) -> None:
    """Write the recordings, an hour apart, and a detection for each of their frames."""
    rng = np.random.default_rng(1)
    (root / "videos" / "door").mkdir(parents=True)
    box = Detections(
        np.array([[5, 5, 20, 30]], np.float32), np.array([0.9], np.float32), np.array([0], np.int32)
    )
    for number in range(files):
        name = f"door_{START + timedelta(hours=number):%Y%m%d_%H%M%S}"
        picture = rng.integers(0, 256, (48, 64, 3), np.uint8)
        encode(root / "videos" / "door" / f"{name}.mp4", [(0.0, picture), (0.04, picture)])
        write_detections(root / "det" / f"{name}.txt", [box, box])


def run(root: Path, videos: str, what: str) -> None:
    """Run the job over a folder of recordings and print how long it took."""
    words = ["batch", str(root / videos), "-o", str(root / "dataset")]
    command = [sys.executable, "-m", "pipeline", *words, "--detections", str(root / "det")]
    began = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    last = (done.stdout.splitlines() or [""])[-1]
    print(f"{what:13} {time.monotonic() - began:7.2f} s  {last}", flush=True)


if __name__ == "__main__":
    main()
