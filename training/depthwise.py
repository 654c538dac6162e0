"""A depthwise convolution whose backward pass is fast in bfloat16 on a CPU.

oneDNN has no good bfloat16 kernel for two of the three gradients of a depthwise convolution: the
weight gradient of 5x5 kernels and the input gradient at stride 2 take ten times as long as the
forward pass and together were 60 % of a training step.  Both have an equal that is fast:

* the 5x5 weight gradient is made of four 3x3 weight gradients taken at shifted inputs (their
  common row and column agree, so overwriting one with the other is exact),
* the input gradient at stride 2 is taken in float32,
* the input gradient at stride 1 is the convolution with the flipped kernel.

In evaluation, in float32 and while exporting, this is an ordinary `conv2d`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_backward = torch.ops.aten.convolution_backward
_LAYOUT = torch.channels_last


class DepthwiseConv(nn.Conv2d):
    """Depthwise `k x k` convolution, "same" padding, no bias; state names equal nn.Conv2d's."""

    def __init__(self, channels: int, kernel: int, stride: int = 1) -> None:
        if kernel not in (3, 5):
            raise ValueError(f"kernel {kernel}: only 3 and 5 are supported")
        super().__init__(
            channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H / stride), ceil(W / stride))."""
        if torch.is_grad_enabled() and self.training and torch.is_autocast_enabled("cpu"):
            return _Bfloat16Depthwise.apply(x, self.weight, self.stride[0])
        return super().forward(x)


class _Bfloat16Depthwise(torch.autograd.Function):
    """The convolution in bfloat16 with the gradients described at the top of this file."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        x, small = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(x, small)
        ctx.stride = stride
        return functional.conv2d(x, small, None, stride, weight.shape[2] // 2, 1, weight.shape[0])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=_LAYOUT)
        grad_x = _input_gradient(grad, x, weight, ctx.stride) if ctx.needs_input_grad[0] else None
        grad_w = _weight_gradient(grad, x, weight, ctx.stride) if ctx.needs_input_grad[1] else None
        return grad_x, grad_w, None


def _input_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Gradient by `x`: bfloat16, the shape of `x`."""
    channels, _, kernel, _ = weight.shape
    pad = kernel // 2
    if stride == 1:
        return functional.conv2d(grad, weight.flip(2, 3), None, 1, pad, 1, channels)
    full = _backward(
        grad.float(),
        x.float(),
        weight.float(),
        None,
        [stride] * 2,
        [pad] * 2,
        [1, 1],
        False,
        [0, 0],
        channels,
        [True, False, False],
    )
    return full[0].bfloat16()


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Gradient by `weight`: float32, (C, 1, k, k)."""
    if weight.shape[2] == 3:
        return _weight_gradient_3x3(grad, x, weight, stride, pad=1).float()
    padded = functional.pad(x, [2, 2, 2, 2])
    height = (grad.shape[2] - 1) * stride + 3
    width = (grad.shape[3] - 1) * stride + 3
    corner = weight[:, :, :3, :3].contiguous(memory_format=_LAYOUT)
    out = torch.empty(weight.shape, dtype=torch.float32)
    for i in (0, 2):
        for j in (0, 2):
            part = padded[:, :, i : i + height, j : j + width].contiguous(memory_format=_LAYOUT)
            out[:, :, i : i + 3, j : j + 3] = _weight_gradient_3x3(
                grad, part, corner, stride, pad=0
            )
    return out


def _weight_gradient_3x3(grad: Tensor, x: Tensor, weight: Tensor, stride: int, pad: int) -> Tensor:
    return _backward(
        grad,
        x,
        weight,
        None,
        [stride] * 2,
        [pad] * 2,
        [1, 1],
        False,
        [0, 0],
        weight.shape[0],
        [False, True, False],
    )[1]
