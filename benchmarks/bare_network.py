"""Frames a second of the whole program as a share of those of the bare network on the same cores.

    python benchmarks/bare_network.py VIDEO MODEL [--frames 300] [--repeats 5] [--before CHECKOUT]

MODEL is an .onnx file or a folder of OpenVINO's, int8 for instance. The bare network is compiled by
OpenVINO as it is, for throughput, and fed one picture that is ready, over and over again; the
program reads VIDEO, tracks, and with `video` saves it. All run in turn, each in a process of its
own, and are measured from the 30th picture to the last. Prints frames a second, CPU milliseconds a
frame, both as shares (bare / program for the CPU time), and CPU milliseconds by thread. On a
machine that is not alone the share of the CPU time says more: with all cores busy both are the
same. `--before` measures another checkout in the same turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from _side_by_side import ROOT, cell, is_worker, measured
from cpu_per_stage import Threads

WARM_UP = 30
KEYS = ("fps", "cpu_ms")
BARE, TRACK, SAVE = "bare network", "track", "track, save video"


def main() -> int:
    """Measure, print the table and return the exit code."""
    given = _arguments()
    if is_worker(given, _work):
        return 0
    rows = [(BARE, BARE, ROOT)]
    for job in (TRACK, SAVE):
        rows.append((job, job, ROOT))
        if given.before:
            rows.append((f"{job}, before", job, given.before))
    rounds = [
        {title: _measure(given, job, checkout) for title, job, checkout in rows}
        for _ in range(given.repeats)
    ]
    _print(rounds)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=lambda text: Path(text).resolve())
    parser.add_argument("model", type=lambda text: Path(text).resolve())
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--before", type=lambda text: Path(text).resolve(), metavar="CHECKOUT")
    parser.add_argument("--worker", choices=[BARE, TRACK, SAVE], help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(given: argparse.Namespace, job: str, checkout: Path) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), str(given.video), str(given.model)]
    command += ["--worker", job, "--frames", str(given.frames), "--precision", given.precision]
    found: dict[str, Any] = measured(command, job, checkout)
    return found


def _work(given: argparse.Namespace) -> dict[str, Any]:
    """In the process that is measured: do the job and say what it took, without its start."""
    pictures = {BARE: _bare, TRACK: _tracked, SAVE: _saved}[given.worker](given)
    with Threads() as threads:
        for _ in range(WARM_UP):
            next(pictures)
        time.sleep(0.06)  # until the threads are looked at once more
        before, began, cpu = threads.by_name(), time.perf_counter(), time.process_time()
        frames = sum(1 for _ in pictures)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    after = threads.by_name()
    by_thread = {name: (ms - before.get(name, 0.0)) / frames for name, ms in after.items()}
    cpu_ms = cpu / frames * 1e3 - by_thread.pop("watch", 0.0)  # that is the measurement itself
    return {"fps": frames / seconds, "cpu_ms": cpu_ms, "threads": by_thread}


def _bare(given: argparse.Namespace) -> Iterator[object]:
    """Yield once for each picture that is done, in any order."""
    import av
    import numpy as np

    from pipeline.core.cpu_count import cores
    from pipeline.detectors.common.backend import Settings, square
    from pipeline.detectors.common.letterbox import fit
    from pipeline.detectors.openvino.backend import compile_options
    from pipeline.models.openvino_library import import_openvino, openvino_core, read_network
    from pipeline.models.resolve import find_weights

    path = find_weights(str(given.model))
    network = read_network(path)
    if network.is_dynamic():
        with av.open(str(given.video)) as container:
            stream = container.streams.video[0]
            shape = (stream.height, stream.width)
        network.reshape([1, 3, *fit(shape, square(640, 32), 32).input_size])
    settings = Settings(path, "cpu", None, None, given.precision, prefer_latency=False)
    compiled = openvino_core().compile_model(network, "CPU", compile_options(settings, cores()))
    queue = import_openvino().AsyncInferQueue(compiled)
    picture = np.random.default_rng(1).random(compiled.input(0).shape, np.float32)
    for request in queue:
        request.set_input_tensor(import_openvino().Tensor(picture))
    done: SimpleQueue[None] = SimpleQueue()
    queue.set_callback(lambda _request, _data: done.put(None))
    total = given.frames
    started = 0
    for n in range(total):
        while started < min(n + len(queue) + 1, total):
            queue.start_async()
            started += 1
        done.get()
        yield None


def _tracked(given: argparse.Namespace) -> Iterator[object]:
    import pipeline

    detector = {"model": str(given.model), "precision": given.precision}
    yield from pipeline.track(given.video, max_frames=given.frames, **detector)


def _saved(given: argparse.Namespace) -> Iterator[object]:
    from pipeline.config.build import build
    from pipeline.config.resolve import resolve_config
    from pipeline.config.schema import Config
    from pipeline.core.malloc import share_arenas
    from pipeline.core.options import validated

    share_arenas()
    tree = {
        "sources": [str(given.video)],
        "detector": {"model": str(given.model), "precision": given.precision},
        "sinks": ["video"],
        "run": {"output": "out", "max_frames": given.frames},
    }
    yield from build(resolve_config(validated(Config, tree, ""))).results()


def _print(rounds: list[dict[str, dict[str, Any]]]) -> None:
    """Print a line per job, then the CPU time by thread."""
    print(f"{'':26}{'fps':>22}{'of bare':>9}{'CPU ms a frame':>22}{'of bare':>9}")
    fps, cpu = ({job: [each[job][key] for each in rounds] for job in rounds[0]} for key in KEYS)
    bare_fps, bare_cpu = statistics.median(fps[BARE]), statistics.median(cpu[BARE])
    for job in rounds[0]:
        share = statistics.median(fps[job]) / bare_fps
        cpu_share = bare_cpu / statistics.median(cpu[job])
        cells = f"{cell(fps[job]):>22}{share:>9.0%}{cell(cpu[job]):>22}{cpu_share:>9.0%}"
        print(f"{job:26}{cells}", flush=True)
    for job in rounds[0]:
        names = dict.fromkeys(name for each in rounds for name in each[job]["threads"])
        ms = {n: statistics.median(r[job]["threads"].get(n, 0.0) for r in rounds) for n in names}
        ordered = sorted(ms.items(), key=lambda one: -one[1])
        print(f"{job}: " + ", ".join(f"{name} {each:.2f}" for name, each in ordered if each > 0.02))


if __name__ == "__main__":
    raise SystemExit(main())
