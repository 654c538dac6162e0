"""Association of tracks and detections: overlapping pairs, gated assignment, duplicates.

`CandidatePairs` lists the pairs that overlap, `Matches` assigns them in one or several stages, and
`assign` solves the one-to-one assignment with the gate inside.
"""

from __future__ import annotations

import lap
import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import iou_of_pairs, overlapping_pairs
from pipeline.trackers._track_table import Float64, Observations, Rows


def assign(i: Rows, j: Rows, benefit: Float64, shape: tuple[int, int]) -> tuple[Rows, Rows, Rows]:
    """Return (i, j, pair) of the matching with the greatest benefit: rows, columns, list positions.

    Pair p would match row `i[p]` with column `j[p]` for `benefit[p]`; a pair is listed at most
    once, and `shape` bounds the rows and columns. Pairs with a benefit that is not positive, NaN or
    infinite are never matched, and that *is* the gate: with benefit = limit - cost the outcome is
    that of `lap.lapjv(cost, extend_cost=True, cost_limit=limit)`, while gating after a plain
    assignment lets hopeless pairs displace good ones.

    Most pairs need no search: one with a greater benefit than all its rivals in its row and column
    together is part of every best matching, because including it costs at most two of them. Only
    the rest goes to the Jonker-Volgenant algorithm, as a small matrix.
    """
    open_pairs = ((benefit > 0) & (benefit < np.inf)).nonzero()[0]
    settled = [open_pairs[:0]]
    while len(open_pairs):
        rows, columns, gain = i.take(open_pairs), j.take(open_pairs), benefit.take(open_pairs)
        rivals = np.bincount(rows, gain, shape[0]).take(rows)
        rivals += np.bincount(columns, gain, shape[1]).take(columns)
        sure = 3 * gain > rivals
        if not sure.any():
            settled.append(open_pairs.take(_search(rows, columns, gain)))
            break
        settled.append(open_pairs[sure])
        if len(settled[-1]) == len(open_pairs):
            break
        taken = np.zeros(shape[0], bool), np.zeros(shape[1], bool)
        taken[0][rows[sure]] = True
        taken[1][columns[sure]] = True
        open_pairs = open_pairs[~(taken[0].take(rows) | taken[1].take(columns))]
    pair = np.concatenate(settled)
    return i.take(pair), j.take(pair), pair


def _search(rows: Rows, columns: Rows, gain: Float64) -> Rows:
    """Return the list positions of the best matching."""
    row, column = _numbered(rows), _numbered(columns)
    cost = np.zeros((row.max() + 1, column.max() + 1))
    cost[row, column] = -gain
    # Everything not listed costs 0, like staying unmatched: no cost_limit is needed.
    column_of_row: NDArray[np.int32] = lap.lapjv(cost, extend_cost=True, return_cost=False)[0]
    chosen: Rows = (column_of_row[row] == column).nonzero()[0]
    return chosen


def _numbered(values: Rows) -> Rows:
    """Return numbers from 0 for the ascending values: np.unique's inverse, without sorting."""
    there = np.zeros(values.max() + 1, np.intp)
    there[values] = 1
    there = there.cumsum()
    there -= 1
    return there.take(values)


def others(n: int, taken: Rows) -> Rows:
    """Return the rows of 0..n-1 that are not in `taken`, ascending."""
    free = np.ones(n, bool)
    free[taken] = False
    return free.nonzero()[0]


Mask = NDArray[np.bool_]


class Matches:
    """The matches of T tracks and N detections, found in one stage or several."""

    def __init__(self, tracks: int, detections: int) -> None:
        self._shape = tracks, detections
        self.free_track = np.ones(tracks, bool)
        self.free_detection = np.ones(detections, bool)
        self._tracks: list[Rows] = []
        self._found: list[Rows] = []

    def match(self, pairs: CandidatePairs, benefit: Float64, gate: Mask | None = None) -> None:
        """Match tracks and detections still free so that the sum of benefits > 0 is greatest.

        A `gate` bool[P] is applied after the assignment, as in the published SORT.
        """
        i, j = pairs.i, pairs.j
        if pairs.weight is not None:
            benefit = benefit * pairs.weight
        if self._tracks:
            free = self.free_track.take(i)
            free &= self.free_detection.take(j)
            free &= benefit > 0
            places = free.nonzero()[0]
            if not len(places):
                return
            i, j, benefit = i.take(places), j.take(places), benefit.take(places)
        tracks, found, pair = assign(i, j, benefit, self._shape)
        if gate is not None:
            passed = gate.take(pair)
            tracks, found = tracks[passed], found[passed]
        self.free_track[tracks] = False
        self.free_detection[found] = False
        self._tracks.append(tracks)
        self._found.append(found)

    @property
    def pairs(self) -> tuple[Rows, Rows]:
        """(track rows, places of detections) matched so far."""
        if len(self._tracks) == 1:
            return self._tracks[0], self._found[0]
        none = np.empty(0, np.intp)
        return np.concatenate([none, *self._tracks]), np.concatenate([none, *self._found])


