"""Tracks as Advanced SubStation Alpha (ASS) events: boxes and trails drawn, labels as text.

Every box is a frame of two nested paths that run in opposite directions, which every renderer
leaves open inside. A piece of a trail is written once, when it comes into being, and fades by
itself, so that a track takes one box, one label and at most one piece of trail per frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.core.canvas import Colour
from pipeline.core.data import Result
from pipeline.core.drawing import LabelPart, Mark, Style, ink_on, marks_of

_HEADER = """\
[Script Info]
Title: Tracks by Trackline
ScriptType: v4.00+
PlayResX: {width}
PlayResY: {height}
LayoutResX: {width}
LayoutResY: {height}
WrapStyle: 2
ScaledBorderAndShadow: yes
YCbCr Matrix: None

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, \
Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Box,{font},10,&H00FFFFFF,&H00FFFFFF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,0,0,7,0,0,0,1
Style: Label,{font},{size},&H00FFFFFF,&H00FFFFFF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,3,{pad},\
0,1,0,0,0,1

[Events]
Format: Layer, Start, End, Style, Text
"""
_FONT = "DejaVu Sans"  # where it is missing, renderers take their own
_LINE_OF_FONT = 1.25  # height of a line over the height of a capital's font size in OpenCV
_WIDTH_OF_FONT = 0.55  # of a letter, over the height of a line
_TRAIL_LAYER, _BOX_LAYER, _LABEL_LAYER = range(3)
_EARLY_S = 0.0015
"""Boxes start this much before their frame, because renderers truncate times to milliseconds."""
_WORD_JOINER = "\u2060"  # invisible; a backslash before it begins no tag
_FAINT = "\\1a&H80&"
"""Half transparent, for boxes that are predictions: dashes would take five times the bytes."""


@dataclass(frozen=True, slots=True)
class AssEvent:
    """One line of a frame without its times; `lasts_s` is None where it ends with the frame."""

    layer: int
    style: str
    text: str
    lasts_s: float | None = None


def header(size: tuple[int, int], style: Style) -> str:
    """Return everything that precedes the events, for a video of `size` (height, width)."""
    height, width = size
    return _HEADER.format(
        width=width,
        height=height,
        font=_FONT,
        size=round(style.font_px * _LINE_OF_FONT),
        pad=max(1, style.font_px // 8),
    )


class AssDrawing:
    """Turns the results of one source into events, in pixels of `size` (height, width).

    Results of another picture size are scaled, so that players show them in the same place.
    """

    def __init__(self, size: tuple[int, int], trail_s: float, labels: Sequence[LabelPart]) -> None:
        self._size = size
        self._trail_s = trail_s
        self._labels = labels
        self._style = Style.of(*size)
        self._feet: dict[int, tuple[float, tuple[float, float]]] = {}

    def forget(self) -> None:
        """Start new trails: the next result does not continue the previous one."""
        self._feet.clear()

    def events(self, result: Result, now_s: float) -> list[AssEvent]:
        """Return the events that show a result."""
        high, wide = self._size
        height, width = result.frame.shape[:2]
        scale = wide / width, high / height
        marks = marks_of(result, (height, width), self._labels, unicode=True)
        events = [] if self._trail_s <= 0 else self._trail_events(marks, scale, now_s)
        for mark in marks:
            box = self._inside(mark.xyxy, scale)
            if box is not None:
                path = _frame_path(box, self._style.line)
                look = _FAINT if mark.coasting else ""
                events.append(AssEvent(_BOX_LAYER, "Box", _drawn(path, mark.colour, look)))
                if mark.label:
                    events.append(AssEvent(_LABEL_LAYER, "Label", self._label(box, mark)))
        return events

    def timed(self, events: Iterable[AssEvent], start_s: float, end_s: float) -> list[str]:
        """Return events as lines of the file, shown from one frame until the next.

        ASS has hundredths of a second: each time is the last one before its frame.
        """
        start, end = _hundredths(start_s), _hundredths(end_s)
        if start >= end:
            return []
        lines = []
        for event in events:
            until = end if event.lasts_s is None else start + round(event.lasts_s * 100)
            head = f"Dialogue: {event.layer},{_time(start)},{_time(until)},{event.style},"
            lines.append(f"{head}{event.text}\n")
        return lines

    def _inside(self, xyxy: Sequence[int], scale: tuple[float, float]) -> list[int] | None:
        """Return the box clipped to the picture, with its border still inside; None if outside."""
        high, wide = self._size
        x1, y1, x2, y2 = (round(number * scale[place % 2]) for place, number in enumerate(xyxy))
        if x2 < 0 or y2 < 0 or x1 >= wide or y1 >= high:
            return None
        return [max(x1, 0), max(y1, 0), min(x2, wide - 1), min(y2, high - 1)]

    def _label(self, box: list[int], mark: Mark) -> str:
        """Return the label above its box, or inside where there is no room above."""
        x1, y1, _, _ = box
        size = round(self._style.font_px * _LINE_OF_FONT)
        pad = max(1, self._style.font_px // 8)
        above = y1 >= size + 2 * pad
        # Where it would end outside, it is moved in as far as its usual width says.
        x = max(min(x1, round(self._size[1] - len(mark.label) * size * _WIDTH_OF_FONT)), 0)
        place = f"\\pos({x + pad},{y1 - pad if above else y1 + pad})"
        anchor = "" if above else "\\an7"
        ink = "" if sum(ink_on(mark.colour)) else f"\\c{_hex((0, 0, 0))}"
        return f"{{{anchor}{place}\\3c{_hex(mark.colour)}{ink}}}{escaped(mark.label)}"

    def _trail_events(
        self, marks: Sequence[Mark], scale: tuple[float, float], now_s: float
    ) -> list[AssEvent]:
        """Return the new piece of each track's trail, if it has moved far enough."""
        high, wide = self._size
        events = []
        for mark in marks:
            if not mark.track_id:
                continue
            x = min(max((mark.xyxy[0] + mark.xyxy[2]) / 2 * scale[0], 0), wide - 1)
            y = min(max(mark.xyxy[3] * scale[1], 0), high - 1)
            was_s, was = self._feet.get(mark.track_id, (-math.inf, (x, y)))
            step = math.dist(was, (x, y))
            if now_s - was_s > self._trail_s:
                self._feet[mark.track_id] = now_s, (x, y)
            elif step >= self._style.line * 3:
                self._feet[mark.track_id] = now_s, (x, y)
                fade = f"\\fad(0,{round(self._trail_s * 1000)})"
                text = _drawn(_strip(was, (x, y), self._style.line / 2), mark.colour, fade)
                events.append(AssEvent(_TRAIL_LAYER, "Box", text, self._trail_s))
        gone = [
            track_id for track_id, (was_s, _) in self._feet.items() if now_s - was_s > self._trail_s
        ]
        for track_id in gone:
            del self._feet[track_id]
        return events


