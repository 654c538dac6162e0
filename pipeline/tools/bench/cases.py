"""Benchmark cases: input size, precision and whether the video is saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

STRIDE = 32
SMALLER = (0.75, 0.5)


@dataclass(frozen=True, slots=True)
class Case:
    """One way to run: the network's long side (None: the network's own), precision, saving."""

    imgsz: int | None
    precision: str = "auto"
    save: bool = False

    @property
    def label(self) -> str:
        """Return the case's name in tables."""
        parts = [f"imgsz {self.imgsz}"] if self.imgsz else []
        parts += [self.precision] if self.precision != "auto" else []
        parts += ["saving video"] if self.save else []
        return ", ".join(parts) or "as it is"

    def options(self) -> dict[str, Any]:
        """Return the detector's options."""
        size = {} if self.imgsz is None else {"imgsz": self.imgsz}
        return {**size, "precision": self.precision}


def cases(imgsz: int | None, precision: str, other_precisions: Sequence[str]) -> list[Case]:
    """Return the cases to measure; the first is the one others are compared with.

    `imgsz` is None for a network of fixed size, which has no smaller ones. `other_precisions` are
    measured once each, at the full size.
    """
    base = Case(imgsz, precision)
    found = [base, replace(base, save=True)]
    if imgsz is not None:
        sizes = [max(round(imgsz * share / STRIDE) * STRIDE, STRIDE) for share in SMALLER]
        found += [replace(base, imgsz=size) for size in dict.fromkeys(sizes) if size < imgsz]
    found += [replace(base, precision=one) for one in other_precisions if one != precision]
    return found
