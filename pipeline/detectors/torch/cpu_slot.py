"""Batch slot on the CPU: OpenCV letterboxes, numpy postprocesses, faster there than tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pipeline.core.data import Detections, Image
from pipeline.core.yuv import YuvImage
from pipeline.detectors.common.letterbox import PADDING, Letterbox, paste
from pipeline.detectors.common.postprocess import Postprocess
from pipeline.detectors.torch.batch_slot import TensorNetwork


class CpuBatchSlot:
    """Batch slot (see batch_slot.BatchSlot) whose network runs in `wait`."""

    def __init__(self, network: TensorNetwork, postprocess: Postprocess) -> None:
        self._network = network
        self._postprocess = postprocess
        self._canvases: dict[tuple[int, int], Image] = {}
        self._pictures: Any = None
        self._outputs: Any = ()

    def launch(self, images: Sequence[Image | YuvImage], boxes: Sequence[Letterbox]) -> None:
        """Letterbox the pictures."""
        size, count = boxes[0].input_size, len(images)
        canvas = self._canvases.get(size)
        if canvas is None or len(canvas) < count:
            canvas = self._canvases[size] = np.empty((count, *size, 3), np.uint8)
        for place, image, box in zip(canvas, images, boxes, strict=False):
            if box.scaled_size != size:
                place.fill(PADDING)
            paste(image, box, place)
        self._boxes = boxes
        # Seen as NCHW the memory of NHWC pictures is channels-last already.
        pictures = torch.from_numpy(canvas[:count]).permute(0, 3, 1, 2).flip(1)
        pictures = pictures.to(self._network.dtype).div_(255)
        self._pictures = pictures.contiguous(memory_format=torch.channels_last)

    def wait(self) -> None:
        """Run the network, unless that is done."""
        pictures, self._pictures = self._pictures, None
        if pictures is not None:
            output = self._network(pictures)
            self._outputs = output.float().numpy()  # a view: on the CPU nothing is copied

    def answers(self) -> list[Detections]:
        """Return the detections of each picture."""
        pairs = zip(self._outputs, self._boxes, strict=True)
        return [self._postprocess(output, box) for output, box in pairs]

    def drop(self) -> None:
        """Forget the pictures, for which the network has not run yet."""
        self._pictures = None

    def device_ms(self) -> Mapping[str, float]:
        """Return nothing: there is no clock but the caller's."""
        return {}
