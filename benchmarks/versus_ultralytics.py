"""Trackline beside ultralytics' `track`: the same clip and weights, in turn, in one run.

    python benchmarks/versus_ultralytics.py VIDEO MODEL.onnx [--ultralytics-python PATH]
        [--openvino-export FOLDER] [--busy N]

With FOLDER, an OpenVINO export that ultralytics made of the same weights, they run that too, saving
video. `--busy N` lets N processes that do nothing but count take processor time meanwhile.

Each measurement is a process of its own. Time counts from the call to the last result, so loading
the weights is in it and importing libraries is not, whoever imports them late. Both sides run once
before, as on a machine in use: what is kept from one run to the next is there. Each side keeps its
defaults: its own tracker, its own video format, and for `.onnx` on the CPU bfloat16 in OpenVINO
where the processor has it (`--precision fp32` to compare like with like) against float32 in ONNX
Runtime.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS, THEIRS = "trackline", "ultralytics"


def main() -> int:
    """Measure, print a table and return the exit code."""
    arguments = _arguments()
    if arguments.worker:
        print(json.dumps(_work(arguments)))
        return 0
    print(f"{_machine()}; {arguments.video.name}, {arguments.model.name}")
    print(f"median of {arguments.repeats} (range); one after the other, in turn\n")
    print(f"{'':28}{OURS:>22}{THEIRS:>22}{'ratio':>20}")
    settings = [("track", False, arguments.ultralytics_model or arguments.model)]
    settings.append(("track, save video", True, settings[0][2]))
    if arguments.openvino_export:
        settings.append(("save, their OpenVINO", True, arguments.openvino_export))
    brief = argparse.Namespace(**{**vars(arguments), "max_frames": 8})
    for _, save, theirs in settings:
        _round(brief, save, theirs)
    with _busy(arguments.busy):
        for title, save, theirs in settings:
            rounds = [_round(arguments, save, theirs) for _ in range(arguments.repeats)]
            _print_row(f"{title}, fps", rounds, lambda one: one["frames"] / one["seconds"])
            _print_row(f"{title}, CPU ms", rounds, lambda one: one["cpu_s"] / one["frames"] * 1e3)
            _print_row(f"{title}, MB", rounds, lambda one: one["peak_mb"])
    return 0


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Keep `count` processors busy for as long as the block takes."""
    spin = [sys.executable, "-c", "while True: pass"]
    spinning = [subprocess.Popen(spin) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=lambda text: Path(text).resolve())
    parser.add_argument("model", type=lambda text: Path(text).resolve())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--max-frames", type=int, help="stop both after this many frames")
    parser.add_argument("--precision", default="auto", help="this program's; theirs is float32")
    parser.add_argument(
        "--ultralytics-python",
        default=sys.executable,
        help="a Python that has ultralytics (and onnxruntime for .onnx); default: this one",
    )
    parser.add_argument("--ultralytics-model", help="other weights for them, e.g. their own export")
    parser.add_argument("--openvino-export", help="a folder that their export wrote")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="N processes that spin")
    parser.add_argument("--worker", choices=[OURS, THEIRS], help=argparse.SUPPRESS)
    parser.add_argument("--save", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for path in (arguments.video, arguments.model):
        if not path.exists():
            parser.error(f"no such file: {path}")
    return arguments


def _round(
    arguments: argparse.Namespace, save: bool, their_model: str | Path
) -> dict[str, dict[str, float]]:
    """Return what each side needed, measured one right after the other."""
    theirs = Path(their_model).resolve()
    return {
        OURS: _measure(arguments, OURS, sys.executable, arguments.model, save),
        THEIRS: _measure(arguments, THEIRS, arguments.ultralytics_python, theirs, save),
    }


def _measure(
    arguments: argparse.Namespace, side: str, python: str, model: Path, save: bool
) -> dict[str, float]:
    """Return frames, seconds and peak_mb of one process that does the job in an empty folder."""
    command = [python, str(Path(__file__).resolve()), str(arguments.video), str(model)]
    command += ["--worker", side, "--precision", arguments.precision]
    command += ["--save"] if save else []
    command += ["--max-frames", str(arguments.max_frames)] if arguments.max_frames else []
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    quiet = {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **quiet, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{side} failed with exit code {done.returncode}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _work(arguments: argparse.Namespace) -> dict[str, float]:
    """In the process that is measured: do the job and say what it took."""
    import resource  # not on Windows

    job = _ours if arguments.worker == OURS else _theirs
    start = job(arguments)
    started, cpu_started = time.perf_counter(), time.process_time()
    frames = sum(1 for _ in start())
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "frames": frames,
        "seconds": seconds,
        "cpu_s": time.process_time() - cpu_started,
        "peak_mb": peak / (1e6 if sys.platform == "darwin" else 1e3),
    }


def _ours(arguments: argparse.Namespace) -> Callable[[], Iterable[object]]:
    import av  # noqa: F401 - or it is imported once the clock runs
    import cv2  # noqa: F401

    import pipeline
    from pipeline.models.openvino_library import import_openvino

    import_openvino()

    detector = {"model": str(arguments.model), "precision": arguments.precision}
    if not arguments.save:
        return lambda: pipeline.track(arguments.video, max_frames=arguments.max_frames, **detector)
    config = {
        "sources": [str(arguments.video)],
        "detector": {"kind": "yolo", **detector},
        "sinks": ["video"],
        "run": {"output": "out", "max_frames": arguments.max_frames},
    }

    def run() -> Iterable[object]:
        report = pipeline.run(config)
        return range(sum(source["delivered"] for source in report["sources"].values()))

    return run


def _theirs(arguments: argparse.Namespace) -> Callable[[], Iterable[object]]:
    import _torchvision_stand_in

    _torchvision_stand_in.install_if_torchvision_fails()
    import itertools

    import ultralytics

    with suppress(ImportError):  # as the clock must not run for ours either
        import onnxruntime  # noqa: F401
    with suppress(ImportError):
        import openvino  # noqa: F401

    def run() -> Iterable[object]:
        model = ultralytics.YOLO(arguments.model, task="detect")
        results = model.track(
            str(arguments.video),
            stream=True,
            persist=True,
            verbose=False,
            device="cpu",
            save=arguments.save,
            project=os.getcwd(),
        )
        return itertools.islice(results, arguments.max_frames)

    return run


def _print_row(
    title: str,
    rounds: list[dict[str, dict[str, float]]],
    value: Callable[[dict[str, float]], float],
) -> None:
    ours, theirs = ([value(one[side]) for one in rounds] for side in (OURS, THEIRS))
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ours) / statistics.median(theirs)
    spread = f"{ratio:.2f}x ({min(ratios):.2f}..{max(ratios):.2f})"
    print(f"{title:28}{_cell(ours):>22}{_cell(theirs):>22}{spread:>22}", flush=True)


def _cell(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}..{max(values):.1f})"


def _machine() -> str:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {os.cpu_count()} cores"


if __name__ == "__main__":
    raise SystemExit(main())