class CandidatePairs:
    """The overlapping pairs (i, j) of a track's and a detection's box, and their IoU.

    `worth` f64[P] is a factor on a pair's benefit in a matching; None: 1 for all.
    """

    weight: Float64 | None = None

    def __init__(self, tracks: Float64, detections: Float64, growth: Float64 | None = None) -> None:
        """Take boxes f64[4,T] and f64[4,N].

        With `growth` f64[T] both boxes of a pair are grown by that many pixels of the track on each
        side (Yang et al. 2023, C-BIoU: the IoU of buffered boxes).
        """
        if growth is None:
            self.i, self.j = overlapping_pairs(tracks.T, detections.T)
            self.overlap = iou_of_pairs(tracks.T, detections.T, self.i, self.j)
            return
        # Two boxes that grow meet where one meets the other grown twice as much.
        self.i, self.j = overlapping_pairs(grown(tracks, 2 * growth).T, detections.T)
        theirs = grown(detections.take(self.j, 1), growth.take(self.i))
        ours, each = grown(tracks, growth), np.arange(len(self.i))
        self.overlap = iou_of_pairs(ours.T, theirs.T, self.i, each)

    def weigh_by_height(self, tracks: Float64, detections: Float64) -> None:
        """Multiply each overlap by the smaller of the pair's heights over the larger."""
        ours, theirs = (tracks[3] - tracks[1]).take(self.i), detections[3] - detections[1]
        ratio = ours / theirs.take(self.j)
        self.overlap *= np.minimum(ratio, 1 / ratio)


def grown(xyxy: Float64, more: Float64) -> Float64:
    """Return boxes f64[4,n] with `more`, f64[n] or f64[2,n] (x, y), added on each side."""
    return np.concatenate((xyxy[:2] - more, xyxy[2:] + more))


def duplicates(
    xyxy: Float64, lost: Mask, since: Float64, class_id: Float64, min_iou: float
) -> Rows:
    """Return the rows of boxes f64[4,n] that duplicate another track: a lost and a seen one.

    Of two tracks of one class that overlap more than `min_iou`, the later one is returned. Tracks
    of two classes are never duplicates: the lost one would suppress an object that is seen, and
    whose detections it may never take.
    """
    gone, here = lost.nonzero()[0], (~lost).nonzero()[0]
    pairs = CandidatePairs(xyxy.take(gone, 1), xyxy.take(here, 1))
    same = (pairs.overlap > min_iou).nonzero()[0]
    old, new = gone[pairs.i[same]], here[pairs.j[same]]
    alike = class_id[old] == class_id[new]
    old, new = old[alike], new[alike]
    younger: Rows = np.where(since[new] <= since[old], old, new)
    return younger


def without_second_boxes(
    seen: Observations, new: Rows, found: Rows, limits: tuple[float, float]
) -> Rows:
    """Return which of `new` are not a second box on an object that has a track.

    A network may take one object for a car and for a truck at once, or for two of a kind. `found`
    are the detections that tracks have got; of two new ones of two classes the better stays. The
    limits are the least IoU of two boxes on one object: of one class, and of two.
    """
    class_id, (min_iou, min_iou_other_class) = seen.class_id, limits
    if not len(new) or (min_iou >= 1 and (class_id == class_id[new[0]]).all()):
        return new
    order = np.concatenate((found, new))
    pairs = CandidatePairs(seen.xyxy.take(new, 1), seen.xyxy.take(order, 1))
    if not ((pairs.overlap > min(limits)) & (pairs.i + len(found) != pairs.j)).any():
        return new
    # Tracked ones first, then the new ones, best first: each is compared with those before it.
    ranked = new.take((-seen.score.take(new)).argsort(kind="stable"))
    order = np.concatenate((found, ranked))
    pairs = CandidatePairs(seen.xyxy.take(ranked, 1), seen.xyxy.take(order, 1))
    i, j = pairs.i + len(found), pairs.j
    alike = class_id.take(order.take(i)) == class_id.take(order.take(j))
    same = (j < i) & (pairs.overlap > np.where(alike, min_iou, min_iou_other_class))
    # Two new ones of a class may be two people; it turns out later.
    same &= ~alike | (j < len(found))
    shown = np.ones(len(order), bool)
    for each, other in sorted(zip(i[same].tolist(), j[same].tolist(), strict=True)):
        shown[each] &= not shown[other]
    return np.sort(ranked[shown[len(found) :]])
