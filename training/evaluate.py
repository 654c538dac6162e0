"""mAP50 of any ONNX in the YOLOv8 layout: `python -m training.evaluate MODEL.onnx --data FOLDER`.

Runs `val.tar` against people's labels, each picture letterboxed to `--size`, in OpenVINO.  Classes
are matched by the names in the file's metadata, so a COCO model can be compared; its other classes
are left out.  AP: IoU 0.5, 101-point interpolation, mean over the classes.
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


def report(metric: AveragePrecision) -> str:
    """One line per class and the mean."""
    result = metric.result()
    lines = [
        f"{name:12s} {ap:.3f}  ({count} labels)"
        for name, ap, count in zip(CLASS_NAMES, result, metric.labels, strict=True)
    ]
    return "\n".join([*lines, f"{'mAP50':12s} {np.nanmean(result):.3f}"])


def main() -> None:
    """Print AP per class."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with val.tar")
    parser.add_argument("--size", type=int, default=416, help="letterbox to SIZE x SIZE")
    parser.add_argument("--precision", default="bf16", choices=("bf16", "f32"))
    options = parser.parse_args()
    predict, _ = openvino_predict(options.model, options.precision)
    metric = measure(predict, read_shards([options.data / "val.tar"]), (options.size, options.size))
    print(f"{options.model.name} at {options.size}, {options.precision}\n{report(metric)}")


if __name__ == "__main__":
    main()
