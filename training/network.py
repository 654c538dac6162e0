"""The built-in detector: a shortened EfficientNet-Lite0, a small two-way feature pyramid, one head.

Backbone: EfficientNet-Lite0 (Tan and Le 2019, the "lite" variant of tensorflow/tpu: no
squeeze-excitation, ReLU6) without its last stage and without the last 192-channel block; features
at strides 8, 16 and 32.  Neck: top-down then bottom-up (PANet, Liu 2018) in depthwise-separable
5x5 convolutions.  Head: anchor-free as in FCOS (Tian 2019), one class branch and one box branch
per scale; a box is four softplus distances, in strides, from the cell centre to its sides.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data import CLASS_NAMES
from training.depthwise import DepthwiseConv

STRIDES = (8, 16, 32)
# (blocks, kernel, stride, expansion, channels) per stage; the pyramid reads stages 2, 4 and 5
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (3, 5, 2, 6, 192),
)
PYRAMID_STAGES = (2, 4, 5)
NECK_WIDTH = 96
PRIOR_LOGIT = -4.6  # sigmoid = 0.01: almost every cell is background at the start (RetinaNet, 2017)


def conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, act: bool = True
) -> nn.Sequential:
    """Convolution, batch norm, ReLU6; `kernel` 1 or 3."""
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), _norm(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU6(inplace=True)] if act else []))


def depthwise(channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Depthwise convolution, batch norm, ReLU6."""
    return nn.Sequential(
        DepthwiseConv(channels, kernel, stride), _norm(channels), nn.ReLU6(inplace=True)
    )


def separable(channels: int) -> nn.Sequential:
    """5x5 depthwise then 1x1, each with batch norm and ReLU6; channels stay."""
    return nn.Sequential(depthwise(channels, 5), conv(channels, channels))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)


class InvertedResidual(nn.Module):
    """MobileNetV2 block: expand 1x1, depthwise k x k, project 1x1; residual where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        middle = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.expand = conv(inputs, middle) if expansion > 1 else nn.Identity()
        self.depthwise = depthwise(middle, kernel, stride)
        self.project = conv(middle, outputs, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / stride), ceil(W / stride))."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class Backbone(nn.Module):
    """(B, 3, H, W) normalised -> features of 40, 112 and 192 channels at strides 8, 16, 32.

    `frozen` leading blocks and the stem keep their weights and batch statistics.
    """

    def __init__(self, frozen: int = 3) -> None:
        super().__init__()
        self.frozen = frozen
        self.stem = conv(3, 32, 3, 2)
        blocks, ends, channels = [], [], 32
        for count, kernel, stride, expansion, outputs in STAGES:
            for index in range(count):
                blocks.append(
                    InvertedResidual(
                        channels, outputs, kernel, stride if index == 0 else 1, expansion
                    )
                )
                channels = outputs
            ends.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)
        self.taps = tuple(ends[i] for i in PYRAMID_STAGES)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features as the class says."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            x = self._prefix(x)
        features = []
        for index in range(self.frozen, len(self.blocks)):
            x = self.blocks[index](x)
            if index in self.taps:
                features.append(x)
        return features

    def _prefix(self, x: Tensor) -> Tensor:
        """Stem and frozen blocks; in training four pictures at a time, so that cache holds them."""

        def run(part: Tensor) -> Tensor:
            part = self.stem(part)
            for block in self.blocks[: self.frozen]:
                part = block(part)
            return part

        if not (self.training and self.frozen):
            return run(x)
        return torch.cat([run(part) for part in x.split(4)]).contiguous(
            memory_format=torch.channels_last
        )

    def train(self, mode: bool = True) -> Backbone:
        """As nn.Module.train, but frozen parts stay in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.stem.eval()
            for block in self.blocks[: self.frozen]:
                block.eval()
        return self


class Detector(nn.Module):
    """RGB in 0..1, sides multiples of 32 -> class logits, distances and cell centres.

    Returns `logits` (B, C, N), `sides` (B, 4, N): left, top, right, bottom distances from the cell
    centre, and `centres` (2, N): x and y, both in input pixels.  N = H*W * (1/64 + 1/256 + 1/1024),
    scales in the order of STRIDES, rows first.
    """

    def __init__(self, classes: int = len(CLASS_NAMES), width: int = NECK_WIDTH, frozen: int = 3):
        super().__init__()
        self.backbone = Backbone(frozen)
        self.lateral = nn.ModuleList(conv(STAGES[stage][4], width) for stage in PYRAMID_STAGES)
        self.top_down = nn.ModuleList(separable(width) for _ in range(2))
        self.down = nn.ModuleList(depthwise(width, 3, 2) for _ in range(2))
        self.bottom_up = nn.ModuleList(separable(width) for _ in range(2))
        self.class_branch = nn.ModuleList(separable(width) for _ in STRIDES)
        self.box_branch = nn.ModuleList(separable(width) for _ in STRIDES)
        self.class_out = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in STRIDES)
        self.box_out = nn.ModuleList(nn.Conv2d(width, 4, 1) for _ in STRIDES)
        for layer in self.class_out:
            nn.init.constant_(layer.bias, PRIOR_LOGIT)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, sides and centres as the class says."""
        features = self.pyramid((images * 255.0 - 127.0) / 128.0)
        logits, sides, centres = [], [], []
        for level, (stride, feature) in enumerate(zip(STRIDES, features, strict=True)):
            logits.append(self.class_out[level](self.class_branch[level](feature)).flatten(2))
            distance = self.box_out[level](self.box_branch[level](feature))
            sides.append(functional.softplus(distance.float()).flatten(2) * stride)
            centres.append(cell_centres(feature, stride))
        return torch.cat(logits, 2).float(), torch.cat(sides, 2), torch.cat(centres, 1)

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Normalised pictures -> three feature maps of `width` channels, strides 8, 16, 32."""
        fine, middle, coarse = (
            lateral(f) for lateral, f in zip(self.lateral, self.backbone(x), strict=True)
        )
        middle = self.top_down[0](middle + functional.interpolate(coarse, scale_factor=2.0))
        fine = self.top_down[1](fine + functional.interpolate(middle, scale_factor=2.0))
        middle = self.bottom_up[0](middle + self.down[0](fine))
        coarse = self.bottom_up[1](coarse + self.down[1](middle))
        return [fine, middle, coarse]


def cell_centres(feature: Tensor, stride: int) -> Tensor:
    """(2, h * w) x and y of the cell centres of a feature map, in input pixels, rows first."""
    height, width = feature.shape[2:]
    ys = (torch.arange(height, device=feature.device) + 0.5) * stride
    xs = (torch.arange(width, device=feature.device) + 0.5) * stride
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([grid_x, grid_y]).flatten(1)


def to_xyxy(sides: Tensor, centres: Tensor) -> Tensor:
    """Distances (B, 4, N) and centres (2, N) -> boxes (B, N, 4), x1 y1 x2 y2 in input pixels."""
    low, high = centres - sides[:, :2], centres + sides[:, 2:]
    return torch.cat([low, high], 1).transpose(1, 2)
