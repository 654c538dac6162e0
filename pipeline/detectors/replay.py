"""Replay detector: reads detections from MOTChallenge or KITTI text, or our CSV or JSONL files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from pipeline.core.class_ids import wanted_ids
from pipeline.core.data import ClassNames, Detections, Frame
from pipeline.core.errors import ModelError
from pipeline.core.interfaces import Detector
from pipeline.core.options import OptionsModel
from pipeline.core.sequences import RecordedSequence, load_sequences

INNER = "det/det.txt"
BATCH = 16


class Options(OptionsModel):
    """Options of the replay detector: files, lowest score, classes."""

    paths: tuple[str, ...] = Field(min_length=1)
    """Files or folders. <seq>/det/det.txt belongs to the source named <seq>, other text to the
    source named as the file; CSV and JSONL say so. A lone sequence goes with any one source."""
    conf: float = Field(0.0, ge=0, le=1)
    """Lowest score to report, 0..1."""
    classes: tuple[int | str, ...] | None = None
    """Class names or ids to keep; all when null."""
    class_name: str = Field("person", min_length=1)
    """Class of the boxes in files without classes, such as MOTChallenge's."""


def build(options: Options) -> Detector:
    """Return the detector; nothing is read yet."""
    return ReplayDetector(options)


class ReplayDetector:
    """Detector that looks a frame's detections up by the source's name and the frame's index.

    Scores are passed on as they are if all files keep within 0..1. Otherwise they are taken for
    logits, and the logistic function makes them 0..1 in the same order.
    """

    batch_size = BATCH

    def __init__(self, options: Options) -> None:
        self._options = options
        self._found: Mapping[str, _Lookup] = {}
        self._lone_source: str | None = None

    def open(self, *, prefer_latency: bool = False) -> ClassNames:  # noqa: ARG002
        """Read the files; raises UsageError with file and line where one is malformed."""
        self.close()
        sequences = load_sequences(map(Path, self._options.paths), INNER)
        if not sequences:
            raise ModelError(f"replay: no detections in {', '.join(self._options.paths)}")
        names: dict[int, str] = {}
        for sequence in sequences.values():
            names = {**sequence.class_names, **names}
            if not len(sequence.table) or (sequence.table.class_id < 0).any():
                names.setdefault(0, self._options.class_name)
        wanted = wanted_ids(self._options.classes, names) if self._options.classes else None
        as_logits = any(_beyond_0_1(each) for each in sequences.values())
        self._found = {
            name: _Lookup(sequence, as_logits, self._options.conf, wanted)
            for name, sequence in sequences.items()
        }
        return names

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return each frame's detections; raises ModelError for a source without any file."""
        return [self._of(frame.source).at(frame.index) for frame in frames]

    def close(self) -> None:
        """Forget the detections."""
        self._found = {}
        self._lone_source = None

    def _of(self, source: str) -> _Lookup:
        if source in self._found:
            return self._found[source]
        if len(self._found) == 1 and self._lone_source in (None, source):
            self._lone_source = source
            return next(iter(self._found.values()))
        known = ", ".join(sorted(self._found)) or "none: open() comes first"
        raise ModelError(f"replay: no detections for source '{source}' (there are: {known})")


class _Lookup:
    """One sequence's detections by frame."""

    def __init__(
        self, sequence: RecordedSequence, as_logits: bool, conf: float, wanted: list[int] | None
    ) -> None:
        table = sequence.table
        score = 1 / (1 + np.exp(-table.score.clip(-50, 50))) if as_logits else table.score
        class_id = table.class_id.clip(min=0)
        keep = (score >= conf) & (table.state == "matched")
        if wanted is not None:
            keep &= np.isin(class_id, wanted)
        rows = np.flatnonzero(keep)
        rows = rows[table.frame[rows].argsort(kind="stable")]
        self._frame = table.frame[rows]
        self._all = Detections(
            table.xyxy[rows].astype(np.float32),
            score[rows].astype(np.float32),
            class_id[rows].astype(np.int32),
        )

    def at(self, index: int) -> Detections:
        """Return a copy of the detections of frame `index`, in the file's order."""
        first, last = self._frame.searchsorted([index, index + 1])
        return self._all[np.arange(first, last)]


def _beyond_0_1(sequence: RecordedSequence) -> bool:
    score = sequence.table.score
    return bool((score < 0).any() or (score > 1 + 1e-6).any())
