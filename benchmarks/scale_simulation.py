"""From a laptop to 1,000 GPUs: how long a fleet's recordings take, and what limits.

python benchmarks/scale_simulation.py [--set network_ms=2.0 ...] [--cameras 2000] [--recordings 50]
python benchmarks/scale_simulation.py --measure VIDEO   (this machine's CPU milliseconds)

Cameras of unequal length are given to places, the longest first, as `trackline batch` does; a
camera is never on two places at once. Machines are lost at random; what they had half done is done
again elsewhere. The numbers of docs/scale.md are this program's output.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path


@dataclass(frozen=True)
class Costs:
    """What one frame, one recording and one job cost; milliseconds are of one core or one GPU."""

    fps: float = 30.0
    recording_s: float = 60.0
    recording_mb: float = 60.0
    decode_ms: float = 5.0
    """Decode and convert a 1080p frame on a core."""
    network_ms: float = 18.0
    """The network on a core (yolo11n, bf16)."""
    gpu_ms: float = 1.0
    """The network on a GPU: an assumption, to be replaced by the figure of benchmarks/gpu.py."""
    track_ms: float = 3.0
    """Track, gather rows, hand on: Python, on one core."""
    open_ms: float = 40.0
    """Open a recording, start its threads."""
    commit_ms: float = 150.0
    """Encode four parts, on a core."""
    request_ms: float = 40.0
    """One request of a store: four parts, the state and the manifest are six, one by one."""
    copy_mb_s: float = 100.0
    """What a task copies from a store at most."""
    probes_at_once: float = 32.0
    """Recordings that are looked into at once at the start, three requests each."""
    list_per_s: float = 20_000.0
    """Objects a second that a listing names (1,000 a request)."""
    read_per_s: float = 800.0
    """Manifests a second that a job reads (32 requests at once)."""
    model_s: float = 8.0
    """Start a process and load the network."""
    lost_per_hour: float = 0.01
    """Losses of a machine in an hour (spot machines: 0.05 and more)."""
    notice_s: float = 30.0
    """Until a lost machine is noticed."""


@dataclass(frozen=True)
class Machines:
    """So many alike: cores, GPUs and network of one, and how many tasks a GPU has."""

    name: str
    count: int
    cores: int
    gpus: int = 0
    link_mb_s: float = 1200.0
    tasks_per_gpu: int = 4
    is_remote: bool = True
    cores_per_task: int = 4

    @property
    def places(self) -> int:
        """Return how many tasks run at once."""
        if self.gpus:
            return self.count * self.gpus * self.tasks_per_gpu
        return self.count * max(1, self.cores // self.cores_per_task)

    @property
    def cores_each(self) -> float:
        """Return a task's cores."""
        return self.cores * self.count / self.places


LADDER = (
    Machines("laptop, 2 cores", 1, 2, is_remote=False),
    Machines("workstation, 16 cores", 1, 16, is_remote=False),
    Machines("workstation, 16 cores, 1 GPU", 1, 16, 1, is_remote=False),
    Machines("server, 96 cores, 8 GPUs", 1, 96, 8),
    Machines("16 servers, 128 GPUs", 16, 96, 8),
    Machines("125 servers, 1,000 GPUs", 125, 96, 8),
)


def stages(costs: Costs, on: Machines, cameras: int) -> dict[str, float]:
    """Return the seconds that each stage needs for one recording; they run side by side."""
    frames = costs.fps * costs.recording_s
    per_machine = min(on.places, cameras) / on.count
    found = {
        # Tracking is one thread; decoding and, without a GPU, the network take the other cores.
        "track": frames * costs.track_ms / 1000,
        "cores": frames
        * (costs.decode_ms + costs.track_ms + (0 if on.gpus else costs.network_ms))
        / 1000
        / on.cores_each,
    }
    if on.gpus:
        found["GPU"] = frames * costs.gpu_ms / 1000 * max(1.0, per_machine / on.gpus)
    if on.is_remote:
        found["network"] = costs.recording_mb / min(
            costs.copy_mb_s, on.link_mb_s / max(1.0, per_machine)
        )
    return found


def overhead_s(costs: Costs, on: Machines) -> float:
    """Return the seconds that a recording takes beside its frames: opened, committed."""
    requests = 6 * costs.request_ms if on.is_remote else 0.0
    return (costs.open_ms + costs.commit_ms + requests) / 1000


def simulate(costs: Costs, on: Machines, cameras: list[int], seed: int) -> tuple[float, float]:
    """Return (hours until all is done, share of the places' time that was used).

    `cameras` are numbers of recordings.
    """
    rng = random.Random(seed)
    each_s = max(stages(costs, on, len(cameras)).values()) + overhead_s(costs, on)
    count = sum(cameras)
    probe_s = (3 * costs.request_ms if on.is_remote else costs.open_ms) / 1000
    began = count / costs.list_per_s + count * probe_s / costs.probes_at_once
    places = [began + costs.model_s] * min(on.places, len(cameras))
    heapq.heapify(places)
    lost_per_s = costs.lost_per_hour / 3600 if on.count > 1 else 0.0
    used = 0.0
    for recordings in sorted(cameras, reverse=True):
        start = heapq.heappop(places)
        work = recordings * each_s
        losses = _poisson(rng, lost_per_s * work)
        # Half a recording is done twice; then it waits to be noticed, and for the network to load.
        end = start + work + losses * (each_s / 2 + costs.notice_s + costs.model_s)
        used += work
        heapq.heappush(places, end)
    # Its end: parts and manifests are listed and compared.
    done = max(places) + 5 * count / costs.list_per_s + count / costs.read_per_s
    return done / 3600, used / (done * on.places)


