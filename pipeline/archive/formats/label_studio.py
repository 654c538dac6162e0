"""Label Studio tasks for video object tracking: one JSON list, a task for each video.

Boxes are keyframes in percent of the picture; after a keyframe that is not `enabled` the object is
gone until the next. Frames count from 1. https://labelstud.io/tags/videorectangle.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.archive.formats._format import (
    Labels,
    Layout,
    label_of,
    media_of,
    read_fps,
    tracks_of,
    usual_class,
)
from pipeline.archive.formats._json import compact, head_of, member, read_json
from pipeline.archive.formats._keyframes import check_filled, expanded, spans
from pipeline.core.errors import UsageError
from pipeline.core.options import OptionsModel
from pipeline.core.sequences import RecordedSequence, VideoInfo
from pipeline.core.simplification import simplified
from pipeline.core.track_files import BoxTable, whole

_OURS = re.compile(r"track-(\d{1,18})")
_BOX = ("x", "y", "width", "height")


class Options(OptionsModel):
    """Options of the tasks."""

    tolerance: float = Field(default=0.0, ge=0)
    """Pixels by which a side may be off between keyframes; 0 makes every box a keyframe."""
    as_annotations: bool = False
    """Write `annotations`, which count as done by a person, instead of `predictions`."""
    url: str = ""
    """Where Label Studio finds the videos: what stands before the file's name. By default the path
    as it is in the tracks."""
    from_name: str = "box"
    """Name of the tag VideoRectangle in the labelling configuration."""
    to_name: str = "video"
    """Name of the tag Video, and of the key of the task's data."""


def build(options: Options) -> LabelStudioFormat:
    """Return the format."""
    return LabelStudioFormat(options)


class LabelStudioFormat:
    """Writes tasks for import, and reads what Label Studio exports as JSON.

    A track has one label, the one most of its boxes have.
    """

    layout: Layout = "file"
    suffix = ".json"
    one_size = True
    needs_size = True

    def __init__(self, options: Options) -> None:
        self._options = options

    def write(self, sequences: Iterable[RecordedSequence], path: Path) -> None:
        """Write a task for each sequence, a track at a time; raises OSError."""
        kind: Literal["annotations", "predictions"] = (
            "annotations" if self._options.as_annotations else "predictions"
        )
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write("[")
            for place, each in enumerate(sequences):
                about = {"model_version": "trackline"} if kind == "predictions" else {}
                head = compact({"data": self._data(each)})[:-1]
                begin = compact(about)[:-1] + ("," if about else "")
                file.write(f'{"," if place else ""}\n{head},"{kind}":[{begin}"result":[')
                separator = "\n"
                for track in tracks_of(each.table):
                    file.write(separator + compact(self._region(each, track)))
                    separator = ",\n"
                file.write("]}]}")
            file.write("]\n")

    def matches(self, path: Path) -> bool:
        """Return whether it is a JSON list of tasks."""
        head = head_of(path)
        return head.startswith("[") and '"data"' in head

    def read(self, path: Path) -> dict[str, RecordedSequence]:
        """Return the tasks by name, boxes between keyframes interpolated.

        Of a task's annotations the last one that was not cancelled counts, else its prediction.
        Percentages become pixels by the width and height in the task's data.
        """
        tasks = read_json(path)
        if not isinstance(tasks, list):
            raise UsageError(f"{path}: want a list of tasks, got {type(tasks).__name__}")
        found: dict[str, RecordedSequence] = {}
        for place, task in enumerate(tasks):
            where = f"{path}: task {place + 1}"
            each = _sequence(path, where, task, member(task, "data", dict, where))
            if each.name in found:
                raise UsageError(f"{where}: '{each.name}' is there twice")
            found[each.name] = each
        return found

    def _data(self, each: RecordedSequence) -> dict[str, Any]:
        media, url = media_of(each), self._options.url
        if url:
            media = url + Path(media or each.name).name
        video = each.video
        return {
            self._options.to_name: media, "source": each.name, "fps": video.fps,
            "frames": video.length, "width": video.width, "height": video.height,
        }  # fmt: skip

    def _region(self, each: RecordedSequence, track: BoxTable) -> dict[str, Any]:
        video = each.video
        per_cent = 100 / np.array((video.width, video.height), np.float64)
        keyframes: list[dict[str, Any]] = []
        for first, end in spans(track.frame):
            run = track[first:end]
            kept = run[simplified(run.frame, run.xyxy, self._options.tolerance, norm=math.inf)]
            corner = (kept.xyxy[:, :2] * per_cent).round(6).tolist()
            size = ((kept.xyxy[:, 2:] - kept.xyxy[:, :2]) * per_cent).round(6).tolist()
            times = np.where(np.isfinite(kept.pts_s), kept.pts_s, kept.frame / video.fps)
            for frame, (x, y), (w, h), time in zip(
                kept.frame.tolist(), corner, size, times.round(6).tolist(), strict=True
            ):
                keyframes.append(
                    {
                        "frame": frame + 1, "enabled": True, "rotation": 0,
                        "x": x, "y": y, "width": w, "height": h, "time": time,
                    }
                )  # fmt: skip
            keyframes[-1]["enabled"] = False
        return {
            "id": f"track-{track.track_id[0]}",
            "type": "videorectangle",
            "from_name": self._options.from_name,
            "to_name": self._options.to_name,
            "origin": "prediction",
            "score": round(float(track.score.mean()), 4),
            "value": {
                "framesCount": video.length,
                "duration": round(video.length / video.fps, 6),
                "sequence": keyframes,
                "labels": [label_of(each.class_names, usual_class(track))],
            },
        }


