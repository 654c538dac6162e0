"""Reads annotations corrected in other tools, in any of the supported formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.archive.formats._format import ReadsAnnotations
from pipeline.config.plugins import FORMATS, plugin, plugin_names
from pipeline.core.errors import UsageError
from pipeline.core.options import unknown
from pipeline.core.sequences import RecordedSequence


def readers() -> dict[str, ReadsAnnotations]:
    """Return {name: format} of the built-in formats that annotations can be read from."""
    found = {}
    for name in plugin_names(FORMATS):
        module = plugin(FORMATS, name, FORMATS)
        if any(field.is_required() for field in module.Options.model_fields.values()):
            continue  # only exports have required options
        each = module.build(module.Options())
        if isinstance(each, ReadsAnnotations):
            found[name] = each
    return found


def looks_like_annotations(path: Path) -> bool:
    """Return whether a format knows the file or folder; raises UsageError if it is broken."""
    return path.exists() and _format_of(path, readers()) is not None


def read_annotations(path: Path, kind: str | None = None) -> dict[str, RecordedSequence]:
    """Return {sequence: boxes} of a file or folder; without `kind` the format is detected.

    Frames count from 0 and ids from 1; boxes between keyframes are interpolated. Raises UsageError.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    known = readers()
    if kind is not None and kind not in known:
        raise UsageError(unknown("format of annotations", kind, [*known]))
    kind = kind or _format_of(path, known)
    if kind is None:
        raise UsageError(f"{path}: want annotations ({', '.join(known)}), and looks like none")
    found = known[kind].read(path)
    for each in found.values():
        check_identities(each)
        _check_sides(each)
    return found


def check_identities(sequence: RecordedSequence) -> None:
    """Raise UsageError if a track has two boxes in one frame."""
    table = sequence.table
    order = np.lexsort((table.frame, table.track_id))
    frame, track_id = table.frame[order], table.track_id[order]
    again = (np.diff(frame) == 0) & (np.diff(track_id) == 0) & (track_id[1:] > 0)
    if again.any():
        place = int(again.argmax())
        raise UsageError(
            f"{sequence.path}: {sequence.name}: track {track_id[place]} has two boxes in frame "
            f"{frame[place]} (frames count from 0)"
        )


def _check_sides(sequence: RecordedSequence) -> None:
    """Raise UsageError for a box with its right edge left of the left one, or bottom above top."""
    table = sequence.table
    turned = (table.xyxy[:, 2:] < table.xyxy[:, :2]).any(axis=1)
    if turned.any():
        frame, (x1, y1, x2, y2) = table.frame[turned][0], table.xyxy[turned][0].tolist()
        raise UsageError(
            f"{sequence.path}: {sequence.name}: a box in frame {frame} (frames count from 0) has a "
            f"negative width or height: {x1:g}, {y1:g} to {x2:g}, {y2:g}"
        )


def _format_of(path: Path, known: dict[str, ReadsAnnotations]) -> str | None:
    return next((name for name, each in known.items() if each.matches(path)), None)
