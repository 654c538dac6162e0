"""Track refinement: fragments joined, gaps filled, short false tracks dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.core.track_files import BoxTable
from pipeline.tools.refine.joining import joined
from pipeline.tools.refine.options import RefineOptions
from pipeline.tools.refine.smoothing import smoothed


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """The refined rows by frame and track, and counts of the changes.

    `table.record` is -1 for filled rows. `before` and `after` i64[N] are the records of the
    measured rows on both sides of a filled one (for others the record itself).
    """

    table: BoxTable
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    joined: int
    filled: int
    ghosts: int


def refine(table: BoxTable, fps: float, options: RefineOptions) -> Refined:
    """Return one sequence's tracks refined; rows without identity (id 0) stay as they are.

    Coasting rows, predicted without knowledge of later frames, are removed; if the track was found
    again within `fill_s`, filled rows replace them. Joined tracks take the smallest id. Without
    `smooth_measured` measured boxes are not changed. `fps` converts frames to seconds.
    """
    tracked = table.track_id > 0
    fragments = _fragments(table[tracked & (table.state != "coasting")])
    chains = _chains(joined(fragments, fps, options))
    tracks = [_chained([fragments[place] for place in chain]) for chain in chains]
    real = [track for track in tracks if not _is_ghost(track, fps, options)]
    parts = [_filled(track, fps, options) for track in real]
    rest = table[~tracked]
    parts.append((rest, rest.record, rest.record))
    whole, before, after = (
        BoxTable.joined([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
    )
    order = np.lexsort((whole.track_id, whole.frame))
    return Refined(
        table=whole[order],
        before=before[order],
        after=after[order],
        joined=len(fragments) - len(chains),
        filled=int(np.count_nonzero(whole.record < 0)),
        ghosts=len(tracks) - len(real),
    )


def _fragments(table: BoxTable) -> list[BoxTable]:
    """Return each track's rows by frame; of two rows of one track and frame the first counts."""
    table = table[np.lexsort((table.frame, table.track_id))]
    again = (np.diff(table.track_id) == 0) & (np.diff(table.frame) == 0)
    table = table[np.concatenate([np.ones(min(len(table), 1), bool), ~again])]
    edges = np.flatnonzero(np.diff(table.track_id)) + 1
    bounds = [0, *edges.tolist(), len(table)]
    return [table[a:b] for a, b in pairwise(bounds) if b > a]


def _chains(following: list[int]) -> list[list[int]]:
    """Return the places of the fragments that are one track, in order of time."""
    firsts = set(range(len(following))) - set(following)
    chains = []
    for first in sorted(firsts):
        chain = [first]
        while following[chain[-1]] >= 0:
            chain.append(following[chain[-1]])
        chains.append(chain)
    return chains


def _chained(fragments: list[BoxTable]) -> BoxTable:
    track = BoxTable.joined(fragments)
    return replace(track, track_id=np.full_like(track.track_id, track.track_id.min()))


def _is_ghost(track: BoxTable, fps: float, options: RefineOptions) -> bool:
    seconds = (track.frame[-1] - track.frame[0] + 1) / fps
    return bool(seconds < options.ghost_s and track.score.mean() < options.ghost_score)


def _filled(
    track: BoxTable, fps: float, options: RefineOptions
) -> tuple[BoxTable, NDArray[np.int64], NDArray[np.int64]]:
    """Return the track with its short gaps filled, and the records before and after each row."""
    missing = np.diff(track.frame) - 1
    short = np.flatnonzero((missing > 0) & (missing <= options.fill_s * fps))
    if len(track) < options.fill_share * (track.frame[-1] - track.frame[0] + 1):
        short = short[:0]
    smooths = options.smooth_measured and len(track) > 1
    if not len(short) and not smooths:
        return track, track.record, track.record
    boxes = smoothed(track.frame, track.xyxy, fps)
    first = track.frame[0]
    if smooths:
        track = replace(track, xyxy=boxes[track.frame - first])
    left = short.repeat(missing[short])
    place = np.arange(len(left)) - (missing[short].cumsum() - missing[short]).repeat(missing[short])
    right, frame = left + 1, track.frame[left] + place + 1
    share = (place + 1) / (track.frame[right] - track.frame[left])
    added = replace(
        track[left],
        frame=frame,
        xyxy=boxes[frame - first],
        score=track.score[left] * (1 - share) + track.score[right] * share,
        pts_s=track.pts_s[left] * (1 - share) + track.pts_s[right] * share,
        utc_s=track.utc_s[left] * (1 - share) + track.utc_s[right] * share,
        state=np.full(len(left), "filled"),
        record=np.full(len(left), -1),
    )
    before = np.concatenate([track.record, track.record[left]])
    after = np.concatenate([track.record, track.record[right]])
    return BoxTable.joined([track, added]), before, after
