"""What Ray costs and survives: `trackline batch --ray` against `--workers` on the same files.

python benchmarks/batch_ray.py ../shared/video/plaza_walkers.avi [--rounds 3] [--lose] [--shared]

The video is cut into recordings of four cameras. Both run two processes with one core each, in
turn. `--lose` runs it on two machines (of this one) and kills one in the middle; `--shared`
compares a detector per task with one that gets the pictures of all tasks.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from _batch_pieces import dataset_rows, pictures, write_pieces

CAMERAS = 4
PIECES = 4
NETWORK = ["--imgsz", "320"]
BATCH = 8
SHARED_FRAMES = 160


def main() -> None:
    """Print times and how the datasets compare; exit code 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=800, help="of the video")
    parser.add_argument("--lose", action="store_true")
    parser.add_argument("--shared", action="store_true")
    args = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory() as text:
        root = Path(text)
        video = [*islice(pictures(args.video), args.frames)]
        for number in range(CAMERAS):
            part = video[number * len(video) // CAMERAS : (number + 1) * len(video) // CAMERAS]
            write_pieces(part, root / "videos", f"camera{number}", PIECES)
        print(f"{CAMERAS} cameras, {len(video)} frames", flush=True)
        if args.shared:
            compare_detectors(args.video, args.rounds, args.frames)
        same = compare(root, args.rounds)
        if args.lose:
            same = lose(root) and same
    raise SystemExit(0 if same else 1)


def command(root: Path, dataset: str, *how: str) -> list[str]:
    """Return the command that processes the recordings."""
    words = [sys.executable, "-m", "trackline", "batch", str(root / "videos"), "-o"]
    return [*words, str(root / dataset), "--timezone", "UTC", "--fresh", *NETWORK, *how]


def timed(words: list[str]) -> float:
    """Run a command and return its seconds."""
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.monotonic() - began


def compare(root: Path, rounds: int) -> bool:
    """Print the seconds of workers and of Ray on a cluster that is there, in turn."""
    from ray.cluster_utils import Cluster

    began = time.monotonic()
    # No faster than two processes: each task has one core, as each worker has.
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
    )
    print(f"starting a cluster: {time.monotonic() - began:.1f} s", flush=True)
    times: dict[str, list[float]] = {"workers": [], "ray": []}
    try:
        for number in range(rounds):
            times["workers"].append(timed(command(root, "workers", "--workers", "2")))
            ray = ["--ray", cluster.address, "--task-cpus", "1"]
            times["ray"].append(timed(command(root, "ray", *ray)))
            shown = ", ".join(f"{name} {each[-1]:.1f} s" for name, each in times.items())
            print(f"  round {number + 1}: {shown}", flush=True)
    finally:
        cluster.shutdown()
    workers_s, ray_s = (statistics.median(each) for each in times.values())
    same = dataset_rows(root / "ray") == dataset_rows(root / "workers")
    print(
        f"median: --workers 2 {workers_s:.1f} s, --ray {ray_s:.1f} s: Ray takes "
        f"{ray_s - workers_s:+.1f} s ({ray_s / workers_s - 1:+.0%}); "
        f"{'the same' if same else 'DIFFERENT'} rows",
        flush=True,
    )
    return same


def lose(root: Path) -> bool:
    """Kill one of two machines in the middle of the job, and compare the rows."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    machines = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
    words = command(root, "lost", "--ray", cluster.address, "--task-cpus", "1")
    try:
        job = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while manifests(root) < CAMERAS * PIECES // 4 and job.poll() is None:
            time.sleep(0.05)
        at = manifests(root)
        cluster.remove_node(machines.pop(), allow_graceful=False)
        said, _ = job.communicate()
    finally:
        cluster.shutdown()
    same = job.returncode == 0 and dataset_rows(root / "lost") == dataset_rows(root / "workers")
    print(f"a machine lost after {at} of {CAMERAS * PIECES} recordings: {said.strip()}")
    print(f"{'the same' if same else 'DIFFERENT'} rows", flush=True)
    return same


def manifests(root: Path) -> int:
    """Return how many recordings are committed."""
    with suppress(OSError):
        return len([*(root / "lost/manifest").glob("*.json")])
    return 0


# -- one detector for all tasks? ------------------------------------------------------------------


class Detecting:
    """A detector in a process of its own cores."""

    def __init__(self, first_core: int, cores: int) -> None:
        os.sched_setaffinity(0, range(first_core, first_core + cores))
        from pipeline.config.build import make_detector
        from pipeline.config.schema import Config

        options = {"kind": "yolo", "imgsz": 320, "batch": BATCH}
        self._detector = make_detector(Config.model_validate({"detector": options}))
        self._detector.open()

    def detect(self, images: Any) -> int:
        """Return how many objects are on the pictures."""
        from pipeline.core.data import Frame

        frames = [Frame(image, "a", number, 0.0, 0.0) for number, image in enumerate(images)]
        return sum(map(len, self._detector.detect(frames)))

    def run(self, video: str, frames: int) -> None:
        """Decode and detect here."""
        for batch in batches(video, frames):
            self.detect(batch)

    def cpu_s(self) -> float:
        """Return the processor time so far."""
        return time.process_time()


class Decoding:
    """Decodes and lets another process detect, a batch ahead."""

    def run(self, video: str, frames: int, detector: Any) -> None:
        """Send the first pictures of a video to a detector."""
        import numpy as np
        import ray

        waiting: list[Any] = []
        for batch in batches(video, frames):
            waiting.append(detector.detect.remote(ray.put(np.stack(batch))))
            if len(waiting) > 1:
                ray.get(waiting.pop(0))
        ray.get(waiting)

    def cpu_s(self) -> float:
        """Return the processor time so far."""
        return time.process_time()


def processor_s(processes: list[Any]) -> float:
    """Return the processor time of some actors so far."""
    import ray

    return sum(ray.get([each.cpu_s.remote() for each in processes]))


def batches(video: str, frames: int) -> Any:
    """Yield the first pictures of a video in batches."""
    batch: list[Any] = []
    for number, (_, image) in enumerate(pictures(Path(video)), 1):
        batch.append(image)
        if len(batch) == BATCH:
            yield batch
            batch = []
        if number == frames:
            return


def compare_detectors(video: Path, rounds: int, frames: int) -> None:
    """Print frames a second of two tasks with a detector each, and with one for both."""
    import ray

    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    path = str(video.resolve())
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        own = [ray.remote(num_cpus=1)(Detecting).remote(core, 1) for core in (0, 1)]
        shared = ray.remote(num_cpus=1)(Detecting).remote(0, 2)
        tasks = [ray.remote(num_cpus=0)(Decoding).remote() for _ in range(2)]
        ways = {
            "a detector per task": (own, lambda n: [each.run.remote(path, n) for each in own]),
            "one detector for both": (
                [*tasks, shared],
                lambda n: [each.run.remote(path, n, shared) for each in tasks],
            ),
        }
        for _, way in ways.values():
            ray.get(way(BATCH))  # loaded and warm
        count = min(frames, SHARED_FRAMES)
        for number in range(rounds):
            for name, (processes, way) in ways.items():
                before, began = processor_s(processes), time.monotonic()
                ray.get(way(count))
                speed = 2 * count / (time.monotonic() - began)
                cpu_ms = 1000 * (processor_s(processes) - before) / (2 * count)
                print(
                    f"  round {number + 1}: {name}: {speed:.1f} frames/s, {cpu_ms:.1f} CPU ms each",
                    flush=True,
                )
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
