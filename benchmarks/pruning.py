"""What structured pruning does to a YOLO network without training it again.

    pip install torch-pruning ultralytics openvino     (an environment of its own)
    python benchmarks/pruning.py yolo11n.pt val.tar [--ratios 0.1,0.2,0.3] [--over-all]
        [--int8 PATH]

Removes this part of the channels of every layer, the weakest groups first (L2 norm over all that
depends on a channel; Fang et al., DepGraph, CVPR 2023; the library is torch-pruning), compiles each
network with OpenVINO and prints its parameters, the size of its file (fp16), the CPU time of one
picture on one core, in turn over all networks, and mAP50 against the people's labels of `val.tar`
as `training/evaluate.py` takes it. `--int8` adds a quantized OpenVINO network to compare with.

Layers that split their channels in two halves (C2f, C3k2) are written as two layers first, so that
each half can lose its own; attention and the last layers of the head are left alone.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
import torch_pruning
from torch import nn
from ultralytics import YOLO
from ultralytics.nn.modules import C2PSA, C2f, Conv, Detect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from training.data import CLASS_NAMES, Sample, read_shards
from training.evaluate import measure

Predict = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Prune, measure and print a line for each network."""
    arguments = _arguments()
    samples = read_shards([arguments.data])[: arguments.pictures]
    full = YOLO(arguments.model)
    names: dict[int, str] = full.names
    rows = [number for each in CLASS_NAMES for number, name in names.items() if name == each]
    columns = [0, 1, 2, 3, *(4 + row for row in rows)]
    networks: dict[str, tuple[Any, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for ratio in [0.0, *map(float, arguments.ratios.split(","))]:
            title = f"{ratio:.0%} of channels removed" if ratio else "as it is"
            pruned = _pruned(full.model, ratio, arguments.size, over_all=arguments.over_all)
            path = Path(folder, f"{ratio}.xml")
            example = torch.zeros(1, 3, arguments.size, arguments.size)
            openvino.save_model(openvino.convert_model(pruned, example_input=example), path)
            count = sum(each.numel() for each in pruned.parameters())
            size = path.with_suffix(".bin").stat().st_size
            print(f"{title}: {count / 1e6:.2f} M parameters, {size / 1e6:.2f} MB", flush=True)
            networks[title] = _compiled(path, arguments.size), size
        if arguments.int8:
            path = next(arguments.int8.glob("*.xml")) if arguments.int8.is_dir() else arguments.int8
            networks["int8"] = (
                _compiled(path, arguments.size),
                path.with_suffix(".bin").stat().st_size,
            )
        spent = _cpu_ms({title: one for title, (one, _) in networks.items()}, arguments)
        usual = spent["as it is"]
        print(f"{'':26}{'MB':>8}{'CPU ms':>10}{'of it':>8}{'mAP50':>10}")
        for title, (network, size) in networks.items():
            ratios = [one / other for one, other in zip(spent[title], usual, strict=True)]
            score = _map50(network, columns, samples, arguments.size)
            print(
                f"{title:26}{size / 1e6:8.2f}{statistics.median(spent[title]):10.1f}"
                f"{statistics.median(ratios):8.2f}{score:10.3f}",
                flush=True,
            )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("data", type=Path, help="val.tar")
    parser.add_argument("--ratios", default="0.1,0.2,0.3")
    parser.add_argument(
        "--over-all", action="store_true", help="the weakest channels of all layers, not of each"
    )
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--pictures", type=int, default=501)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--int8", type=Path, help="an OpenVINO network or its folder")
    return parser.parse_args()


class TwoHalves(nn.Module):
    """A C2f block whose first layer, which gives two halves, is one layer for each of them."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        half = block.c
        self.first, self.second = (_part(block.cv1, slice(at, at + half)) for at in (0, half))
        self.m, self.cv2 = block.m, block.cv2
        self.i, self.f, self.type = block.i, block.f, block.type

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the block returns."""
        parts = [self.first(x), self.second(x)]
        for each in self.m:
            parts.append(each(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


def _part(layer: Conv, rows: slice) -> Conv:
    """Return a layer with these channels of its output alone."""
    made = deepcopy(layer)
    for owner in (made.conv, getattr(made, "bn", None)):
        if owner is None:
            continue
        for store in (owner._parameters, owner._buffers):
            for name, value in store.items():
                if value is not None and value.ndim:
                    kept = value.detach()[rows].clone()
                    store[name] = nn.Parameter(kept) if store is owner._parameters else kept
    count = rows.stop - rows.start
    made.conv.out_channels = count
    if hasattr(made, "bn"):
        made.bn.num_features = count
    return made


def _pruned(network: Any, ratio: float, size: int, *, over_all: bool) -> nn.Module:
    """Return a network with this part of its channels removed, ready to be exported."""
    made = deepcopy(network).float().eval()
    for number, layer in enumerate(made.model):
        if isinstance(layer, C2f):
            made.model[number] = TwoHalves(layer)
    for each in made.parameters():
        each.requires_grad_(True)
    head = made.model[-1]
    if ratio:
        ignored = [each for each in made.modules() if isinstance(each, C2PSA)]
        ignored += [branch[-1] for pair in zip(head.cv2, head.cv3, strict=True) for branch in pair]
        ignored += [
            each for one in ignored for each in one.modules() if isinstance(each, nn.Conv2d)
        ]
        pruner = torch_pruning.pruner.BasePruner(
            made,
            torch.zeros(1, 3, size, size),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            global_pruning=over_all,
            ignored_layers=[*ignored, head.dfl],
        )
        pruner.step()
    assert isinstance(head, Detect)
    head.export, head.format, head.dynamic = True, "onnx", False
    made.requires_grad_(False)
    made(torch.zeros(1, 3, size, size))  # the head keeps its grid, which is exported as it is
    return made


def _compiled(path: Path, size: int) -> Any:
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape([1, 3, size, size])
    options = {"INFERENCE_NUM_THREADS": "1", "NUM_STREAMS": "1"}
    return core.compile_model(model, "CPU", {**options, "INFERENCE_PRECISION_HINT": "f32"})


def _cpu_ms(networks: dict[str, Any], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Return the CPU milliseconds of one picture, in turn, once for each round."""
    picture = np.random.default_rng(0).random((1, 3, arguments.size, arguments.size), np.float32)
    spent: dict[str, list[float]] = {title: [] for title in networks}
    for number in range(arguments.rounds + 2):
        for title, network in networks.items():
            began = time.process_time()
            for _ in range(3):
                network(picture)
            if number >= 2:  # the first rounds warm up
                spent[title].append((time.process_time() - began) / 3 * 1e3)
    return spent


def _map50(network: Any, columns: list[int], samples: list[Sample], size: int) -> float:
    def predict(images: np.ndarray) -> np.ndarray:
        pictures = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
        answers = [network(np.ascontiguousarray(each[None]))[0][:, columns] for each in pictures]
        return np.concatenate([answer.copy() for answer in answers])

    return float(np.nanmean(measure(predict, samples, (size, size)).result()))


if __name__ == "__main__":
    main()
