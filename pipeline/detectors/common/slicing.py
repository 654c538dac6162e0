"""Sliced inference: overlapping tiles of a picture, and the boxes of all tiles as one set.

Small objects vanish when a large picture is scaled down to a network's input. Cut into tiles they
keep their pixels (Akyon et al., Slicing Aided Hyper Inference, ICIP 2022). Fusion here differs from
the paper's, which merges boxes of a class where half of the smaller one is in the other, and so
loses a car in front of a lorry: boxes of two tiles are one object where they agree on the part that
both tiles show.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import area_of_xyxy, iou_of_pairs, overlapping_pairs, usable_xyxy
from pipeline.core.data import Detections, Float32, Int32
from pipeline.core.masks import Mask

Rows = NDArray[np.intp]

AGREEMENT = 0.5
"""Intersection over union from which two boxes are one object; over the area of a box that is cut,
from which it is a part of the other."""
AGREEMENT_OVER_CLASSES = 0.7
"""The same for boxes of two classes: one tile says car and another lorry, of the same thing."""
REACH = 0.01
"""A box that ends within this part of its tile's side from an inner edge is cut by it: networks
end such boxes a few pixels early."""
SMALL, NESTED = 0.125, 0.7
"""A box of the whole picture whose longer side is at most this part of a tile's is a rough guess:
it yields to a tile's box of its class that shares this part of the smaller one, unless a tile has
a box for itself."""
MAX_CANDIDATES = 3_000
"""Limit of boxes considered, best first: bounds the time, not the quality."""


@lru_cache(maxsize=64)
def tiles_xyxy(size: tuple[int, int], side: int, overlap: float) -> Int32:
    """Return i32[T,4]: the whole picture of `size` (height, width), then its tiles row by row.

    All tiles have the same size, `side` or that of a picture that is smaller, and neighbours share
    at least `overlap` of it; the last ones are moved inwards. A picture of one tile is not cut.
    """
    height, width = size
    tops, lefts = _starts(height, side, overlap), _starts(width, side, overlap)
    whole = np.array([[0, 0, width, height]], np.int32)
    if len(tops) == len(lefts) == 1:
        return whole
    top, left = (each.ravel() for each in np.meshgrid(tops, lefts, indexing="ij"))
    tiles = np.stack((left, top, left + min(side, width), top + min(side, height)), axis=1)
    found = np.concatenate((whole, tiles.astype(np.int32)))
    found.flags.writeable = False
    return found


def _starts(length: int, side: int, overlap: float) -> Rows:
    last = max(length - side, 0)
    step = max(round(side * (1 - overlap)), 1)
    return np.append(np.arange(0, last, step), last)


@dataclass(frozen=True, slots=True)
class FusionRules:
    """Whether boxes of two classes must agree better, and how many are kept, best first."""

    by_class: bool = True
    max_det: int = 300


def fuse(found: list[Detections], tiles: Int32, rules: FusionRules) -> Detections:
    """Return the boxes of a whole picture, best first, from those found on each of its `tiles`.

    `tiles` is i32[T,4] from `tiles_xyxy`, `found` has one set for each of them, in pixels of the
    tile. A box cut off by an inner edge of its tile yields to the whole one; parts of an object
    that no tile shows completely are merged, with the mask and keypoints of the best part. Boxes of
    one tile are not merged with each other. Boxes that are not finite or have no area come last, so
    that the caller can count them.
    """
    if len(found) == 1:
        return found[0]
    tile = np.repeat(np.arange(len(found)), [len(each) for each in found])
    offset = np.tile(tiles[tile, :2], 2).astype(np.float32)
    boxes = Detections(
        np.concatenate([each.xyxy for each in found]) + offset,
        np.concatenate([each.score for each in found]),
        np.concatenate([each.class_id for each in found]),
    )
    usable = usable_xyxy(boxes.xyxy) & np.isfinite(boxes.score)
    rows = np.flatnonzero(usable)
    best = rows[np.argsort(-boxes.score[rows], kind="stable")[:MAX_CANDIDATES]]
    kept, xyxy = _fused(boxes[best], tiles[tile[best]].astype(np.float32), tiles[0], rules.by_class)
    kept = best[kept]
    order = np.argsort(-boxes.score[kept], kind="stable")
    kept = np.concatenate((kept[order], np.flatnonzero(~usable)))[: rules.max_det]
    xyxy = np.concatenate((xyxy[order], boxes.xyxy[~usable]))[: rules.max_det]
    return Detections(
        xyxy,
        boxes.score[kept],
        boxes.class_id[kept],
        _masks_in_picture(found, tiles, tile, kept),
        _keypoints_in_picture(found, offset, kept),
    )


def _masks_in_picture(
    found: list[Detections], tiles: Int32, tile: Rows, kept: Rows
) -> tuple[Mask, ...] | None:
    sets = [each.masks for each in found if each.masks is not None]
    if not sets:
        return None
    masks = [mask for each in sets for mask in each]
    width, height = tiles[0, 2:].tolist()
    return tuple(
        masks[row].moved(*tiles[tile[row], :2].tolist(), (height, width)) for row in kept.tolist()
    )


def _keypoints_in_picture(found: list[Detections], offset: Float32, kept: Rows) -> Float32 | None:
    sets = [each.keypoints for each in found if each.keypoints is not None]
    if not sets:
        return None
    keypoints = np.concatenate(sets)[kept]
    keypoints[..., :2] += offset[kept, None, :2]
    return keypoints


class _Seen(NamedTuple):
    """Boxes, best first, and their tiles; edges where a box is cut reach beyond both.

    So parts on both sides of a seam have a piece in common where tiles do not overlap, too, and
    a box that ends a little before the edge is as wide as what the other tile shows of it.
    """

    xyxy: Float32
    tile: Float32
    is_cut: NDArray[np.bool_]


def _fused(boxes: Detections, tile: Float32, whole: Int32, by_class: bool) -> tuple[Rows, Float32]:
    """Return rows and xyxy of usable boxes kept, best first; `tile` f32[N,4] are their tiles."""
    seen = _with_reach(boxes.xyxy, tile, whole)
    # Whole ones first, so that each pair begins with what the other yields to.
    order = np.argsort(seen.is_cut, kind="stable")
    boxes, tile = boxes[order], tile[order]
    seen = _Seen(seen.xyxy[order], seen.tile[order], seen.is_cut[order])
    one, other = _pairs_of_one_object(boxes, tile, seen, by_class)
    stays = ~_rough_guesses(boxes, tile, whole, np.union1d(one, other))
    whole_count = int(np.count_nonzero(~seen.is_cut))
    ends = one.searchsorted(np.arange(whole_count + 1))
    for row in range(whole_count):
        if stays[row]:
            stays[other[ends[row] : ends[row + 1]]] = False
    parts = stays[one] & stays[other] & seen.is_cut[one]
    kept, xyxy = _merged(boxes.xyxy, one[parts], other[parts], stays)
    return order[kept], xyxy


def _with_reach(xyxy: Float32, tile: Float32, whole: Int32) -> _Seen:
    reach = np.tile((tile[:, 2:] - tile[:, :2]) * np.float32(REACH), 2)
    # Left and top edges point to smaller numbers, right and bottom ones to larger.
    outwards = np.array((-1, -1, 1, 1), np.float32)
    is_inner = tile != whole
    cut = is_inner & ((tile - xyxy) * outwards <= reach)
    further = tile + outwards * reach
    return _Seen(
        np.where(cut, further, xyxy), np.where(is_inner, further, tile), np.any(cut, axis=1)
    )


def _pairs_of_one_object(
    boxes: Detections, tile: Float32, seen: _Seen, by_class: bool
) -> tuple[Rows, Rows]:
    """Return the rows (i, j), i < j, of all pairs that are one object, sorted by i."""
    one, other = overlapping_pairs(seen.xyxy, seen.xyxy)
    candidates = (one < other) & (tile[one] != tile[other]).any(axis=1)
    one, other = one[candidates], other[candidates]
    # What both tiles show of each box. Whole boxes are compared as they are: where one reaches out
    # of the other's tile, the other is another object.
    both_whole = ~seen.is_cut[other]
    a, b = seen.xyxy[one], seen.xyxy[other]
    a = np.where(both_whole[:, None], a, _clipped(a, seen.tile[other]))
    b = np.where(both_whole[:, None], b, _clipped(b, seen.tile[one]))
    pairs = np.arange(len(one))
    same_class = boxes.class_id[one] == boxes.class_id[other] if by_class else np.True_
    needed = np.where(same_class, AGREEMENT, AGREEMENT_OVER_CLASSES)
    same = iou_of_pairs(a, b, pairs, pairs) >= needed
    is_part = seen.is_cut[other] & ~seen.is_cut[one] & same_class
    shared = area_of_xyxy(_clipped(boxes.xyxy[one], boxes.xyxy[other]))
    same |= is_part & (shared >= AGREEMENT * area_of_xyxy(boxes.xyxy[other]))
    return one[same], other[same]


def _rough_guesses(
    boxes: Detections, tile: Float32, whole: Int32, agreeing: Rows
) -> NDArray[np.bool_]:
    """Return bool[N]: boxes of the whole picture that a tile shows better; see SMALL.

    `agreeing` are the rows of boxes that agree with another one.
    """
    of_whole = (tile == whole).all(axis=1)
    side = (tile[:, 2:] - tile[:, :2])[~of_whole].max(initial=0)
    rough = of_whole & ((boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).max(axis=1) <= SMALL * side)
    rough[agreeing] = False
    guesses, others = np.flatnonzero(rough), np.flatnonzero(~of_whole)
    one, other = overlapping_pairs(boxes.xyxy[guesses], boxes.xyxy[others])
    one, other = guesses[one], others[other]
    area = area_of_xyxy(boxes.xyxy)
    shared = area_of_xyxy(_clipped(boxes.xyxy[one], boxes.xyxy[other]))
    nested = shared >= NESTED * np.minimum(area[one], area[other])
    nested &= boxes.class_id[one] == boxes.class_id[other]
    found = np.zeros(len(boxes), np.bool_)
    found[one[nested]] = True
    return found


def _clipped(xyxy: Float32, within: Float32) -> Float32:
    """Return the part of each box that is in the box `within` of the same row."""
    return np.concatenate(
        (np.maximum(xyxy[:, :2], within[:, :2]), np.minimum(xyxy[:, 2:], within[:, 2:])), axis=1
    )


def _merged(
    boxes: Float32, one: Rows, other: Rows, stays: NDArray[np.bool_]
) -> tuple[Rows, Float32]:
    """Return rows and xyxy of the boxes kept.

    Boxes connected by pairs become the box around them, in the row of the best.
    """
    first = np.arange(len(boxes))
    while True:
        lower = np.minimum(first[one], first[other])
        before = first.copy()
        np.minimum.at(first, one, lower)
        np.minimum.at(first, other, lower)
        if np.array_equal(first, before):
            break
    xyxy = boxes.copy()
    rows = np.flatnonzero(stays)
    np.minimum.at(xyxy[:, :2], first[rows], boxes[rows, :2])
    np.maximum.at(xyxy[:, 2:], first[rows], boxes[rows, 2:])
    kept = np.flatnonzero(stays & (first == np.arange(len(boxes))))
    return kept, xyxy[kept]
