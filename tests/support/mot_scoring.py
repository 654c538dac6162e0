"""MOTChallenge folders, a tracker driven over them and its scores, all by the product's code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.archive.tracks import load_tracks
from pipeline.core.interfaces import Tracker
from pipeline.tools.evaluate.scoring import Scores
from pipeline.tools.evaluate.scoring import score as score_tracks
from pipeline.tools.evaluate.tracking import follow, recorded_frames
from pipeline.tools.evaluate.tracks import rows_to_score
from pipeline.tools.evaluate.truth import load_truth


@dataclass(frozen=True)
class Sequence:
    """One MOTChallenge folder: `seqinfo.ini`, `gt/gt.txt` and `det/det.txt`."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name


def write_tracks(
    build: Callable[[], Tracker], sequences: list[Sequence], folder: Path, *, coasting: bool = False
) -> None:
    """Write `<folder>/<sequence>.txt` for each sequence, every one by a fresh tracker."""
    folder.mkdir(parents=True, exist_ok=True)
    for sequence in sequences:
        seen = recorded_frames(sequence.folder)[sequence.name]
        table = follow(build(), seen, coasting=coasting)
        rows = np.full((len(table), 10), -1.0)
        rows[:, 0] = table.frame + 1
        rows[:, 1] = table.track_id
        rows[:, 2:4] = table.xyxy[:, :2]
        rows[:, 4:6] = table.xyxy[:, 2:] - table.xyxy[:, :2]
        rows[:, 6] = table.score
        form = ["%d", "%d", *["%.3f"] * 4, "%.4f", "%d", "%d", "%d"]
        np.savetxt(folder / f"{sequence.name}.txt", rows, delimiter=",", fmt=form)


def score(sequences: list[Sequence], tracks: Path, benchmark: str) -> Scores:
    """Return {sequence: figures} and "COMBINED" by the rules of "MOT15" or "MOT17"."""
    truths = {each.name: load_truth(each.folder, "mot")[each.name] for each in sequences}
    assert {truth.rules for truth in truths.values()} == {benchmark}
    return score_tracks(truths, rows_to_score(load_tracks(tracks, "tracks.csv"), "mot"))