def _poisson(rng: random.Random, mean: float) -> int:
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def fleet(cameras: int, recordings: int, seed: int) -> list[int]:
    """Return how many recordings each camera has: some drive a lot more than others."""
    rng = random.Random(seed)
    drawn = [rng.lognormvariate(0, 0.5) for _ in range(cameras)]
    scale = cameras * recordings / sum(drawn)
    return [max(1, round(each * scale)) for each in drawn]


def limit(costs: Costs, on: Machines, cameras: list[int], used: float) -> str:
    """Return in words what more of would help."""
    found = stages(costs, on, len(cameras))
    worst = max(found, key=lambda name: found[name])
    if on.places > len(cameras):
        return f"cameras: {len(cameras):,} for {on.places:,} places; then {worst}"
    if used < 0.7:
        return f"the longest camera; then {worst}"
    return worst


def report(costs: Costs, cameras: list[int], seed: int) -> None:
    """Print the ladder as a table."""
    hours = sum(cameras) * costs.recording_s / 3600
    print(f"{len(cameras):,} cameras, {sum(cameras):,} recordings, {hours:,.0f} hours of video\n")
    print("| machines | places | takes | x real time | places in use | limited by |")
    print("|---|---|---|---|---|---|")
    for on in LADDER:
        took, used = simulate(costs, on, cameras, seed)
        shown = f"{took / 24:,.1f} days" if took > 48 else f"{took:.2f} h"
        print(
            f"| {on.name} | {on.places:,} | {shown} | {hours / took:,.0f} | {used:.0%} | "
            f"{limit(costs, on, cameras, used)} |"
        )
    server = LADDER[3]
    print(f"\nSeconds of one recording, {server.name} ({server.tasks_per_gpu} tasks a GPU):")
    for name, seconds in sorted(
        stages(costs, server, len(cameras)).items(), key=lambda each: -each[1]
    ):
        print(f"  {name:8} {seconds:6.1f}")
    print(f"  opened and committed {overhead_s(costs, server):.2f}")
    count = sum(cameras)
    probe_s = count * 3 * costs.request_ms / 1000 / costs.probes_at_once
    end_s = 5 * count / costs.list_per_s + count / costs.read_per_s
    print(f"Seconds of the job: looking into recordings {probe_s:.0f}, its end {end_s:.0f}")


# -- what this machine needs ----------------------------------------------------------------------

FRAMES, STEP = 200, 20


def measure(video: Path) -> Iterator[tuple[str, float]]:
    """Yield CPU milliseconds of this machine: per frame, and per recording."""
    from pipeline.archive.dataset.header import dataset_job
    from pipeline.archive.dataset.schema import Segment
    from pipeline.archive.dataset.writer import SegmentWriter
    from pipeline.config.build import make_detector, tracker_factory
    from pipeline.config.schema import Config
    from pipeline.core.data import Detections, Frame, Result
    from pipeline.sources.file import FileSource, Options, build

    config = Config()
    opened: list[FileSource] = []

    def open_it() -> None:
        opened.append(build(Options(path=video, threads=1)))
        opened[-1].open()

    yield "open_ms", least_ms(open_it, 5)
    frames: list[Frame] = []

    def read() -> None:
        for _ in range(STEP):
            frame = opened[-1].read()
            assert frame is not None, "want a video of 200 frames"
            frames.append(frame)

    yield "decode_ms", least_ms(read, FRAMES // STEP) / STEP
    detector = make_detector(config)
    names = detector.open()
    found: list[Detections] = []

    def detect() -> None:
        for frame in frames[len(found) : len(found) + STEP]:
            found.append(detector.detect([frame])[0])  # noqa: PERF401 - one by one, as a file's

    yield "network_ms", least_ms(detect, FRAMES // STEP) / STEP
    tracker = tracker_factory(config)()
    with tempfile.TemporaryDirectory() as text, dataset_job(Path(text) / "set", {}) as dataset:
        writer = SegmentWriter(dataset, Segment("a", "a", "a.mp4", "hash", 1.7e9))
        done = 0

        def track() -> None:
            nonlocal done
            for number in range(done, done + STEP):
                index, moved_s = number, number // FRAMES * 60.0
                frame, each = frames[number % FRAMES], found[number % FRAMES]
                frame = replace(frame, index=index, pts_s=frame.pts_s + moved_s)
                writer.add(Result(frame, each, tracker.update(frame, each), names))
            done += STEP

        yield "track_ms", least_ms(track, 9 * FRAMES // STEP) / STEP
        yield "commit_ms", least_ms(lambda: writer.commit({"width": 1920}), 1)


def least_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of some rounds: others on the machine only add to it."""
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        spent.append(1000 * (time.process_time() - began))
    return min(spent)


def main() -> None:
    """Print the simulation, or this machine's costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", type=Path, metavar="VIDEO")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER")
    parser.add_argument("--cameras", type=int, default=2000)
    parser.add_argument("--recordings", type=int, default=50, help="of a camera, on average")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.measure is not None:
        for name, value in measure(args.measure):
            print(f"{name:11} {value:8.2f}", flush=True)
        return
    given = dict(each.split("=", 1) for each in args.set)
    known = {each.name for each in fields(Costs)}
    if unknown := sorted(set(given) - known):
        parser.error(f"--set: no {unknown[0]} (there are: {', '.join(sorted(known))})")
    costs = replace(Costs(), **{name: float(value) for name, value in given.items()})
    report(costs, fleet(args.cameras, args.recordings, args.seed), args.seed)


if __name__ == "__main__":
    main()