def escaped(text: str) -> str:
    """Return text in which nothing is a tag, a line break or the start of a drawing."""
    plain = " ".join(text.split())
    return plain.replace("\\", f"\\{_WORD_JOINER}").replace("{", "\\{")


def _drawn(path: str, colour: Colour, more: str = "") -> str:
    return f"{{\\pos(0,0){more}\\c{_hex(colour)}\\p1}}{path}"


def _hex(colour: Colour) -> str:
    """Return (blue, green, red) in ASS notation."""
    return "&H{:02X}{:02X}{:02X}&".format(*colour)


def _frame_path(box: list[int], line: int) -> str:
    """Return the outline of a box as OpenCV draws it: a pixel wider than an even `line`."""
    x1, y1, x2, y2 = box
    out = (line + 1) // 2 if line > 1 else 0
    whole = _rectangle(max(x1 - out, 0), max(y1 - out, 0), x2 + out + 1, y2 + out + 1)
    a, b, c, d = x1 + out + 1, y1 + out + 1, x2 - out, y2 - out
    return f"{whole} m {a} {b} l {a} {d} {c} {d} {c} {b}" if a < c and b < d else whole


def _rectangle(x1: int, y1: int, x2: int, y2: int) -> str:
    return f"m {x1} {y1} l {x2} {y1} {x2} {y2} {x1} {y2}"


def _strip(a: tuple[float, float], b: tuple[float, float], half: float) -> str:
    """Return a straight line of some strength as a path."""
    length = math.dist(a, b)
    x, y = (b[0] - a[0]) / length * half, (b[1] - a[1]) / length * half
    corners = (
        (a[0] - y, a[1] + x), (b[0] - y, b[1] + x), (b[0] + y, b[1] - x), (a[0] + y, a[1] - x),
    )  # fmt: skip
    start, *rest = (f"{max(u, 0):.1f} {max(v, 0):.1f}" for u, v in corners)
    return f"m {start} l {' '.join(rest)}"


def _hundredths(seconds: float) -> int:
    return max(0, math.floor((seconds - _EARLY_S) * 100))


def _time(hundredths: int) -> str:
    seconds, rest = divmod(hundredths, 100)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:02}"
