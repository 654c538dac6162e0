"""Torch backend: `.pt` weights and TensorRT engines on CUDA, batches overlap; `.pt` on CPU too.

Only the network is ultralytics': pictures are prepared and answers read by this program.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipeline.core.data import Detections, Float32, Image
from pipeline.core.errors import ModelError
from pipeline.core.yuv import YuvImage
from pipeline.detectors.common.backend import LayoutOverrides, Network, Settings, stage_milliseconds
from pipeline.detectors.common.letterbox import Letterbox, fit
from pipeline.detectors.common.postprocess import Postprocess
from pipeline.detectors.common.probe import RecognisedLayout, recognise
from pipeline.detectors.torch.device_choice import (
    ENGINE,
    choose_device,
    choose_half,
    current_device,
    import_torch,
)

if TYPE_CHECKING:
    from pipeline.detectors.torch.batch_slot import TensorNetwork

FRAMES_ON_CUDA, FRAMES_ON_CPU = 16, 4
BATCHES_ON_CUDA = 2
"""While one is computed the next one's pictures are uploaded: more in flight would only wait."""

COPYING_THREADS = 4
"""Threads that copy pictures to page-locked memory: one moves some 10 GB/s, a GPU up to 50."""


class AnyBatchSlot(Protocol):
    """Batch slot: one batch at a time on a device, `launch`, then `wait`, then `answers`."""

    def launch(self, images: Sequence[Image | YuvImage], boxes: Sequence[Letterbox]) -> None:
        """Begin; letterboxes all have the same input size."""

    def wait(self) -> None:
        """Return once it is done."""

    def answers(self) -> list[Detections]:
        """Return the detections of each picture."""

    def drop(self) -> None:
        """Discard the batch; the next one may be launched when this returns."""

    def device_ms(self) -> Mapping[str, float]:
        """Return milliseconds per step, measured by the device."""


@dataclass(slots=True)
class _Batch:
    """Batch in flight: its parts by input size, each in a slot with the rows it holds."""

    size: int
    parts: list[tuple[AnyBatchSlot, list[int]]] = field(default_factory=list)
    before_s: float = 0.0


