"""Batch slot of a device: reused memory for one batch, and upload, letterbox, network, download.

Decoded pictures are uploaded as they are, u8; on the device they are letterboxed, the network runs
and duplicates are suppressed; one small tensor is downloaded. The CPU waits only for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from pipeline.core.data import Detections, Image
from pipeline.core.yuv import YuvImage
from pipeline.detectors.common.letterbox import Letterbox
from pipeline.detectors.common.postprocess import Postprocess
from pipeline.detectors.torch.device import Device, Mark, Work
from pipeline.detectors.torch.letterbox import Canvas, runs_of
from pipeline.detectors.torch.postprocess import GpuPostprocess

Tensor = Any

BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""What is captured: a batch in between runs in the next larger one, at most half of it idle."""


class TensorNetwork(Protocol):
    """A network on a device: pictures [B,3,H,W] RGB 0..1 of `dtype` to an output [B,rows,columns].

    `fixed_batch` is the only batch it takes, None if it takes any. What `kept` returns must stay
    alive as long as a captured call does.
    """

    dtype: Any
    fixed_batch: int | None

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return the output; the work is queued, not done."""

    def kept(self) -> tuple[Any, ...]:
        """Return tensors besides the weights that the last call read."""


@dataclass(frozen=True, slots=True)
class SlotResources:
    """Resources that all slots of one device share."""

    device: Device
    network: TensorNetwork
    postprocess: Postprocess
    answers: GpuPostprocess
    copies: ThreadPoolExecutor | None = None


class _Prepared:
    """Canvas of one size and batch, and the work captured on it; `output` is the network's."""

    def __init__(self, resources: SlotResources, count: int, size: tuple[int, int]) -> None:
        network, answers = resources.network, resources.answers
        device = resources.device
        self.canvas = Canvas(count, size, network.dtype, device.device)

        def work() -> Tensor:
            self.output = network(self.canvas.pictures)
            return answers(self.output)

        self.run: Work = device.repeatable(work)
        self._kept = network.kept()


class BatchSlot:
    """Slot for one batch at a time, all of whose letterboxes have the same input size."""

    def __init__(self, resources: SlotResources) -> None:
        self._resources = resources
        self._prepared: dict[tuple[int, tuple[int, int]], _Prepared] = {}
        self._host_memory = self._device_memory = torch.empty(0, dtype=torch.uint8)
        self._answer: Tensor = torch.empty(0)
        self._pending: Tensor = None
        self._marks: dict[str, tuple[Mark, Mark]] = {}
        self._done: Mark | None = None

    def launch(self, images: Sequence[Image | YuvImage], boxes: Sequence[Letterbox]) -> None:
        """Copy the pictures and queue everything; the pictures may go when this returns."""
        device = self._resources.device
        self._boxes = boxes
        size = self._fill(images)
        with device.on("upload"):
            began = device.mark("upload")
            self._device_memory[:size].copy_(self._host_memory[:size], non_blocking=True)
            uploaded = device.mark("upload")
        with device.on("compute", uploaded):
            prepared = self._now = self._prepare(len(images), boxes[0].input_size)
            ready = device.mark("compute")
            self._paste(prepared.canvas)
            pasted = device.mark("compute")
            # Held until the next launch: its memory must not be used again before it is copied.
            answer = self._pending = prepared.run()
            computed = device.mark("compute")
        with device.on("download", computed):
            due = device.mark("download")
            self._receive(answer)
            self._done = device.mark("download")
        self._marks = {
            "upload": (began, uploaded),
            "letterbox": (ready, pasted),
            "network": (pasted, computed),
            "download": (due, self._done),
        }

    def wait(self) -> None:
        """Return once the batch is done."""
        assert self._done is not None
        self._done.wait()

    def answers(self) -> list[Detections]:
        """Return the detections of each picture; `wait` must be over."""
        resources = self._resources
        rows = self._answer.numpy()
        found = []
        for index, box in enumerate(self._boxes):
            one = resources.answers.unpack(rows[index], box)
            if one is None:  # too many for fixed shapes: rare, processed on the CPU
                with resources.device.on("compute"):
                    output = self._now.output[index].float().cpu().numpy()
                one = resources.postprocess(output, box)
            found.append(one)
        return found

    def drop(self) -> None:
        """Discard the batch; returns once the device is done with it."""
        self.wait()  # the device still works in the memory of the next one

    def device_ms(self) -> Mapping[str, float]:
        """Return the batch's milliseconds per step, by the device's own clock."""
        return {name: end.since(begin) for name, (begin, end) in self._marks.items()}

    def _fill(self, images: Sequence[Image | YuvImage]) -> int:
        """Copy the pictures one after the other to memory the device can read; return bytes."""
        shapes = [(*box.image_size, 3) for box in self._boxes]
        ends = np.cumsum([math.prod(shape) for shape in shapes]).tolist()
        if ends[-1] > len(self._host_memory):
            self._host_memory = self._resources.device.memory(ends[-1])
            self._device_memory = torch.empty_like(
                self._host_memory, device=self._resources.device.device
            )
        memory = self._host_memory.numpy()

        def copy(end: int, shape: tuple[int, ...], image: Image | YuvImage) -> None:
            if isinstance(image, YuvImage):
                image = image.bgr  # on as many threads as copy
            np.copyto(memory[end - math.prod(shape) : end].reshape(shape), image)

        copies: Callable[..., Any] = self._resources.copies.map if self._resources.copies else map
        for _ in copies(copy, ends, shapes, images):
            pass
        return int(ends[-1])

    def _prepare(self, count: int, size: tuple[int, int]) -> _Prepared:
        """Return a function that runs a batch of `count`; captured as a graph the first time."""
        fixed = self._resources.network.fixed_batch
        room = fixed or next((each for each in BATCH_SIZES if each >= count), count)
        prepared = self._prepared.get((room, size))
        if prepared is None:
            prepared = self._prepared[room, size] = _Prepared(self._resources, room, size)
        return prepared

    def _paste(self, canvas: Canvas) -> None:
        start = 0
        for first, end in runs_of(self._boxes):
            height, width = self._boxes[first].image_size
            size = (end - first) * height * width * 3
            pictures = self._device_memory[start : start + size].view(end - first, height, width, 3)
            canvas.paste(first, pictures, self._boxes[first])
            start += size

    def _receive(self, answer: Tensor) -> None:
        """Download the result, into memory that is reused for the next one of its shape."""
        if self._answer.shape != answer.shape:
            bytes_ = self._resources.device.memory(answer.numel() * answer.element_size())
            self._answer = bytes_.view(answer.dtype).view(answer.shape)
        self._answer.copy_(answer, non_blocking=True)
