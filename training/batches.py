"""Endless training batches that follow the schedule's phase.

They are made in the training process: a batch of 16 takes a fifteenth of a step's time, and worker
processes would take it from the same cores.  Batches are uint8 arrays (B, H, W, 3): seen as
(B, 3, H, W) they already lie "channels last", the layout the convolutions want, so no copy is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.augment import View, mosaic, single
from training.data import Sample, sampling_weights

NINE = 0.4  # share of the mosaics that hold nine pictures instead of four


@dataclass(frozen=True)
class Phase:
    """From `start` (share of the training, 0..1) on: canvas sizes (height, width) and mosaics."""

    start: float
    sizes: tuple[tuple[int, int], ...]
    mosaic: float  # share of pictures that are mosaics


@dataclass(frozen=True)
class Batch:
    """`images` u8 (B, 3, H, W) RGB; the boxes of all pictures together, `*_picture` says whose."""

    images: Tensor
    xyxy: Tensor
    class_id: Tensor
    picture: Tensor
    ignore_xyxy: Tensor
    ignore_class: Tensor
    ignore_picture: Tensor


class BatchStream:
    """Draws pictures by `sampling_weights`, makes batches for the phase that `progress` is in."""

    def __init__(
        self,
        samples: list[Sample],
        classes: int,
        phases: tuple[Phase, ...],
        batch_size: int,
        seed: int,
    ) -> None:
        self.samples = samples
        self.weights = sampling_weights(samples, classes)
        self.phases = phases
        self.batch_size = batch_size
        self.rng = np.random.default_rng(seed)
        self.progress = 0.0  # the trainer's, 0..1

    def __iter__(self) -> Iterator[Batch]:
        while True:
            phase = [p for p in self.phases if p.start <= self.progress][-1]
            size = phase.sizes[self.rng.integers(len(phase.sizes))]
            yield collate([self._view(phase, size, self.rng) for _ in range(self.batch_size)])

    def _view(self, phase: Phase, size: tuple[int, int], rng: np.random.Generator) -> View:
        if rng.random() < phase.mosaic:
            count = 9 if rng.random() < NINE else 4
            return mosaic([self._draw(rng) for _ in range(count)], size, rng)
        return single(self._draw(rng), size, rng)

    def _draw(self, rng: np.random.Generator) -> Sample:
        return self.samples[rng.choice(len(self.samples), p=self.weights)]


def collate(views: list[View]) -> Batch:
    """Views of one size as a batch."""
    counts = [len(view.xyxy) for view in views]
    ignored = [len(view.ignore_xyxy) for view in views]
    whose = np.arange(len(views))
    arrays = (
        np.concatenate([view.xyxy for view in views]).astype(np.float32),
        np.concatenate([view.class_id for view in views]),
        np.repeat(whose, counts),
        np.concatenate([view.ignore_xyxy for view in views]).astype(np.float32),
        np.concatenate([view.ignore_class for view in views]),
        np.repeat(whose, ignored),
    )
    images = torch.from_numpy(np.stack([view.image for view in views])).permute(0, 3, 1, 2)
    return Batch(images, *(torch.from_numpy(array) for array in arrays))
