"""Zones and lines drawn on a picture: thin, with an arrow towards "in", name and current count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.data import Image, Result

_INK = (255, 255, 255)
_UNDER = (0, 0, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class AreaPainter:
    """Draws the areas of each source; counts the events of the results it is given.

    `areas` is {source: {"size", "zones": [{"name", "points"}], "lines": ...}} in plain values, as
    the run's metadata has them.
    """

    def __init__(self, areas: Mapping[str, Any] | None) -> None:
        self._areas = areas or {}
        self._inside: dict[tuple[str, str], set[int]] = {}
        self._crossed: Counter[tuple[str, str, str]] = Counter()
        self._epochs: dict[str, int] = {}

    def paint(self, image: Image, result: Result) -> None:
        """Draw into `image`, BGR u8[H,W,3], in place."""
        source = result.frame.source
        camera = self._areas.get(source)
        if camera is None:
            return
        self._count(result)
        height, width = image.shape[:2]
        size = camera.get("size") or (width, height)
        scale = np.array([width / size[0], height / size[1]])
        for zone in camera.get("zones", ()):
            inside = len(self._inside.get((source, zone["name"]), ()))
            points = _pixels(zone["points"], scale)
            _polyline(image, points, closed=True)
            _text(image, points[points[:, 1].argmin()], f"{zone['name']}: {inside}")
        for line in camera.get("lines", ()):
            ins, outs = (self._crossed[source, line["name"], way] for way in ("in", "out"))
            points = _pixels(line["points"], scale)
            _polyline(image, points, closed=False)
            tip = _arrow(image, points)
            _text(image, tip, f"{line['name']}: {ins} in, {outs} out")

    def _count(self, result: Result) -> None:
        source, epoch = result.frame.source, result.frame.epoch
        if self._epochs.get(source, epoch) != epoch:
            for key in self._inside:
                if key[0] == source:
                    self._inside[key].clear()
        self._epochs[source] = epoch
        for event in result.events:
            inside = self._inside.setdefault((source, event.area), set())
            if event.kind == "enter":
                inside.add(event.track_id)
            elif event.kind == "leave":
                inside.discard(event.track_id)
            elif event.kind == "cross":
                self._crossed[source, event.area, event.direction] += 1


def _pixels(points: Sequence[Sequence[float]], scale: NDArray[np.float64]) -> NDArray[np.int32]:
    return (np.array(points, float) * scale).clip(-10_000, 20_000).round().astype(np.int32)


def _polyline(image: Image, points: NDArray[np.int32], *, closed: bool) -> None:
    for colour, line in ((_UNDER, 3), (_INK, 1)):  # to be seen on bright and on dark ground
        cv2.polylines(image, [points], closed, colour, line, cv2.LINE_AA)


def _arrow(image: Image, points: NDArray[np.int32]) -> NDArray[np.int32]:
    """Draw an arrow from the middle of the longest piece to its right side; return its tip."""
    steps = np.diff(points, axis=0).astype(float)
    longest = int(np.hypot(steps[:, 0], steps[:, 1]).argmax())
    x, y = steps[longest] / max(float(np.hypot(*steps[longest])), 1.0)
    middle = (points[longest] + points[longest + 1]) // 2
    length = max(12, min(image.shape[:2]) // 15)
    tip: NDArray[np.int32] = (middle + np.array([-y, x]) * length).round().astype(np.int32)
    ends = [int(middle[0]), int(middle[1])], [int(tip[0]), int(tip[1])]
    for colour, line in ((_UNDER, 3), (_INK, 1)):
        cv2.arrowedLine(image, *ends, colour, line, cv2.LINE_AA, 0, 0.35)
    return tip


def _text(image: Image, place: NDArray[np.int32], text: str) -> None:
    """Write one line of text beside a place, inside the picture."""
    height, width = image.shape[:2]
    scale = max(11, round(min(height, width) / 45)) / 24
    (wide, high), below = cv2.getTextSize(text, _FONT, scale, 1)
    x = max(0, min(int(place[0]) + 4, width - wide - 1))
    y = max(high, min(int(place[1]) - 4, height - below - 1))
    for colour, line in ((_UNDER, 3), (_INK, 1)):
        cv2.putText(image, text, (x, y), _FONT, scale, colour, line, cv2.LINE_AA)
