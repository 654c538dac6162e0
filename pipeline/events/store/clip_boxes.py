"""Boxes of the tracks in a clip, stored with it as compressed JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from pipeline.core.data import ClassNames, Tracks


class ClipBoxes:
    """Boxes of a clip, collected frame by frame."""

    def __init__(self, width: int, height: int) -> None:
        self._size = [width, height]
        self._names: dict[int, str] = {}
        self._frames: list[list[Any]] = []

    def add(self, time_s: float, tracks: Tracks, class_names: ClassNames) -> None:
        """Add the tracks of the frame at `time_s` of the clip, in pixels of the clip."""
        rows = zip(
            tracks.track_id.tolist(),
            tracks.class_id.tolist(),
            tracks.xyxy.round(1).tolist(),
            strict=True,
        )
        boxes = []
        for track_id, class_id, xyxy in rows:
            if track_id > 0:
                self._names[track_id] = class_names.get(class_id, str(class_id))
                boxes.append([track_id, *(round(value, 1) for value in xyxy)])
        self._frames.append([round(time_s, 3), boxes])

    def packed(self) -> bytes:
        """Return the compressed boxes to store."""
        tree = {"size": self._size, "classes": self._names, "frames": self._frames}
        return zlib.compress(json.dumps(tree, separators=(",", ":")).encode(), 6)


def unpacked(stored: bytes) -> Mapping[str, Any]:
    """Return {size, classes: {track: name}, frames: [[time, [[track, x1, y1, x2, y2], ...]], ...]}.

    Raises ValueError if the stored data is invalid.
    """
    try:
        tree = json.loads(zlib.decompress(stored))
    except zlib.error as error:
        raise ValueError(f"boxes of a clip: {error}") from None
    if not isinstance(tree, dict):
        raise ValueError("boxes of a clip: not a mapping")
    return tree
