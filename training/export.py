"""Write the trained detector as one ONNX file.

    python -m training.export CHECKPOINT OUT.onnx --data FOLDER

The file is read like any YOLOv8 export: input `images` (B, 3, H, W) RGB 0..1 with sides that are
multiples of 32, output `output0` (B, 4 + classes, N) with cx, cy, w, h in input pixels and the
class scores.  Normalisation is inside, and so is the calibration of the scores on `val.tar`.  The
file is then compared with the network it came from.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from training.calibrate import Calibration, fit
from training.data import read_shards
from training.evaluate import measure, openvino_predict
from training.network import CLASS_NAMES, Detector

CHECK_SIZES = ((320, 416), (480, 640))
TOLERANCE = 1e-3  # of a score, and of a coordinate relative to the picture's size
VERSION = "1"
CALIBRATION_SIZE = (416, 416)
UNCALIBRATED = Calibration()


class YoloLayout(nn.Module):
    """The detector with its output in the layout that YOLOv8's exports have."""

    def __init__(self, network: Detector, calibration: Calibration) -> None:
        super().__init__()
        self.network = network
        self.calibration = calibration

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB 0..1 -> (B, 4 + C, N): cx, cy, w, h in input pixels, then scores."""
        logits, sides, centres = self.network(images)
        low, high = sides[:, :2], sides[:, 2:]
        calibrated = logits * self.calibration.scale + self.calibration.shift
        # Low scores stay: lowered, they would fall below the floor of whoever measures AP.
        scores = torch.maximum(logits, calibrated).sigmoid()
        return torch.cat([centres + (high - low) * 0.5, low + high, scores], 1)


def load_network(checkpoint: Path) -> Detector:
    """The averaged weights of a checkpoint, ready to run."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = Detector(frozen=0)
    network.load_state_dict(state["average"])
    return network.eval()


def export(network: Detector, path: Path, calibration: Calibration = UNCALIBRATED) -> None:
    """Write `path` with dynamic batch, height and width, and the metadata that readers look for."""
    with warnings.catch_warnings():
        # The tracing exporter is the one whose graph keeps the sizes dynamic without torch's help.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            YoloLayout(network, calibration).eval(),
            (torch.zeros(1, 3, 320, 416),),
            str(path),
            input_names=["images"],
            output_names=["output0"],
            dynamic_axes={
                "images": {0: "batch", 2: "height", 3: "width"},
                "output0": {0: "batch", 2: "cells"},
            },
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata(calibration))
    model.producer_name, model.producer_version = "trackline", VERSION
    onnx.checker.check_model(model)
    onnx.save(model, path)


def metadata(calibration: Calibration) -> dict[str, str]:
    """What the file says about itself; the first keys are the ones ultralytics writes."""
    return {
        "names": repr(dict(enumerate(CLASS_NAMES))),
        "stride": "32",
        "task": "detect",
        "imgsz": "[512, 512]",
        "license": "Apache-2.0",
        "version": VERSION,
        "author": "Trackline",
        "score_calibration": "max(x, {:.4f} * x + {:.4f}) of each logit x".format(*calibration),
        "description": "Trackline's built-in detector of people and vehicles (training/README.md)",
    }


def worst_difference(
    network: Detector, path: Path, calibration: Calibration = UNCALIBRATED
) -> float:
    """Largest difference between the file in OpenVINO at float32 and the network, over CHECK_SIZES.

    Scores as they are, coordinates relative to the longer side.
    """
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rng = np.random.default_rng(0)
    worst = 0.0
    for size in CHECK_SIZES:
        images = rng.random((2, 3, *size), np.float32)
        with torch.no_grad():
            wanted = YoloLayout(network, calibration)(torch.from_numpy(images)).numpy()
        difference = np.abs(compiled(images)[0] - wanted)
        difference[:, :4] /= max(size)
        worst = max(worst, float(difference.max()))
    return worst


def calibrate(path: Path, data: Path) -> Calibration:
    """Return what makes the scores of the file at `path` the share of right boxes on `val.tar`."""
    predict, _ = openvino_predict(path, "f32")
    return fit(measure(predict, read_shards([data / "val.tar"]), CALIBRATION_SIZE))


def check(network: Detector, path: Path, calibration: Calibration) -> str:
    """Return a line about the file; SystemExit where it differs from the network it came from."""
    worst = worst_difference(network, path, calibration)
    if worst > TOLERANCE:
        raise SystemExit(f"{path}: differs from the network by {worst:.2g}, more than {TOLERANCE}")
    size = path.stat().st_size / 1e6
    return f"{path}: {size:.1f} MB, within {worst:.1g} of the network, {calibration}"


def main() -> None:
    """Export, calibrate, compare, say how large the file is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with val.tar")
    options = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    network = load_network(options.checkpoint)
    export(network, options.out)
    calibration = calibrate(options.out, options.data)
    export(network, options.out, calibration)
    print(check(network, options.out, calibration))


if __name__ == "__main__":
    main()
