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
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from _side_by_side import OURS, THEIRS, machine_name, measured, print_row, timed


def main() -> int:
    """Measure, print a table and return the exit code."""
    arguments = _arguments()
    if arguments.worker:
        print(json.dumps(_work(arguments)))
        return 0
    print(f"{machine_name()}; {arguments.video.name}, {arguments.model.name}")
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
            print_row(f"{title}, fps", rounds, lambda one: one["frames"] / one["seconds"])
            print_row(f"{title}, CPU ms", rounds, lambda one: one["cpu_s"] / one["frames"] * 1e3)
            print_row(f"{title}, MB", rounds, lambda one: one["peak_mb"])
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
    return measured(command, side)


def _work(arguments: argparse.Namespace) -> dict[str, float]:
    """In the process that is measured: do the job and say what it took."""
    job = ours if arguments.worker == OURS else theirs
    start = job(arguments)
    return timed(start)


def ours(arguments: argparse.Namespace) -> Callable[[], Iterable[object]]:
    """Return this program's job; its libraries are imported."""
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


def theirs(arguments: argparse.Namespace) -> Callable[[], Iterable[object]]:
    """Return ultralytics' job; its libraries are imported."""
    import _torchvision_operators

    _torchvision_operators.import_torchvision()
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


if __name__ == "__main__":
    raise SystemExit(main())
