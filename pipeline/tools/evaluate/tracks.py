"""The rows of tracks that count in an evaluation, and which truth they belong to."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from pipeline.core.errors import UsageError
from pipeline.core.sequences import RecordedSequence
from pipeline.core.track_files import BoxTable
from pipeline.tools.evaluate.truth import Data, Truth

# A file that names its classes is judged by these; "object" is what no class is known of.
USUAL_CLASSES: Mapping[Data, tuple[str, ...]] = {
    "mot": ("person", "pedestrian"),
    "kitti": ("car",),
}
_SHOWN = 12


def rows_to_score(
    sequences: Mapping[str, RecordedSequence],
    data: Data,
    *,
    coasting: bool = False,
    classes: Collection[str] | None = None,
) -> dict[str, BoxTable]:
    """Return {sequence: rows that count} of tracks.

    Rows a detection was matched to and those filled in afterwards count, coasting ones on
    request. Rows that say their class count if it is in `classes`, by default the one the data
    set is about; rows that do not say it count always. Raises UsageError.
    """
    wanted = {name.casefold() for name in classes or USUAL_CLASSES[data]}
    tables = {name: _counting(each, wanted, coasting) for name, each in sequences.items()}
    if not any(map(len, tables.values())) and any(len(each.table) for each in sequences.values()):
        path = next(iter(sequences.values())).path
        there = {name for each in sequences.values() for name in each.class_names.values()}
        raise UsageError(
            f"{path}: no tracks of class {', '.join(sorted(wanted))} "
            f"(there are: {_listed(there)}); choose with --classes"
        )
    return tables


def in_common(truths: Mapping[str, Truth], tracks: Mapping[str, BoxTable]) -> dict[str, Truth]:
    """Return the truths that there are tracks of; raises UsageError listing both if none."""
    common = {name: truth for name, truth in truths.items() if name in tracks}
    if not common:
        raise UsageError(
            "no sequence has both truth and tracks: "
            f"truth of {_listed(truths)}; tracks of {_listed(tracks)}"
        )
    return common


def _counting(sequence: RecordedSequence, wanted: Collection[str], coasting: bool) -> BoxTable:
    table, names = sequence.table, sequence.class_names
    keep = np.ones(len(table), bool) if coasting else table.state != "coasting"
    if (table.track_id[keep] < 1).any():
        raise UsageError(
            f"{sequence.path}: {sequence.name} has boxes without identity: detections, or tracked "
            "by 'none'"
        )
    others = [number for number, name in names.items() if name.casefold() not in wanted]
    return table[keep & ~np.isin(table.class_id, others)]


def _listed(names: Collection[str]) -> str:
    shown = sorted(names)[:_SHOWN]
    more = f", ... ({len(names)})" if len(names) > _SHOWN else ""
    return f"{', '.join(shown)}{more}" if shown else "none"
