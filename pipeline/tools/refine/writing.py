"""Files of tracks refined and written in their input's format; unchanged boxes keep their text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.atomic_file import write_text
from pipeline.core.errors import OutputError, UsageError
from pipeline.core.sequences import video_of
from pipeline.core.track_files import FILLED_MARK, Recording, meta_path, read_recording
from pipeline.tools.refine.options import RefineOptions
from pipeline.tools.refine.refine import Refined, refine

_MOT_COLUMNS = 10
_BOX = ("x1", "y1", "x2", "y2")

RefinedSequences = dict[str, tuple[float, Refined]]
"""By sequence, the frame rate that was used and the refined tracks."""


def refine_file(
    path: Path, output: Path, options: RefineOptions, fps: float | None = None
) -> RefinedSequences:
    """Refine the tracks of the file `path` into `output`.

    `fps` is used instead of the frame rate that the file says. Raises UsageError for a file that
    holds no tracks, OutputError and MissingExtraError.
    """
    recording = read_recording(path)
    if recording.kind == "kitti":
        raise UsageError(f"{path}: holds detections, not tracks")
    done: RefinedSequences = {}
    for name, table in recording.tables.items():
        rate = fps if fps is not None else video_of(recording, name).fps
        done[name] = rate, refine(table, rate, options)
    write_recording(output, recording, {name: refined for name, (_, refined) in done.items()})
    return done


def write_recording(path: Path, recording: Recording, refined: Mapping[str, Refined]) -> None:
    """Write a recording's sequences one after the other, by frame and track; raises OutputError.

    Filled rows have the state "filled"; in MOTChallenge text the last of ten columns is -2 there
    (elsewhere -1). The file appears in one step.
    """
    if path.exists() and path.samefile(recording.path):
        raise UsageError(f"{path}: is the input; choose another output with -o")
    form = {"csv": _csv, "jsonl": _jsonl}.get(recording.kind, _mot)
    texts = {path: form(recording, refined)}
    if recording.kind == "jsonl" and recording.header:
        meta = {key: value for key, value in recording.header.items() if key != "type"}
        texts[meta_path(path)] = json.dumps(meta, ensure_ascii=False, indent=2) + "\n"
    for each, text in texts.items():
        try:
            write_text(each, text)
        except OSError as error:
            raise OutputError(f"{each}: cannot be written: {error.strerror}") from None


def _mot(recording: Recording, refined: Mapping[str, Refined]) -> str:
    lines = []
    for one in refined.values():
        table, changed = one.table, _moved(recording, one)
        for row, record in enumerate(table.record.tolist()):
            x1, y1, x2, y2 = table.xyxy[row].tolist()
            box = [f"{number:.2f}" for number in (x1, y1, x2 - x1, y2 - y1)]
            head = [str(table.frame[row] + 1), str(table.track_id[row])]
            if record < 0:
                cells = [*head, *box, f"{table.score[row]:.4f}", "-1", "-1", str(FILLED_MARK)]
            else:
                was = recording.records[record]
                kept = box if changed[row] else was[2:6]
                identity = head[1] if table.track_id[row] else was[1]
                cells = [was[0], identity, *kept, *was[6:]]
                cells += ["1"] * (7 - len(cells))
                cells += ["-1"] * (_MOT_COLUMNS - len(cells))
            lines.append(",".join(cells) + "\n")
    return "".join(lines)


def _csv(recording: Recording, refined: Mapping[str, Refined]) -> str:
    columns = [*recording.columns]
    columns += [name for name in ("track_id", "state") if name not in columns]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for one in refined.values():
        writer.writerows(_records(recording, one))
    return text.getvalue()


def _jsonl(recording: Recording, refined: Mapping[str, Refined]) -> str:
    lines: list[Mapping[str, Any]] = []
    for one in refined.values():
        lines.extend(_records(recording, one))
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _records(recording: Recording, one: Refined) -> Iterator[dict[str, Any]]:
    """Yield the named records; what joining and filling changes is set, the rest stays."""
    table, changed = one.table, _moved(recording, one)
    start: dict[int, tuple[float, float]] = {}
    for row, (record, track_id) in enumerate(
        zip(table.record.tolist(), table.track_id.tolist(), strict=True)
    ):
        was = recording.records[one.before[row]]
        now = {**was, "track_id": track_id, "state": was.get("state") or "matched"}
        if record < 0 or changed[row]:
            now |= dict(zip(_BOX, table.xyxy[row].round(2).tolist(), strict=True))
        if record < 0:
            now["frame"] = int(table.frame[row])
            now["state"] = "filled"
            now["score"] = round(float(table.score[row]), 4)
            now |= _times(was, recording.records[one.after[row]], float(table.pts_s[row]))
        if track_id and was.get("age_s") not in (None, "") and np.isfinite(table.pts_s[row]):
            pts_s = float(table.pts_s[row])
            born, age = start.setdefault(track_id, (pts_s, float(was["age_s"])))
            if record < 0 or int(was["track_id"]) != track_id:
                now["age_s"] = round(age + pts_s - born, 3)
        yield now


def _times(before: Mapping[str, Any], after: Mapping[str, Any], pts_s: float) -> dict[str, Any]:
    """Return the time columns of a row between two others, as far as those have them."""
    times: dict[str, Any] = {}
    if np.isfinite(pts_s):
        times["pts_s"] = round(pts_s, 6)
        first, last = float(before["pts_s"]), float(after["pts_s"])
        if before.get("utc") and after.get("utc") and last > first:
            began, ended = (datetime.fromisoformat(each["utc"]) for each in (before, after))
            moment = began + (ended - began) * ((pts_s - first) / (last - first))
            text = moment.isoformat(timespec="milliseconds")
            times["utc"] = text.replace("+00:00", "Z")
    return times


def _moved(recording: Recording, one: Refined) -> list[bool]:
    """Return for each row whether its box is no longer the one that was read."""
    original = np.full((len(recording.records), 4), np.nan)
    for table in recording.tables.values():
        original[table.record] = table.xyxy
    moved = (one.table.record >= 0) & (original[one.table.record] != one.table.xyxy).any(axis=1)
    return [bool(each) for each in moved]
