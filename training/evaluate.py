"""mAP50 of any ONNX in the YOLOv8 layout: `python -m training.evaluate MODEL.onnx --data FOLDER`.

Runs `val.tar`, and `val-2.tar` where it is there, against their labels, each picture letterboxed to
`--size`, in OpenVINO.  The labels of pictures called auto-* are a teacher's: a set that holds some
is given without them, too.  Classes are matched by the names in the file's metadata, so a COCO
model can be compared; its other classes are left out.  AP: IoU 0.5, 101-point interpolation, mean
over the classes.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.augment import letterbox
from training.data import CLASS_NAMES, Sample, read_shards
from training.metrics import AveragePrecision, suppress

Predict = Callable[[np.ndarray], np.ndarray]
"""u8 (B, H, W, 3) RGB -> (B, 4 + classes, N): cx, cy, w, h in input pixels, then scores."""


def measure(predict: Predict, samples: list[Sample], size: tuple[int, int]) -> AveragePrecision:
    """Every picture through `predict`, its boxes against people's labels in picture pixels."""
    metric = AveragePrecision(len(CLASS_NAMES))
    for start in range(0, len(samples), 16):
        part = samples[start : start + 16]
        views = [letterbox(sample, size) for sample in part]
        outputs = predict(np.stack([view.image for view in views]))
        for sample, view, output in zip(part, views, outputs, strict=True):
            centre, half = output[:2].T, output[2:4].T / 2
            xyxy = np.concatenate([centre - half, centre + half], 1)
            people = sample.by_people
            metric.add(
                suppress((xyxy - np.tile(view.shift, 2)) / view.scale, output[4:].T),
                sample.xyxy[people],
                sample.class_id[people],
            )
    return metric


def openvino_predict(path: Path, precision: str) -> tuple[Predict, tuple[str, ...]]:
    """The model as a function, its class rows reduced to CLASS_NAMES, and the names it has."""
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    names = ast.literal_eval(model.get_rt_info(["framework", "names"]).astype(str))
    rows = [index for name in CLASS_NAMES for index, known in names.items() if known == name]
    if len(rows) != len(CLASS_NAMES):
        raise SystemExit(f"{path}: lacks one of the classes {', '.join(CLASS_NAMES)}")
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    columns = [0, 1, 2, 3, *(4 + row for row in rows)]

    def predict(images: np.ndarray) -> np.ndarray:
        batch = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
        return compiled(np.ascontiguousarray(batch))[0][:, columns]

    return predict, tuple(names.values())


def validation_sets(folder: Path) -> dict[str, list[Sample]]:
    """The pictures of every `val*.tar`, by file name; FileNotFoundError where there is none."""
    paths = sorted(folder.glob("val*.tar"), key=lambda path: path.stem)
    if not paths:
        raise FileNotFoundError(f"{folder}: no val.tar")
    sets = {}
    for path in paths:
        samples = read_shards([path])
        sets[path.stem] = samples
        by_people = [sample for sample in samples if not sample.name.startswith("auto-")]
        if len(by_people) < len(samples):
            sets[f"{path.stem} by people"] = by_people
    return sets


def table(columns: dict[str, AveragePrecision]) -> str:
    """AP per class and the mean, a column for each set, labels in brackets."""
    lines = [" " * 12 + "".join(f"{name:>20s}" for name in columns)]
    results = [metric.result() for metric in columns.values()]
    for index, name in enumerate(CLASS_NAMES):
        cells = [
            f"{result[index]:.3f} ({metric.labels[index]:4d})"
            for result, metric in zip(results, columns.values(), strict=True)
        ]
        lines.append(f"{name:12s}" + "".join(f"{cell:>20s}" for cell in cells))
    means = "".join(f"{np.nanmean(result):13.4f}       " for result in results)
    return "\n".join([*lines, f"{'mAP50':12s}{means}".rstrip()])


def main() -> None:
    """Print AP per class and set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with val.tar, val-2.tar")
    parser.add_argument(
        "--size", type=int, nargs="+", default=[416], help="letterbox to SIZE x SIZE; several"
    )
    parser.add_argument("--precision", default="bf16", choices=("bf16", "f32"))
    options = parser.parse_args()
    predict, _ = openvino_predict(options.model, options.precision)
    sets = validation_sets(options.data)
    for size in options.size:
        columns = {name: measure(predict, part, (size, size)) for name, part in sets.items()}
        print(f"{options.model.name} at {size}, {options.precision}\n{table(columns)}", flush=True)


if __name__ == "__main__":
    main()
