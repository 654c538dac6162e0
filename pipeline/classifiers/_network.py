"""Network protocol of the classifiers: what each inference library implements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.core.data import Float32


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a network: `size` is (height, width), None if it accepts any; `metadata` is
    everything its exporter wrote; `pixel_max` is 255 if it takes bytes and scales them itself.
    """

    size: tuple[int, int] | None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    pixel_max: int = 1


class Network(Protocol):
    """A network from planes f32[N,3,H,W] to outputs f32[N,classes]."""

    facts: Facts

    def start(self, size: tuple[int, int]) -> None:
        """Prepare for input of `size`; raises ModelError if the network is not a classifier."""

    def run(self, planes: Float32) -> Float32:
        """Return the output for each picture; f32[N,3,H,W] in, f32[N,classes] out."""

    def close(self) -> None:
        """Release everything; safe to call twice."""
