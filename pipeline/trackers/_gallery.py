"""Gallery of re-identification: appearance and position of tracked and remembered objects by id.

An object's crops are embedded when it is first compared; until then the last few are stored.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.core.data import Float32, Frame, Image
from pipeline.core.interfaces import Embedder
from pipeline.trackers._camera_motion import Similarity
from pipeline.trackers._track_table import Float64

# Crops of a track that is certain: seconds between them, how many are kept, maximum height.
_CROP_EVERY_S = 0.5
_CROPS = 3
_CROP_HEIGHT = 256
# Weight of a new vector in the running mean of an object's appearance.
_NEW_PART = 0.3

_STATE = ("class_id", "born_s", "seen_s", "place_s", "crop_s", "check_s", "checks", "is_in_doubt")


@dataclass
class KnownObject:
    """Appearance, position and times of one identity; times in seconds of the tracker's clock."""

    class_id: float
    born_s: float
    seen_s: float
    place: Float64 | None = None
    """f64[4] xyxy where it was last in the clear and certain; None: unknown, after a break."""
    place_s: float = 0.0
    crop_s: float = -math.inf
    check_s: float = -math.inf
    checks: int = 0
    is_in_doubt: bool = True
    looks: Float32 | None = None
    """f32[2,D]: the running mean of its unit vectors, and the latest one."""
    pending: list[Any] = field(default_factory=list)
    """The latest crops that have not been needed for a comparison yet, or their vectors f32[D]."""

    @property
    def is_new(self) -> bool:
        """Whether nothing is known about its appearance."""
        return self.looks is None and not self.pending

    def learn(self, vector: Float32) -> None:
        """Update the appearance with a unit vector f32[D]."""
        mean = vector if self.looks is None else self.looks[0]
        mean = (1 - _NEW_PART) * mean + _NEW_PART * vector
        mean /= max(float(np.linalg.norm(mean)), 1e-6)
        self.looks = np.stack((mean, vector)).astype(np.float32)

    def doubt(self) -> None:
        """Mark the identity as doubtful."""
        if not self.is_in_doubt:
            self.is_in_doubt, self.checks = True, 0


class Gallery(dict[int, KnownObject]):
    """Tracked and remembered objects of one source by id."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self._embedder = embedder

    def break_off(self, now_s: float) -> None:
        """Restart at time 0: known objects may be anywhere now."""
        for number, each in [*self.items()]:
            if each.is_new:
                del self[number]
            each.place, each.is_in_doubt = None, True
            each.seen_s -= now_s
            each.born_s -= now_s
            each.crop_s = each.check_s = -math.inf

    def warp(self, motion: Similarity) -> None:
        """Move the known positions along with the camera."""
        for each in self.values():
            if each.place is not None:
                each.place = motion.boxes(each.place[:, None])[:, 0]

    def likeness(self, number: int, vector: Float32) -> float:
        """Return by how much a vector's similarity to an object exceeds the required minimum."""
        known = self[number]
        for each in self._vectors(known):
            known.learn(each)
        known.pending.clear()
        if known.looks is None:
            return 0.0
        return float((known.looks @ vector).max()) - self._embedder.min_similarity

    def _vectors(self, known: KnownObject) -> list[Float32]:
        """Return f32[D] of each pending crop of an object."""
        return [
            each if each.ndim == 1 else self._embedder.embed(each, _whole(each))[0]
            for each in known.pending
        ]

    def keep_crop(self, number: int, frame: Frame, box: Float64, now_s: float) -> None:
        """Store a small crop of an object if the latest one is old enough.

        Only then is the frame converted to BGR, which takes longer than everything else here.
        """
        known = self[number]
        if now_s - known.crop_s >= _CROP_EVERY_S:
            known.crop_s = now_s
            known.pending = [*known.pending[1 - _CROPS :], _cut(frame.image, box)]

    def forget(self, tracked: Container[int], now_s: float, remember_s: float) -> None:
        """Forget objects that are not tracked and were not seen for more than `remember_s`."""
        for number, known in [*self.items()]:
            if number not in tracked and (known.is_new or now_s - known.seen_s > remember_s):
                del self[number]

    def save(self) -> list[dict[str, Any]]:
        """Return the state as plain data, with the vectors of crops in their place."""
        for known in self.values():
            known.pending = [*self._vectors(known)]  # still pending, so results do not change
        return [_saved(*each) for each in self.items()]

    def load(self, state: list[Mapping[str, Any]]) -> None:
        """Load what `save` returned; raises KeyError, TypeError or ValueError."""
        self.clear()
        for saved in state:
            known = KnownObject(**{name: saved[name] for name in _STATE})
            known.place, known.looks = saved["place"], saved["looks"]
            known.pending = [*saved["pending"]]
            self[int(saved["id"])] = known


def _saved(number: int, known: KnownObject) -> dict[str, Any]:
    numbers = {name: getattr(known, name) for name in _STATE}
    place = None if known.place is None else known.place.copy()
    looks = None if known.looks is None else known.looks.copy()
    pending = [each.copy() for each in known.pending]
    return {"id": number, **numbers, "place": place, "looks": looks, "pending": pending}


def _whole(picture: Image) -> Float32:
    height, width = picture.shape[:2]
    return np.array([[0, 0, width, height]], np.float32)


def _cut(image: Image, box: Float64) -> Image:
    """Return a copy of a box's crop, scaled down if it is large; the box is inside the picture."""
    left, top, right, bottom = box.astype(int).tolist()
    part = image[top : bottom + 1, left : right + 1]
    if part.shape[0] <= _CROP_HEIGHT:
        return part.copy()
    import cv2

    size = max(round(part.shape[1] * _CROP_HEIGHT / part.shape[0]), 1), _CROP_HEIGHT
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
