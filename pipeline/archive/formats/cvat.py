"""CVAT's own XML for video, version 1.1: a track of boxes for each object, with keyframes.

One file for each task, which is one video. https://docs.cvat.ai/docs/other/xml_format
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from pydantic import Field

from pipeline.archive.formats._format import (
    Labels,
    Layout,
    counted_from_1,
    label_of,
    labels_in,
    media_of,
    tracks_of,
    usual_class,
)
from pipeline.archive.formats._keyframes import check_filled, expanded, spans
from pipeline.archive.formats._tree import TreeReader, is_tree, names_in_tree
from pipeline.archive.formats._xml import parse
from pipeline.core.errors import UsageError
from pipeline.core.options import OptionsModel
from pipeline.core.sequences import DEFAULT_FPS, DEFAULT_SIZE, RecordedSequence, VideoInfo
from pipeline.core.simplification import simplified
from pipeline.core.track_files import BoxTable, whole

log = logging.getLogger("trackline")

_TASK = ("annotations", "meta", "task")
_JOB = ("annotations", "meta", "job")
_PROJECT_TASK = ("annotations", "meta", "project", "tasks", "task")
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INSIDE_ZIP = ("annotations.xml", "*/annotations.xml")


class Options(OptionsModel):
    """Options of the XML."""

    tolerance: float = Field(default=0.0, ge=0)
    """Pixels by which a side may be off between keyframes; 0 makes every box a keyframe."""


def build(options: Options) -> CvatFormat:
    """Return the format."""
    return CvatFormat(options)


class CvatFormat:
    """Writes and reads "CVAT for video 1.1"; reads it inside CVAT's zip files too.

    A track has one label, the one most of its boxes have. Coasting boxes are `occluded`; after a
    track's last box before a gap one is `outside`.
    """

    layout: Layout = "file per source"
    suffix = ".xml"
    one_size = True
    needs_size = True

    def __init__(self, options: Options) -> None:
        self._tolerance = options.tolerance

    def write(self, sequences: Iterable[RecordedSequence], path: Path) -> None:
        """Write the one sequence; raises OSError."""
        (each,) = sequences
        with path.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline="\n") as file:
            file.write(_head(each))
            for track in tracks_of(each.table):
                label = label_of(each.class_names, usual_class(track))
                file.write(
                    f'  <track id="{track.track_id[0]}" label={_attribute(label)} source="auto">\n'
                )
                file.writelines(_boxes(track, each.video.length, self._tolerance))
                file.write("  </track>\n")
            file.write("</annotations>\n")

    def matches(self, path: Path) -> bool:
        """Return whether it is XML, or a zip file or folder with annotations.xml."""
        return path.suffix.lower() == ".xml" or bool(names_in_tree(path, *_INSIDE_ZIP))

    def read(self, path: Path) -> dict[str, RecordedSequence]:
        """Return the tasks by name, boxes between keyframes interpolated."""
        with _opened(path) as (file, where):
            reader = _Reader()
            parse(file, where, reader.start, reader.end)
        return reader.sequences(path, where)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], str]]:
    """Yield (XML file, how a message names it)."""
    if is_tree(path):
        with TreeReader(path) as tree:
            names = tree.names(*_INSIDE_ZIP)
            if len(names) != 1:
                raise UsageError(f"{path}: want one annotations.xml in there, found {len(names)}")
            with tree.binary(names[0]) as file:
                yield file, tree.where(names[0])
        return
    try:
        with path.open("rb") as file:
            yield file, str(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def _head(each: RecordedSequence) -> str:
    video = each.video
    labels = "".join(
        f"        <label><name>{_text(label)}</name><type>rectangle</type><attributes/></label>\n"
        for label in labels_in(each)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        f"  <meta>\n    <task>\n      <name>{_text(each.name)}</name>\n"
        f"      <size>{video.length}</size>\n      <mode>interpolation</mode>\n"
        "      <overlap>0</overlap>\n      <start_frame>0</start_frame>\n"
        f"      <stop_frame>{max(video.length - 1, 0)}</stop_frame>\n"
        f"      <labels>\n{labels}      </labels>\n"
        f"      <original_size><width>{video.width}</width><height>{video.height}</height>"
        f"</original_size>\n      <source>{_text(Path(media_of(each)).name)}</source>\n"
        "    </task>\n  </meta>\n"
    )


def _boxes(track: BoxTable, length: int, tolerance: float) -> Iterator[str]:
    hidden = track.state == "coasting"
    runs = spans(track.frame, hidden)
    for place, (first, end) in enumerate(runs):
        run = track[first:end]
        kept = run[simplified(run.frame, run.xyxy, tolerance, norm=math.inf)]
        occluded = int(hidden[first])
        boxes = kept.xyxy.round(2).tolist()
        for frame, box in zip(kept.frame.tolist(), boxes, strict=True):
            yield _box(frame, box, outside=0, occluded=occluded)
        after = int(run.frame[-1]) + 1
        follows = place + 1 < len(runs) and int(track.frame[runs[place + 1][0]]) == after
        if not follows and after < length:
            yield _box(after, boxes[-1], outside=1, occluded=occluded)


def _box(frame: int, box: list[float], *, outside: int, occluded: int) -> str:
    x1, y1, x2, y2 = box
    return (
        f'    <box frame="{frame}" keyframe="1" outside="{outside}" occluded="{occluded}" '
        f'xtl="{x1:.2f}" ytl="{y1:.2f}" xbr="{x2:.2f}" ybr="{y2:.2f}" z_order="0"/>\n'
    )


def _text(text: str) -> str:
    return escape(_allowed(text))


def _attribute(text: str) -> str:
    return quoteattr(_allowed(text))


def _allowed(text: str) -> str:
    """Return `text` with "_" for what XML cannot hold: control characters and lone surrogates."""
    return _NOT_XML.sub("_", text)


class _Reader:
    """Collects tasks and tracks while the XML is parsed."""

    def __init__(self) -> None:
        self._tasks: dict[str, dict[str, str]] = {}
        self._task: dict[str, str] = {}
        self._tracks: dict[str, list[BoxTable]] = {}
        self._labels: dict[str, Labels] = {}
        self._track: Mapping[str, str] = {}
        self._rows: list[tuple[int, float, float, float, float, bool]] = []
        self._others = 0
        self._boxes = 0

    def start(self, path: tuple[str, ...], attributes: Mapping[str, str]) -> None:
        """Take an element's beginning."""
        if path[0] != "annotations":
            raise ValueError(f"want <annotations>, got <{path[0][:40]}>")
        if path in (_TASK, _JOB, _PROJECT_TASK):
            self._task = {}
        elif path == ("annotations", "image"):
            raise ValueError("annotations of images have no tracks: export 'CVAT for video 1.1'")
        elif path == ("annotations", "track"):
            self._track, self._rows = attributes, []
        elif path == ("annotations", "track", "box"):
            self._rows.append(_row(attributes))

    def end(self, path: tuple[str, ...], text: str) -> None:
        """Take an element's end."""
        for place in (_TASK, _JOB, _PROJECT_TASK):
            if path[: len(place)] == place:
                self._task["/".join(path[len(place) :])] = text.strip()
        if path in (_TASK, _JOB, _PROJECT_TASK):
            self._tasks[self._task.get("id", "")] = self._task
        elif path == ("annotations", "track"):
            self._add_track()

    def _add_track(self) -> None:
        task = self._track.get("task_id") or next(iter(self._tasks), "")
        label = self._labels.setdefault(task, Labels()).id_of(self._track["label"])
        tables = self._tracks.setdefault(task, [])
        if not self._rows:
            self._others += 1
            return
        # A frame's last box counts, as in CVAT.
        rows = [*{row[0]: row for row in sorted(self._rows, key=lambda row: row[0])}.values()]
        frame, *xyxy, outside = zip(*rows, strict=True)
        seen = ~np.array(outside, bool)
        frames, boxes = expanded(np.array(frame, np.int64), np.array(xyxy, float).T, seen)
        kept = ~np.isin(frames, np.array(frame)[~seen])
        track_id = whole(self._track.get("id", str(len(tables) + 1)))
        n = int(kept.sum())
        self._boxes += n
        check_filled(self._boxes)
        tables.append(
            BoxTable.of(frames[kept], np.full(n, track_id), boxes[kept], class_id=np.full(n, label))
        )

    def sequences(self, path: Path, where: str) -> dict[str, RecordedSequence]:
        """Return what was read."""
        if self._others:
            log.warning("%s: %d tracks without boxes are left out", where, self._others)
        found: dict[str, RecordedSequence] = {}
        for task_id, task in (self._tasks or {"": {}}).items():
            name = task.get("name") or Path(task.get("source", "")).stem or path.stem
            if name in found:
                raise UsageError(f"{where}: two tasks are called '{name}'")
            plain = BoxTable.joined(self._tracks.get(task_id, []))
            table = BoxTable.of(
                plain.frame, counted_from_1(plain.track_id), plain.xyxy, class_id=plain.class_id
            )
            labels = self._labels.get(task_id, Labels())
            media = {0: task["source"]} if task.get("source") else {}
            video = _video(task, int(table.frame.max(initial=-1)) + 1)
            found[name] = RecordedSequence(name, table, labels.names, path, video, media)
        return found