def _sequence(
    path: Path, where: str, task: Mapping[str, Any], data: Mapping[str, Any]
) -> RecordedSequence:
    labels = Labels()
    tables: list[BoxTable] = []
    length = 0
    try:
        size = whole(data.get("width") or 0), whole(data.get("height") or 0)
        if not all(size):
            raise ValueError("the task's data has no width and height to turn percent into pixels")
        fps = read_fps(data)
        regions = [*_regions(task)]
        ids = _ids([str(region.get("id", "")) for region in regions])
        for region, track_id in zip(regions, ids, strict=True):
            value = region["value"]
            length = max(length, whole(value.get("framesCount") or 0))
            frame, xyxy = _boxes(value["sequence"], length)
            check_filled(sum(len(each) for each in tables) + len(frame))
            n = len(frame)
            label = str((value.get("labels") or ["object"])[0])
            tables.append(
                BoxTable.of(
                    frame, np.full(n, track_id), xyxy, class_id=np.full(n, labels.id_of(label))
                )
            )
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise UsageError(f"{where}: no video object tracking: {error}") from None
    table = BoxTable.joined(tables)
    table.xyxy[:] *= np.array((*size, *size)) / 100
    media = next((str(v) for v in data.values() if isinstance(v, str) and Path(v).suffix), "")
    name = str(data.get("source") or Path(media).stem or path.stem)
    last = max(length, whole(data.get("frames") or 0), int(table.frame.max(initial=-1)) + 1)
    video = VideoInfo(fps, last, *size)
    return RecordedSequence(name, table, labels.names, path, video, {0: media} if media else {})


def _regions(task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the boxes' regions of the task's last annotation, else of its last prediction."""
    done = [each for each in task.get("annotations") or [] if not each.get("was_cancelled")]
    for result in (done or task.get("predictions") or [{}])[-1].get("result", []):
        if result.get("type") == "videorectangle":
            yield result


def _ids(names: list[str]) -> list[int]:
    """Return a track id for each region: its own where we wrote it, else above all of those."""
    known = [int(found[1]) if (found := _OURS.fullmatch(name)) else 0 for name in names]
    used: set[int] = set()
    following = max(known, default=0) + 1
    for place, track_id in enumerate(known):
        if track_id == 0 or track_id in used:
            known[place], following = following, following + 1
        used.add(known[place])
    return known


def _boxes(
    sequence: list[Mapping[str, Any]], length: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (frames from 0, xyxy in percent); what is enabled at the end goes on to `length`."""
    if not sequence:
        return np.empty(0, np.int64), np.empty((0, 4))
    rows = {whole(each["frame"]) - 1: each for each in sequence}
    frame = np.array(sorted(rows), np.int64)
    if frame[0] < 0:
        raise ValueError("frames count from 1")
    xywh = np.array([[float(rows[f][key]) for key in _BOX] for f in frame.tolist()])
    if not np.isfinite(xywh).all() or not math.isfinite(length):
        raise ValueError("a number is not finite")
    goes_on = np.array([bool(rows[f].get("enabled", True)) for f in frame.tolist()])
    if goes_on[-1] and frame[-1] + 1 < length:
        frame, xywh = np.append(frame, length - 1), np.vstack([xywh, xywh[-1:]])
        goes_on = np.append(goes_on, False)
    xyxy = np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])
    return expanded(frame, xyxy, goes_on)
