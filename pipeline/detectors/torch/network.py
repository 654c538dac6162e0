"""Network of `.pt` weights on a torch device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.detectors.common.backend import Network
from pipeline.detectors.torch.weights import grid_of, keep_boxes_exact, load_network
from pipeline.models.metadata import read_metadata

Tensor = Any
STRIDE = 32


class UltralyticsNetwork:
    """A `TensorNetwork` (see batch_slot) that ultralytics loaded."""

    fixed_batch: int | None = None
    fixed_size: tuple[int, int] | None = None

    def __init__(self, path: Path, device: Any, *, half: bool) -> None:
        model = load_network(path)
        self.stride = max(int(model.stride.max()), STRIDE)
        self.imgsz = _trained_size(model)
        self.dtype = torch.float16 if half else torch.float32
        self._model = model.to(device, memory_format=torch.channels_last)
        if half:
            self._model.half()
            keep_boxes_exact(self._model)
        self._device = device

    def describe(self, size: tuple[int, int]) -> Network:
        """Return what the weights say, and the shape of the output for input of `size`."""
        memory = torch.zeros((1, *size, 3), dtype=self.dtype, device=self._device)
        with torch.inference_mode():
            shape = tuple(self(memory.permute(0, 3, 1, 2)).shape)
        end2end = bool(getattr(self._model, "end2end", False))
        return Network(size, shape, dict(self._model.names), end2end)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return the output [B,rows,columns] for [B,3,H,W] RGB 0..1, channels-last."""
        output = self._model(pictures)
        return output[0] if isinstance(output, list | tuple) else output

    def kept(self) -> tuple[Any, ...]:
        """Return the head's grid: see `grid_of`."""
        return grid_of(self._model)


def _trained_size(model: Any) -> int | None:
    """Return the longest side that the weights were trained at, None where they do not say."""
    args = getattr(model, "args", None)
    values = args if isinstance(args, Mapping) else getattr(args, "__dict__", {})
    return read_metadata({"imgsz": values.get("imgsz")}).longest_side
