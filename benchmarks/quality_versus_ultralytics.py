"""Trackline's tracks beside those of ultralytics' `track`: the same clip, weights and exact truth.

    python benchmarks/quality_versus_ultralytics.py MODEL.onnx [--ultralytics-python PATH]
        [--openvino-export FOLDER] [--video samples/street.mp4 --truth samples/street_gt.txt]

Both sides run with their defaults (their own tracker, own least score, own precision), told only
which classes to look for: persons, then motor vehicles, which is what the truth of the sample clip
knows. `trackline run --save mot` writes one file, the boxes with an id in ultralytics' results
become another, and pipeline.evaluation scores both by MOTChallenge's rules: every box of the truth
counts, hidden or not, unless --min-visibility says otherwise. Car, bus and truck are one class, so
what a vehicle is called does not matter, only that it keeps its id. Needs the extra `eval`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRUTH = ROOT / "samples" / "street_gt.txt"
GROUPS = {"persons": (1, ("person",)), "vehicles": (3, ("car", "bus", "truck"))}
"""The class in the truth and what the network calls it."""
FIGURES = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW")


def main() -> int:
    """Run every side, print the table and return the exit code."""
    given = _arguments()
    if given.worker:
        _their_rows(given.video, str(given.model), given.worker.split(","), given.output)
        return 0
    from pipeline.archive.tracks import load_tracks
    from pipeline.tools.evaluate.scoring import COMBINED, score
    from pipeline.tools.evaluate.tracks import rows_to_score
    from pipeline.tools.evaluate.truth import load_truth

    print(f"{given.video.name}, {given.model.name}; every box of visibility", end=" ")
    print(f"{given.min_visibility} and more counts\n")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for group, (number, names) in GROUPS.items():
            written = write_truth(
                given.video, number, folder / group, given.truth, given.min_visibility
            )
            truths = load_truth(written, "mot")
            print(f"{group:32}", *(f"{figure:>7}" for figure in FIGURES))
            for side, rows in _runs(given, names, folder / group).items():
                found = score(truths, rows_to_score(load_tracks(rows, "tracks.csv"), "mot"))[
                    COMBINED
                ]
                print(f"  {side:30}", *(f"{found[f]:7.1f}" for f in FIGURES), flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=lambda text: Path(text).resolve())
    parser.add_argument("--video", type=Path, default=ROOT / "samples" / "street.mp4")
    parser.add_argument("--truth", type=Path, default=TRUTH)
    parser.add_argument("--min-visibility", type=float, default=0.0)
    parser.add_argument(
        "--ultralytics-python",
        default=sys.executable,
        help="a Python that has ultralytics (and onnxruntime for .onnx); default: this one",
    )
    parser.add_argument("--openvino-export", type=Path, help="a folder that their export wrote")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="another row of ours with such options of `trackline run`; several with spaces",
    )  # fmt: skip
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_truth(
    video: Path,
    number: int,
    folder: Path,
    truth: Path = TRUTH,
    min_visibility: float = 0.0,
) -> Path:
    """Return a folder with the truth about one class, which is called 1 as MOTChallenge does."""
    name = video.stem
    rows = [line.split(",") for line in truth.read_text("utf-8").splitlines() if line]
    length = max(int(row[0]) for row in rows)
    (folder / name / "gt").mkdir(parents=True)
    lines = [
        ",".join((*row[:6], str(int(float(row[8]) >= min_visibility)), "1", row[8]))
        for row in rows
        if int(row[7]) == number
    ]
    (folder / name / "gt" / "gt.txt").write_text("\n".join(lines) + "\n", "utf-8")
    info = f"[Sequence]\nname={name}\nseqLength={length}\nframeRate=25\n"
    (folder / name / "seqinfo.ini").write_text(info, "utf-8")
    return folder


def _runs(given: argparse.Namespace, names: tuple[str, ...], folder: Path) -> dict[str, Path]:
    """Return a file of MOTChallenge rows by side."""
    rows = {}
    for options in ([], *(text.split() for text in given.set)):
        out = folder / f"ours{len(rows)}"
        command = [sys.executable, "-m", "pipeline", "run", str(given.video), "--save", "mot"]
        command += ["--model", str(given.model), "--output", str(out)]
        for option in (f"detector.classes=[{','.join(names)}]", *options):
            command += ["--set", option]
        _run(command)
        rows[" ".join(["trackline", *options])] = out / f"{given.video.stem}.txt"
    theirs = {"ultralytics, .onnx": given.model, "ultralytics, OpenVINO": given.openvino_export}
    for side, model in theirs.items():
        if model:
            out = folder / f"theirs{len(rows)}" / f"{given.video.stem}.txt"
            command = [given.ultralytics_python, str(Path(__file__).resolve()), str(model)]
            command += ["--video", str(given.video.resolve()), "--worker", ",".join(names)]
            _run([*command, "--output", str(out)])
            rows[side] = out
    return rows


def _run(command: list[str]) -> None:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    quiet = {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
    done = subprocess.run(
        command,
        env={**os.environ, **quiet, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed with exit code {done.returncode}:\n{done.stderr}")


def _their_rows(video: Path, model: str, names: list[str], output: Path) -> None:
    """In a process of its own: write what ultralytics tracks as MOTChallenge rows."""
    import _torchvision_operators

    _torchvision_operators.import_torchvision()
    import ultralytics

    network = ultralytics.YOLO(model, task="detect")
    numbers = [number for number, name in network.names.items() if name in names]
    tracked = network.track(
        str(video), stream=True, persist=True, verbose=False, device="cpu", classes=numbers
    )
    output.parent.mkdir()
    with output.open("w", encoding="utf-8") as file:
        for number, result in enumerate(tracked, 1):
            boxes = result.boxes
            if boxes.id is None:
                continue  # nothing is tracked: these are bare detections
            for track_id, (x1, y1, x2, y2), score in zip(
                boxes.id.int().tolist(), boxes.xyxy.tolist(), boxes.conf.tolist(), strict=True
            ):
                size = f"{x2 - x1:.2f},{y2 - y1:.2f}"
                file.write(f"{number},{track_id},{x1:.2f},{y1:.2f},{size},{score:.4f},-1,-1,-1\n")


if __name__ == "__main__":
    raise SystemExit(main())
