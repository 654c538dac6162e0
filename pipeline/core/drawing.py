"""Drawing of boxes, labels, trails, zones and lines on a picture; no files, windows or clock.

Zones and lines are thin, with an arrow towards "in", name and current count.
"""

from __future__ import annotations

import colorsys
import unicodedata
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.canvas import Canvas, Colour, LabelStyle
from pipeline.core.data import Image, Result
from pipeline.core.mask_drawing import paint_masks, paint_skeleton
from pipeline.core.zone_counts import ZoneCounts

_INK = (255, 255, 255)
_UNDER = (0, 0, 0)


class ZoneAnnotator:
    """Draws the zones and lines of each source, with the counts of the results so far.

    `zones` is {source: {"size", "zones": [{"name", "points"}], "lines": ...}} in plain values, as
    in the run's metadata.
    """

    def __init__(self, zones: Mapping[str, Any] | None) -> None:
        self._zones = zones or {}
        self._counts: dict[str, ZoneCounts] = {}

    def paint(self, canvas: Canvas, result: Result) -> None:
        """Draw onto `canvas`."""
        source = result.frame.source
        camera = self._zones.get(source)
        if camera is None:
            return
        counts = self._counts.setdefault(source, ZoneCounts())
        counts.note(result)
        inside = counts.inside
        crossed = Counter[tuple[str, str]]()
        for key, number in counts.counts.items():
            crossed[key.area, key.direction] += number
        height, width = canvas.size
        size = camera.get("size") or (width, height)
        scale = np.array([width / size[0], height / size[1]])
        for zone in camera.get("zones", ()):
            points = _pixels(zone["points"], scale)
            _polyline(canvas, points, closed=True)
            count = inside.get(zone["name"], 0)
            _text(canvas, points[points[:, 1].argmin()], f"{zone['name']}: {count}")
        for line in camera.get("lines", ()):
            ins, outs = (crossed[line["name"], way] for way in ("in", "out"))
            points = _pixels(line["points"], scale)
            _polyline(canvas, points, closed=False)
            tip = _arrow(canvas, points)
            _text(canvas, tip, f"{line['name']}: {ins} in, {outs} out")


def _pixels(points: Sequence[Sequence[float]], scale: NDArray[np.float64]) -> NDArray[np.int32]:
    return (np.array(points, float) * scale).clip(-10_000, 20_000).round().astype(np.int32)


def _polyline(canvas: Canvas, points: NDArray[np.int32], *, closed: bool) -> None:
    for colour, line in ((_UNDER, 3), (_INK, 1)):  # visible on bright and on dark ground
        canvas.polyline(points, colour, line, closed=closed)