class TorchBackend:
    """Backend for one network on one torch device.

    The pictures of a batch in a slot fill the same input size. Any thread may call it, one at a
    time; which device is current for that thread stays as it was.
    """

    takes_yuv = True  # see PlanesBackend

    def __init__(self, settings: Settings, *, tensors_on_cpu: bool = False) -> None:
        self._settings = settings
        self._tensors_on_cpu = tensors_on_cpu
        self._idle: list[AnyBatchSlot] = []
        self._batches: deque[_Batch] = deque()
        self._network: Any = None
        self._copy_threads: ThreadPoolExecutor | None = None
        self.batch_size = settings.batch or FRAMES_ON_CPU
        self.in_flight = 1
        self.stage_ms: Mapping[str, float] = {}
        self.device_ms: Mapping[str, float] = {}

    def read(self) -> Network:
        """Read the weights; raises ModelError, or MissingExtraError without what they need."""
        from pipeline.models.pt_files import import_libraries

        settings = self._settings
        is_engine = settings.path.suffix.lower() == ENGINE
        torch = import_torch() if is_engine else import_libraries()[0]
        self._torch = torch
        self._device = choose_device(torch, settings)
        with self._current():
            self._network = self._load(is_engine=is_engine)
        self._choose_batch()
        stride = self._network.stride
        wanted = settings.input_size(self._network.imgsz, stride)
        self._target = self._network.fixed_size or wanted
        self._stride = None if self._network.fixed_size else stride
        with self._current():
            found: Network = self._network.describe(self._target)
        self._described = found
        return found

    def recognise(self, forced: LayoutOverrides) -> RecognisedLayout:
        """Return the layout of the answer to a probe picture; raises ModelError."""
        with self._current(), self._torch.inference_mode():
            found = recognise(self._described, self._answer, forced)
        layout = found.layout
        if layout.raw_bgr or layout.pixel_max != 1:
            raise ModelError(
                f"model: {self._settings.path}: layout {layout.name} with pixels up to "
                f"{layout.pixel_max} is run from .onnx only, on the CPU"
            )
        return found

    def _answer(self, picture: Image, pixel_max: int) -> Float32:
        """Return the network's output f32[rows, columns] for u8[H,W,3] BGR."""
        network = self._network
        planes = np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)[None])
        pictures = self._torch.from_numpy(planes).to(self._device).float() * (pixel_max / 255)
        pictures = pictures.expand(network.fixed_batch or 1, -1, -1, -1).to(network.dtype)
        pictures = pictures.contiguous(memory_format=self._torch.channels_last)
        answer: Float32 = network(pictures)[0].float().cpu().numpy()
        return answer

    def start(self, postprocess: Postprocess) -> None:
        """Take on what reads the answers."""
        self._postprocess = postprocess
        if self._device.type == "cpu" and not self._tensors_on_cpu:
            self._new_slot = self._new_cpu_slot
            return
        from pipeline.detectors.torch.batch_slot import BatchSlot, SlotResources
        from pipeline.detectors.torch.device import CpuDevice, CudaDevice
        from pipeline.detectors.torch.postprocess import GpuPostprocess

        on_cuda = self._device.type == "cuda"
        if on_cuda and self.batch_size > 1:
            self._copy_threads = ThreadPoolExecutor(COPYING_THREADS, "copy pictures")
        with self._current():
            device = CudaDevice(self._device) if on_cuda else CpuDevice()
        resources = SlotResources(
            device=device,
            network=self._network,
            postprocess=postprocess,
            answers=GpuPostprocess(postprocess),
            copies=self._copy_threads,
        )
        self._new_slot = lambda: BatchSlot(resources)

    def submit(self, images: Sequence[Image | YuvImage]) -> None:
        """Submit pictures; their pixels are copied, so they may be released at once."""
        began = perf_counter()
        batch = _Batch(len(images))
        self._batches.append(batch)
        try:
            with self._current(), self._torch.inference_mode():
                self._launch(batch, images)
        except BaseException:
            self._drop_in_flight()
            raise
        batch.before_s = perf_counter() - began

    def _launch(self, batch: _Batch, images: Sequence[Image | YuvImage]) -> None:
        boxes = [fit(image.shape[:2], self._target, self._stride) for image in images]
        for size in dict.fromkeys(box.input_size for box in boxes):
            rows = [row for row, box in enumerate(boxes) if box.input_size == size]
            for first in range(0, len(rows), self.batch_size):
                part = rows[first : first + self.batch_size]
                slot = self._idle.pop() if self._idle else self._new_slot()
                slot.launch([images[row] for row in part], [boxes[row] for row in part])
                batch.parts.append((slot, part))

    def collect(self) -> list[Detections]:
        """Return the detections of each picture of the oldest batch, in order; waits for them."""
        batch = self._batches[0]
        began = perf_counter()
        found: dict[int, Detections] = {}
        waited_s = 0.0
        try:
            with self._current(), self._torch.inference_mode():
                for slot, rows in batch.parts:
                    asked = perf_counter()
                    slot.wait()
                    waited_s += perf_counter() - asked
                    found.update(zip(rows, slot.answers(), strict=True))
        except BaseException:
            self._drop_in_flight()
            raise
        self._batches.popleft()
        self._idle += [slot for slot, _ in batch.parts]
        self.device_ms = _added([slot.device_ms() for slot, _ in batch.parts])
        took_s = perf_counter() - began
        self.stage_ms = stage_milliseconds(
            max(batch.size, 1), batch.before_s + took_s, batch.before_s, took_s - waited_s
        )
        return [found[row] for row in range(batch.size)]

    def close(self) -> None:
        """Release the network; safe to call twice."""
        self._drop_in_flight()
        self._idle.clear()
        self._network = None
        if self._copy_threads is not None:
            self._copy_threads.shutdown()
            self._copy_threads = None

    def _drop_in_flight(self) -> None:
        """Discard what is in flight, so that the next batch can start afresh."""
        while self._batches:
            for slot, _ in self._batches.popleft().parts:
                # A lost GPU fails at each call; the first error has been raised.
                with suppress(RuntimeError):
                    slot.drop()
                    self._idle.append(slot)

    def _current(self) -> AbstractContextManager[None]:
        return current_device(self._torch, self._device)

    def _load(self, *, is_engine: bool) -> Any:
        if is_engine:
            from pipeline.detectors.torch.tensorrt import EngineNetwork

            return EngineNetwork(self._settings.path, self._device)
        from pipeline.detectors.torch.network import UltralyticsNetwork

        half = choose_half(self._settings, on_cuda=self._device.type == "cuda")
        return UltralyticsNetwork(self._settings.path, self._device, half=half)

    def _choose_batch(self) -> None:
        on_cuda = self._device.type == "cuda"
        if self._settings.batch is None and on_cuda:
            self.batch_size = 1 if self._settings.prefer_latency else FRAMES_ON_CUDA
        fixed = self._network.fixed_batch
        self.batch_size = min(self.batch_size, fixed or self.batch_size)
        if on_cuda or self._tensors_on_cpu:
            self.in_flight = 1 if self._settings.prefer_latency else BATCHES_ON_CUDA

    def _new_cpu_slot(self) -> AnyBatchSlot:
        from pipeline.detectors.torch.cpu_slot import CpuBatchSlot

        network: TensorNetwork = self._network
        return CpuBatchSlot(network, self._postprocess)


def _added(several: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the sum of each value over all mappings."""
    total: dict[str, float] = {}
    for one in several:
        for name, value in one.items():
            total[name] = total.get(name, 0.0) + value
    return total
