"""How often memory for pictures was allocated, seen from outside and without holding any."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from pipeline.core.data import Frame, Image
from pipeline.core.frame_pool import FramePool


class Owners:
    """Counts the arrays that own the memory of the pictures it is shown, each once."""

    def __init__(self) -> None:
        self.count = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def note(self, frame: Frame | None) -> bool:
        """Look at a frame's picture; return whether there was one."""
        if frame is not None:
            self.look(frame.image)
        return frame is not None

    def look(self, image: Image) -> None:
        owner: Any = image
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        # An id may come again once its array is gone. Nothing but this owner is touched: others
        # would look as if they were in use.
        known = self._known.get(id(owner))
        if known is None or known() is not owner:
            self._known[id(owner)] = weakref.ref(owner)
            self.count += 1


class WatchedPool(FramePool):
    """A pool whose allocations are counted."""

    def __init__(self, keep: int = 64) -> None:
        super().__init__(keep)
        self.owners = Owners()

    def take(self, height: int, width: int) -> Image:
        image = super().take(height, width)
        self.owners.look(image)
        return image
