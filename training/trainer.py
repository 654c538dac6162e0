"""One training: network, optimiser, averaged weights, and how much of the budget is used."""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path

import torch
from torch import nn

from training.batches import Batch
from training.data import CLASS_NAMES
from training.losses import detection_loss
from training.network import Detector

WARM_UP = 200  # steps
WARM_UP_SHARE = 0.03  # of the budget, where that is sooner
LAST_RATE = 0.02  # of the peak, at the end of the cosine
BACKBONE_RATE = 0.35  # of the head's rate: its weights are good already
WEIGHT_DECAY = 0.03
AVERAGE = 0.999  # decay per step of the averaged weights, which are validated and exported
LARGEST_GRADIENT = 10.0
# Without the processor's instructions for it bfloat16 is slower than float32.
BFLOAT16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Trainer:
    """One `step` per batch; `progress` runs from 0 to 1 with the budget of pictures or seconds."""

    def __init__(self, network: Detector, rate: float, pictures: int, seconds: float) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self.pictures, self.seconds, self.rate = pictures, seconds, rate
        self.steps = self.seen = 0
        self.elapsed_before = 0.0
        self.started = time.monotonic()
        self.optimiser = torch.optim.AdamW(
            parameter_groups(network), lr=rate, weight_decay=WEIGHT_DECAY
        )

    @property
    def elapsed(self) -> float:
        """Seconds of training, earlier runs that were resumed counted in."""
        return self.elapsed_before + time.monotonic() - self.started

    @property
    def progress(self) -> float:
        """Share of the budget that is used, 0..1."""
        return min(1.0, max(self.seen / self.pictures, self.elapsed / self.seconds))

    def step(self, batch: Batch) -> tuple[float, float]:
        """One optimiser step; returns class loss and box loss."""
        warm = max((self.steps + 1) / WARM_UP, self.progress / WARM_UP_SHARE)
        factor = min(1.0, warm) * cosine(self.progress)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * group["scale"] * factor
        self.network.train()
        images = batch.images.float() / 255.0
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            logits, sides, centres = self.network(images)
        class_loss, box_loss = detection_loss(logits, sides, centres, batch)
        self.optimiser.zero_grad(set_to_none=True)
        (class_loss + box_loss).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimiser.step()
        self.steps += 1
        self.seen += len(images)
        self._update_average()
        return float(class_loss.detach()), float(box_loss.detach())

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(AVERAGE, (1 + self.steps) / (10 + self.steps))
        current = self.network.state_dict()
        for name, mean in self.average.state_dict().items():
            if mean.dtype.is_floating_point:
                mean.lerp_(current[name], 1 - decay)
            else:
                mean.copy_(current[name])

    def save(self, path: Path) -> None:
        """Everything that a resumed run needs, written beside `path` and then renamed."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
            "seen": self.seen,
            "elapsed": self.elapsed,
            "classes": CLASS_NAMES,
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a file that `save` wrote."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps, self.seen, self.elapsed_before = state["steps"], state["seen"], state["elapsed"]
        self.started = time.monotonic()


def cosine(progress: float) -> float:
    """Learning-rate factor: 1 at progress 0, LAST_RATE at 1 (SGDR, Loshchilov 2017)."""
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * progress))


def parameter_groups(network: Detector) -> list[dict]:
    """Backbone at a lower rate (`scale` times); no decay on biases and batch norms."""
    groups = []
    for in_backbone, scale in ((True, BACKBONE_RATE), (False, 1.0)):
        values = [
            value
            for name, value in network.named_parameters()
            if name.startswith("backbone") == in_backbone
        ]
        groups.append({"params": [v for v in values if v.ndim > 1], "scale": scale})
        groups.append(
            {"params": [v for v in values if v.ndim == 1], "scale": scale, "weight_decay": 0.0}
        )
    return groups
