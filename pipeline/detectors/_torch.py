"""Runs `.pt` weights through the network that ultralytics loads, on CUDA or the CPU.

Only the network is ultralytics': pictures are prepared and answers read by this program.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from pipeline.data import Detections, Float32, Image
from pipeline.detectors._backend import Network, Settings, stage_milliseconds
from pipeline.detectors._letterbox import PADDING, Letterbox, fit, paste
from pipeline.detectors._postprocess import Postprocess
from pipeline.errors import MissingExtraError, ModelError

FRAMES_ON_CUDA, FRAMES_ON_CPU = 16, 4

_ENVIRONMENT = {
    # ultralytics looks for the internet, installs what it misses and greets, unless told not to.
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    # Since 8.4 it can refuse pickles that hold anything but a network. Set this to false for
    # weights of your own making that are refused.
    "ULTRALYTICS_SAFE_LOAD": "true",
}

_ZIP = b"PK\x03\x04"

_LOAD_ERRORS = (
    AttributeError,
    EOFError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


class TorchBackend:
    """Runs `.pt` weights; batches hold pictures that fill the same input size."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._canvases: dict[tuple[int, int], Image] = {}
        self._model: Any = None
        self.batch_size = settings.batch or FRAMES_ON_CPU
        self.stage_ms: Mapping[str, float] = {}

    def read(self) -> Network:
        """Read the weights; raises ModelError, or MissingExtraError without ultralytics."""
        path = self._settings.path
        self._torch, _ = _import_libraries()
        self._device = self._choose_device()
        self._half = self._choose_half()
        if self._settings.batch is None and self._device.type == "cuda":
            self.batch_size = 1 if self._settings.prefer_latency else FRAMES_ON_CUDA
        yolo = load_yolo(path)
        model = yolo.model.eval().fuse(verbose=False).requires_grad_(False)
        self._stride = max(int(model.stride.max()), 32)
        self._model = model.to(self._device, memory_format=self._torch.channels_last)
        if self._half:
            self._model.half()
        side = -(-self._settings.imgsz // self._stride) * self._stride
        self._target = (side, side)
        shape = self._run(np.zeros((1, *self._target, 3), np.uint8)).shape
        end2end = bool(getattr(model, "end2end", False))
        return Network(self._target, tuple(shape), dict(model.names), end2end)

    def start(self, postprocess: Postprocess) -> None:
        """Take on what reads the answers."""
        self._postprocess = postprocess

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Return the detections of each picture, in order."""
        before = after = 0.0
        answers: dict[int, Detections] = {}
        started = perf_counter()
        boxes = [fit(image.shape[:2], self._target, self._stride) for image in images]
        for size in dict.fromkeys(box.input_size for box in boxes):
            rows = [row for row, box in enumerate(boxes) if box.input_size == size]
            for first in range(0, len(rows), self.batch_size):
                batch = rows[first : first + self.batch_size]
                begun = perf_counter()
                canvas = self._paste([(images[row], boxes[row]) for row in batch], size)
                before += perf_counter() - begun
                outputs = self._run(canvas)
                begun = perf_counter()
                for row, output in zip(batch, outputs, strict=True):
                    answers[row] = self._postprocess(output, boxes[row])
                after += perf_counter() - begun
        took = perf_counter() - started
        self.stage_ms = stage_milliseconds(len(images), took, before, after)
        return [answers[row] for row in range(len(images))]

    def close(self) -> None:
        """Release the network; safe to call twice."""
        self._model = None
        self._canvases.clear()

    def _paste(self, pictures: Sequence[tuple[Image, Letterbox]], size: tuple[int, int]) -> Image:
        """Return u8[len(pictures), *size, 3], in memory that the next call uses again."""
        canvas = self._canvases.get(size)
        if canvas is None:
            canvas = self._canvases[size] = np.empty((self.batch_size, *size, 3), np.uint8)
        for place, (image, box) in zip(canvas, pictures, strict=False):
            if box.scaled_size != size:
                place.fill(PADDING)
            paste(image, box, place)
        return canvas[: len(pictures)]

    def _run(self, canvas: Image) -> Float32:
        """Return the network's output f32[N, rows, columns] for u8[N, height, width, 3] BGR."""
        torch = self._torch
        with torch.inference_mode():
            # Seen as NCHW the memory of NHWC pictures is channels-last already.
            batch = torch.from_numpy(canvas).to(self._device).permute(0, 3, 1, 2).flip(1)
            batch = batch.half() if self._half else batch.float()
            output = self._model(batch.div_(255).contiguous(memory_format=torch.channels_last))
            if isinstance(output, list | tuple):
                output = output[0]
            array: Float32 = output.float().cpu().numpy()
        return array

    def _choose_device(self) -> Any:
        wanted = self._settings.device
        cuda = self._torch.cuda
        count = cuda.device_count() if cuda.is_available() else 0
        if wanted == "auto":
            wanted = "cuda:0" if count else "cpu"
        index = int(wanted.partition(":")[2] or 0)
        if wanted.startswith("cuda") and index >= count:
            raise ModelError(
                f"device: no {wanted}: torch sees {count} CUDA devices; cpu is allowed"
            )
        return self._torch.device(wanted)

    def _choose_half(self) -> bool:
        on_cuda = self._device.type == "cuda"
        allowed = ("auto", "fp32", "fp16") if on_cuda else ("auto", "fp32")
        precision = self._settings.precision
        if precision not in allowed:
            raise ModelError(
                f"precision: .pt weights on {self._device}, got {precision!r}; "
                f"allowed are {', '.join(allowed)}"
            )
        return on_cuda and precision != "fp32"


def _import_libraries() -> tuple[Any, Any]:
    """Return torch and ultralytics, imported quietly."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import torch
        import ultralytics
    except ImportError as error:
        raise MissingExtraError(
            f"model: .pt weights need {error.name}: pip install trackline[ultralytics]"
        ) from error
    return torch, ultralytics


def load_yolo(path: Path) -> Any:
    """Return a file that detects as an ultralytics.YOLO; raises ModelError or MissingExtraError."""
    _, ultralytics = _import_libraries()
    yolo = _load(ultralytics, path)
    if yolo.task != "detect":
        raise ModelError(f"model: {path} is for task {yolo.task!r}, want 'detect'")
    return yolo


def _load(ultralytics: Any, path: Path) -> Any:
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            # Unpickled all the same, random bytes can do and raise anything.
            raise ModelError(
                f"model: {path} is not a file that torch.save of torch 1.6 or later made"
            )
    try:
        return ultralytics.YOLO(path)
    except _LOAD_ERRORS as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"model: ultralytics cannot load {path}: {reason[0]}") from error