def _row(attributes: Mapping[str, str]) -> tuple[int, float, float, float, float, bool]:
    x1, y1, x2, y2 = (float(attributes[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
    angle = math.radians(float(attributes.get("rotation", 0)))
    frame = whole(attributes["frame"])
    if frame < 0 or not all(map(math.isfinite, (x1, y1, x2, y2, angle))):
        raise ValueError("want frames from 0 and finite numbers")
    if angle:  # the upright box around the turned one
        cx, cy, w, h = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
        sine, cosine = abs(math.sin(angle)), abs(math.cos(angle))
        half_w, half_h = (w * cosine + h * sine) / 2, (w * sine + h * cosine) / 2
        x1, y1, x2, y2 = cx - half_w, cy - half_h, cx + half_w, cy + half_h
    return frame, x1, y1, x2, y2, attributes.get("outside", "0") == "1"


def _video(task: Mapping[str, Any], last: int) -> VideoInfo:
    """Return the video as far as the task says it."""

    def number(key: str) -> int:
        text = task.get(key, "")
        return int(text) if text.isdecimal() and len(text) < 12 else 0

    width, height = number("original_size/width"), number("original_size/height")
    known = width > 0 and height > 0
    length = max(number("stop_frame") + 1 if "stop_frame" in task else number("size"), last)
    size = (width, height) if known else DEFAULT_SIZE
    return VideoInfo(DEFAULT_FPS, length, *size, has_known_size=known)