def _arrow(canvas: Canvas, points: NDArray[np.int32]) -> NDArray[np.int32]:
    """Draw an arrow from the middle of the longest segment to its right side; return the tip."""
    steps = np.diff(points, axis=0).astype(float)
    longest = int(np.hypot(steps[:, 0], steps[:, 1]).argmax())
    x, y = steps[longest] / max(float(np.hypot(*steps[longest])), 1.0)
    middle = (points[longest] + points[longest + 1]) // 2
    length = max(12, min(canvas.size) // 15)
    tip: NDArray[np.int32] = (middle + np.array([-y, x]) * length).round().astype(np.int32)
    ends = [int(middle[0]), int(middle[1])], [int(tip[0]), int(tip[1])]
    for colour, line in ((_UNDER, 3), (_INK, 1)):
        canvas.arrow(*ends, colour, line)
    return tip


def _text(canvas: Canvas, place: NDArray[np.int32], text: str) -> None:
    """Write one line of text beside a point, inside the picture."""
    import cv2

    height, width = canvas.size
    scale = max(11, round(min(height, width) / 45)) / 24
    (wide, high), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = max(0, min(int(place[0]) + 4, width - wide - 1))
    y = max(high, min(int(place[1]) - 4, height - below - 1))
    for colour, line in ((_UNDER, 3), (_INK, 1)):
        canvas.text(text, (x, y), scale, colour, line)


_GOLDEN = 0.618033988749895  # golden-ratio steps spread hues evenly, whatever the number of tracks
_FAINTEST = 0.15
_FAR = 4  # boxes are clipped this many picture sizes outside, where pixel integers cannot overflow


@lru_cache(maxsize=4096)
def colour_of(track_id: int) -> Colour:
    """Return the (blue, green, red) of an id: always the same, and unlike that of nearby ids."""
    hue = track_id * _GOLDEN % 1.0
    # Ids with similar hues (13, 21, 34 apart) differ in lightness and saturation.
    saturation = (0.85, 0.65, 1.0)[track_id % 3]
    value = (1.0, 0.85)[track_id // 3 % 2]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(blue * 255), round(green * 255), round(red * 255)


# Same hues, classes and hash as colours.js of the live page.
_CLASS_HUES = (
    "ffb000", "5cc8ff", "ff7eb6", "7ee081", "c9a5ff", "ff9166",
    "3fd9c5", "f2e14c", "ff8f8f", "9db8ff", "b6dd5a", "e79bff",
)  # fmt: skip
_KNOWN_CLASSES = (
    "person", "car", "bicycle", "truck", "bus", "motorcycle", "dog", "cat", "train", "boat",
    "bird", "horse",
)  # fmt: skip


@lru_cache(maxsize=4096)
def class_colour(class_name: str) -> Colour:
    """Return the (blue, green, red) of a class, the same as on the live page."""
    if class_name in _KNOWN_CLASSES:
        number = _KNOWN_CLASSES.index(class_name)
    else:
        number = 0x811C9DC5  # FNV-1a over UTF-16 code units, JavaScript's representation of strings
        units = class_name.encode("utf-16-le", "surrogatepass")
        for low, high in zip(units[::2], units[1::2], strict=True):
            number = ((number ^ (low | high << 8)) * 0x01000193) & 0xFFFFFFFF
    red, green, blue = bytes.fromhex(_CLASS_HUES[number % len(_CLASS_HUES)])
    return blue, green, red


def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever is legible on this colour."""
    blue, green, red = colour
    return _UNDER if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else _INK


@dataclass(frozen=True, slots=True)
class Style:
    """Line widths, font and spacing in pixels for one picture size."""

    line: int
    font_px: int
    text: int

    @classmethod
    def of(cls, height: int, width: int) -> Style:
        """Return the sizes for a picture: legible at 640 x 360, in proportion at 4K."""
        short = min(height, width)
        font_px = max(11, round(short / 45))
        return cls(
            line=max(2 if short >= 240 else 1, round(short / 360)),
            font_px=font_px,
            text=max(1, font_px // 14),
        )

    @property
    def font_scale(self) -> float:
        """Return OpenCV's scale for `font_px`; its fonts are 22 pixels high at 1."""
        return self.font_px / 24


LabelPart = Literal["class", "id", "score"]
ALL_LABELS: tuple[LabelPart, ...] = ("class", "id", "score")


@dataclass(frozen=True, slots=True)
class Mark:
    """What is drawn for one track: box in whole pixels, colour, label, and whether it is dashed."""

    track_id: int
    xyxy: list[int]
    colour: Colour
    label: str
    coasting: bool


def marks_of(
    result: Result,
    size: tuple[int, int],
    labels: Sequence[LabelPart],
    *,
    unicode: bool,
    by_class: bool = False,
) -> list[Mark]:
    """Return a mark per track of the result, in a picture of `size` (height, width).

    `unicode` means that the font has letters of every script. Coasting tracks show no score. Each
    track has a colour of its own, or with `by_class` the colour of its class.
    """
    tracks, (height, width) = result.tracks, size
    if not len(tracks):
        return []
    limit = np.array([width, height, width, height], np.float32)
    corners = np.clip(tracks.xyxy, -limit * _FAR, limit * (_FAR + 1)).round().astype(int)
    marks = []
    for xyxy, track_id, class_id, score, coasting in zip(
        corners.tolist(),
        tracks.track_id.tolist(),
        tracks.class_id.tolist(),
        tracks.score.tolist(),
        tracks.coasting.tolist(),
        strict=True,
    ):
        parts = {
            "class": drawable(result.class_names.get(class_id, ""), class_id, unicode=unicode),
            "id": str(track_id) if track_id else "",
            "score": "" if coasting else f"{score:.2f}",
        }
        label = " ".join(parts[name] for name in labels if parts[name])
        name = result.class_names.get(class_id, str(class_id))
        colour = class_colour(name) if by_class else colour_of(track_id or class_id + 1)
        marks.append(Mark(track_id, xyxy, colour, label, coasting))
    return marks


class Trails:
    """The foot points (time in s, x, y) of one source's tracks in the last `length_s` seconds."""

    def __init__(self, length_s: float) -> None:
        self.points: dict[int, deque[tuple[float, int, int]]] = {}
        self.now_s = 0.0
        self._length_s = length_s
        self._epoch = -1
        self._size = (0, 0)

    def advance(self, result: Result, min_step: int) -> None:
        """Add the tracks' current positions and remove points older than the trail.

        A track that has moved less than `min_step` pixels gets no new point.
        """
        frame = result.frame
        height, width = size = frame.shape[:2]
        if frame.epoch != self._epoch or frame.pts_s < self.now_s or size != self._size:
            # Neither times across a reconnect nor pixels of two picture sizes can be compared.
            self.points.clear()
        self._epoch, self.now_s, self._size = frame.epoch, frame.pts_s, size
        if self._length_s > 0:
            for track_id, (x1, _, x2, y2) in zip(
                result.tracks.track_id.tolist(), result.tracks.xyxy.tolist(), strict=True
            ):
                if track_id:
                    x, y = _within((x1 + x2) / 2, width), _within(y2, height)
                    points = self.points.setdefault(track_id, deque())
                    # Points closer than a few line widths only cost time: move the last one
                    # instead.
                    if len(points) > 1 and _near(points[-1], points[-2], min_step):
                        points.pop()
                    points.append((frame.pts_s, x, y))
        oldest = frame.pts_s - self._length_s
        for track_id, points in list(self.points.items()):
            while points and points[0][0] < oldest:
                points.popleft()
            if not points:
                del self.points[track_id]


class Annotator:
    """Draws results and keeps the trail of each track of each source for `trail_s` seconds.

    One annotator serves all sources of a sink. `trail_s` 0 draws no trails; `zones` are the zones
    and lines of each source, as in the run's metadata; `labels` chooses the parts of a label.
    `masks` and `keypoints` draw those, if the network gives them. With `by_class` tracks have the
    class colours of the live page.
    """

    def __init__(
        self,
        trail_s: float,
        zones: Mapping[str, Any] | None = None,
        labels: Sequence[LabelPart] = ALL_LABELS,
        *,
        masks: bool = True,
        keypoints: bool = True,
        by_class: bool = False,
    ) -> None:
        self._by_class = by_class
        self._masks, self._keypoints = masks, keypoints
        self._zone_annotator = ZoneAnnotator(zones)
        self._trail_s = trail_s
        self._labels = labels
        self._trails: dict[str, Trails] = {}

    def paint(self, image: Image | Canvas, result: Result) -> None:
        """Draw the result's tracks in place on `image`, BGR u8[H,W,3] of the frame's size."""
        import cv2

        canvas = Canvas.on(image)
        height, width = canvas.size
        style = Style.of(height, width)
        trails = self._trails.setdefault(result.frame.source, Trails(self._trail_s))
        trails.advance(result, style.line * 3)
        self._zone_annotator.paint(canvas, result)
        unicode = hasattr(cv2, "FontFace")
        marks = marks_of(
            result, (height, width), self._labels, unicode=unicode, by_class=self._by_class
        )
        found = result.detections
        if self._masks and found.masks is not None:
            colours = [mark.colour for mark in marks]
            paint_masks(canvas, result.tracks.masks(found), colours)
        for mark in marks:
            if mark.track_id in trails.points:
                self._paint_trail(canvas, trails, mark, style)
        for mark in marks:
            if mark.coasting:
                _dashed_box(canvas, mark.xyxy, mark.colour, max(1, style.line // 2))
            else:
                canvas.rectangle(mark.xyxy[:2], mark.xyxy[2:], mark.colour, style.line)
        if self._keypoints and (points := result.tracks.keypoints(found)) is not None:
            for mark, of_one in zip(marks, points, strict=True):
                paint_skeleton(canvas, of_one, mark.colour, style.line)
        for mark in marks:  # last, so that no box covers a label
            if mark.label:
                _label(canvas, mark.xyxy, mark.label, mark.colour, style)

    def forget(self, source: str) -> None:
        """Forget the trails of a source that has ended."""
        self._trails.pop(source, None)

    def _paint_trail(self, canvas: Canvas, trails: Trails, mark: Mark, style: Style) -> None:
        points, colour = list(trails.points[mark.track_id]), mark.colour
        for (was_s, x1, y1), (_, x2, y2) in pairwise(points):
            left = 1 - (trails.now_s - was_s) / self._trail_s
            strength = _FAINTEST + (1 - _FAINTEST) * max(left, 0.0)
            canvas.faded_line((x1, y1), (x2, y2), colour, strength, style.line)


def _label(canvas: Canvas, xyxy: list[int], text: str, colour: Colour, style: Style) -> None:
    """Draw `text` on a filled bar above the box, or inside it if there is no room above."""
    import cv2

    height, width = canvas.size
    (text_width, text_height), below = cv2.getTextSize(
        text, cv2.FONT_HERSHEY_SIMPLEX, style.font_scale, style.text
    )
    pad = max(2, style.font_px // 6)
    bar_width, bar_height = text_width + 2 * pad, text_height + below + pad
    x = max(0, min(xyxy[0] - style.line // 2, width - bar_width))
    y = xyxy[1] - bar_height if xyxy[1] >= bar_height else xyxy[1]
    y = max(0, min(y, height - bar_height))
    bar = LabelStyle(
        (bar_width, bar_height),
        (pad, bar_height - below - pad // 2),
        style.font_scale,
        style.text,
        colour,
        ink_on(colour),
    )
    canvas.label(text, (x, y), bar)


def _dashed_box(canvas: Canvas, xyxy: list[int], colour: Colour, line: int) -> None:
    """Draw a dashed outline; the number of dashes is bounded, so huge boxes cost no more."""
    x1, y1, x2, y2 = xyxy
    dash = max(line * 5, (x2 - x1 + y2 - y1) // 40, 3)
    for x in range(x1, x2, dash * 2):
        end = min(x + dash, x2)
        canvas.line((x, y1), (end, y1), colour, line)
        canvas.line((x, y2), (end, y2), colour, line)
    for y in range(y1, y2, dash * 2):
        end = min(y + dash, y2)
        canvas.line((x1, y), (x1, end), colour, line)
        canvas.line((x2, y), (x2, end), colour, line)


@lru_cache(maxsize=1024)
def drawable(name: str, class_id: int, *, unicode: bool) -> str:
    """Return the name on one line in letters the font has, or "class N" if none is left.

    Without `unicode` (OpenCV 4) accents are removed, and other scripts have no letters at all.
    """
    text = " ".join(name.split())
    if not unicode:
        plain = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
        text = plain.encode("ascii", "ignore").decode().strip()
    text = "".join(letter for letter in text if letter.isprintable())
    return text or f"class {class_id}"


def _within(value: float, size: int) -> int:
    return int(min(max(value, 0), size - 1))


def _near(one: tuple[float, int, int], other: tuple[float, int, int], step: int) -> bool:
    return abs(one[1] - other[1]) < step and abs(one[2] - other[2]) < step
