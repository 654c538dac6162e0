"""Prints how evenly many cameras are served by a network too slow for all of them.

    python benchmarks/camera_fairness.py [--cameras 16] [--fps 10] [--seconds 20]

No camera may starve, and the 95th percentile of the age of the worst-served one may be at most
twice that of the best-served one.
"""

from __future__ import annotations

import argparse
import threading

from benchmarks._paced_camera import NoTracker, PacedCamera, PacedDetector, spread
from pipeline.engine import Pipeline


def main() -> None:
    """Measure at several batch sizes and loads."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    for ms, batch in ((3, 1), (20, 1), (20, 4), (20, 16), (60, 4)):
        measure(args, ms, batch)


def measure(args: argparse.Namespace, ms: float, batch: int) -> None:
    """Run once and print a line."""
    cameras = [PacedCamera(f"cam{n}", args.fps) for n in range(args.cameras)]
    pipeline = Pipeline(cameras, PacedDetector(ms, batch), NoTracker)
    timer = threading.Timer(args.seconds, pipeline.stop)
    timer.start()
    report = pipeline.run()
    sources = report["sources"].values()
    ages = [source["age"]["p95_ms"] for source in sources]
    served = [source["delivered"] for source in sources]
    balanced = all(s["grabbed"] == s["delivered"] + s["dropped"] for s in sources)
    print(
        f"{ms} ms a frame, batches of {batch}: {report['fps']:.0f} of "
        f"{args.cameras * args.fps:.0f} fps; p95 age {spread(ages)}, ratio "
        f"{max(ages) / min(ages):.2f}; served {min(served)} to {max(served)} frames; "
        f"books {'balance' if balanced else 'DO NOT BALANCE'}"
    )


if __name__ == "__main__":
    main()
