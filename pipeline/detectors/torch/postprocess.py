"""Postprocessing on the GPU: decode, filter and suppress a batch; one small tensor comes back.

The result is exactly that of `common.postprocess`, without a wait for the CPU in between. What a
fixed shape cannot hold, more candidates than `CANDIDATES` or chains of overlaps that are too long,
is flagged in the answer, and that picture is postprocessed on the CPU; with another method of
suppression than greedy every picture is.

Non-maximum suppression works in shapes that do not depend on the data, so that a CUDA graph can
hold it. Which box stays is greedy suppression's answer exactly: let S[i,j] say that a better box j
overlaps i too much, then the boxes that stay are the only solution of "i stays unless some j that
stays has S[i,j]", since S is strictly triangular. Repeating that rule from "all stay" settles the
boxes at the end of chains of length n in n rounds; chains in pictures are short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipeline.core.data import Detections, Float32
from pipeline.core.errors import ModelError
from pipeline.detectors.common.letterbox import Letterbox, undo_xyxy
from pipeline.detectors.common.postprocess import Postprocess

Tensor = Any

ROUNDS = 24
"""Chains longer than this are not solved here; the picture is flagged for the CPU."""


def suppression_matrix(xyxy: Tensor, usable: Tensor, class_id: Tensor | None, iou: float) -> Tensor:
    """Return bool[B,K,K]: true where the better box (column) covers the other (row) too much.

    `xyxy` f32[B,K,4], best first; `usable` bool[B,K]: boxes that compete at all. Without
    `class_id` [B,K] any two boxes compete.
    """
    left, top, right, bottom = xyxy.unbind(-1)

    def shared(low: Tensor, high: Tensor) -> Tensor:
        begin = torch.maximum(low[:, :, None], low[:, None, :])
        return torch.minimum(high[:, :, None], high[:, None, :]).sub_(begin).clamp_(min=0)

    both = shared(left, right).mul_(shared(top, bottom))
    area = (right - left) * (bottom - top)
    union = (area[:, :, None] + area[:, None, :]).sub_(both)
    covers = both > union.mul_(iou)
    covers &= usable[:, :, None] & usable[:, None, :]
    if class_id is not None:
        covers &= class_id[:, :, None] == class_id[:, None, :]
    return covers.tril_(-1)


def solve_suppression(covers: Tensor, rounds: int = ROUNDS) -> tuple[Tensor, Tensor]:
    """Return bool[B,K], which boxes stay, and bool[B], whether that is greedy's answer for sure.

    `covers` is what `suppression_matrix` returns.
    """
    # Counting who covers a box is a product of a matrix and a vector; halves count to 2048.
    dtype = torch.float16 if covers.is_cuda else torch.float32
    weights = covers.to(dtype)
    stay = torch.ones(covers.shape[:2], dtype=dtype, device=covers.device)
    before = stay
    for _ in range(rounds):
        before = stay
        stay = (torch.bmm(weights, stay[:, :, None])[:, :, 0] == 0).to(dtype)
    return stay > 0, (stay == before).all(dim=1)


CANDIDATES = 1024
"""Boxes above the threshold that compete in one picture: a crowd at conf 0.25 has some hundreds."""

_COLUMNS = 6  # left, top, right, bottom, score, class
_NO_SCORE = -10.0  # sorts behind every score, and behind scores moved down by one


@dataclass(frozen=True, slots=True)
class _Boxes:
    """A batch's boxes as the layout has them: `xyxy` f32[B,N,4], `score` f32[B,N], 0 for none."""

    xyxy: Tensor
    score: Tensor
    class_id: Tensor

    def in_order(self, rows: Tensor) -> _Boxes:
        """Return the boxes i64[B,K] picks."""
        xyxy = self.xyxy.gather(1, rows[:, :, None].expand(-1, -1, 4))
        return _Boxes(xyxy, self.score.gather(1, rows), self.class_id.gather(1, rows))


class GpuPostprocess:
    """GPU postprocessing: f32[B, 1 + M, 6] from a network's output [B, rows, columns].

    Row 0 of a picture says how many boxes follow, how many candidates there were and whether the
    answer is final; then come left, top, right, bottom in pixels of the network's input, score and
    class, best first. M is `Postprocess.max_det`, or the number of boxes where that is less.
    """

    def __init__(self, postprocess: Postprocess, candidates: int = CANDIDATES) -> None:
        layout = postprocess.layout
        if layout.name not in _READERS or layout.flipped:
            raise ModelError(
                f"model: layout {layout.name}{' (flipped)' if layout.flipped else ''} is not run "
                f"on CUDA; known are {', '.join(_READERS)} (export to .onnx for the CPU)"
            )
        self._read = _READERS[layout.name]
        self._candidates = candidates
        self._postprocess = postprocess

    def __call__(self, output: Tensor) -> Tensor:
        """Return the answer; no synchronisation, shapes depend on `output`'s alone."""
        rules = self._postprocess
        read = self._read(output.float())
        score = torch.where(read.score > rules.conf, read.score, _NO_SCORE)
        if rules.wanted is not None:
            score = torch.where(self._is_wanted(read.class_id), score, _NO_SCORE)
        count = (score > 0).sum(dim=1)
        best = _best_first(_Boxes(read.xyxy, score, read.class_id), self._candidates)
        stay = best.score > 0
        final = count <= best.score.shape[1]
        if not rules.layout.final:
            usable = stay & _usable(best.xyxy)
            # Boxes that no tracker can use suppress nothing and go to the end, to be counted.
            order = torch.where(stay & ~usable, best.score - 2, best.score)
            order = order.sort(dim=1, descending=True, stable=True).indices
            best = best.in_order(order)
            usable, stay = usable.gather(1, order), stay.gather(1, order)
            class_id = best.class_id if rules.by_class else None
            kept, settled = solve_suppression(
                suppression_matrix(best.xyxy, usable, class_id, rules.iou)
            )
            stay = stay & kept
            # Other methods are not written for fixed shapes: the CPU does all pictures.
            final = final & settled if rules.nms == "greedy" else torch.zeros_like(final)
        packed = _packed(best, stay, min(rules.max_det, stay.shape[1]))
        packed[:, 0, 1], packed[:, 0, 2] = count, final
        return packed

    def unpack(self, answer: Float32, box: Letterbox) -> Detections | None:
        """Return one picture's detections from f32[1 + M, 6]; None if the answer is not final."""
        kept, _, final = answer[0, :3]
        if not final:
            return None
        rows = answer[1 : 1 + int(kept)]
        xyxy = np.ascontiguousarray(rows[:, :4])
        score, class_id = rows[:, 4].copy(), rows[:, 5].astype(np.int32)
        if self._postprocess.layout.normalised:  # overlaps are the same in parts of the sides
            height, width = box.input_size
            xyxy *= np.array((width, height, width, height), np.float32)
        if self._postprocess.output_check is not None:
            self._postprocess.output_check(xyxy, score, class_id, box.input_size)
        return Detections(undo_xyxy(xyxy, box), score, class_id)

    def _is_wanted(self, class_id: Tensor) -> Tensor:
        assert self._postprocess.wanted is not None
        wanted = torch.zeros_like(class_id, dtype=torch.bool)
        for one in self._postprocess.wanted.tolist():
            wanted |= class_id == one
        return wanted


def _read_v8(output: Tensor) -> _Boxes:
    score, class_id = output[:, 4:].max(dim=1)
    return _Boxes(_xyxy(output[:, :4].transpose(1, 2)), score, class_id)


def _read_v5(output: Tensor) -> _Boxes:
    probability, class_id = output[:, :, 5:].max(dim=2)
    return _Boxes(_xyxy(output[:, :, :4]), output[:, :, 4] * probability, class_id)


def _read_final(output: Tensor) -> _Boxes:
    return _Boxes(output[:, :, :4], output[:, :, 4], output[:, :, 5].long())


def _read_class_first(output: Tensor) -> _Boxes:
    return _Boxes(output[:, :, :4], output[:, :, 5], output[:, :, 4].long())


def _read_detr(output: Tensor) -> _Boxes:
    return _read_v8(output.transpose(1, 2))


def _read_detr_best(output: Tensor) -> _Boxes:
    return _Boxes(_xyxy(output[:, :, :4]), output[:, :, 4], output[:, :, 5].long())


_READERS = {
    "v8": _read_v8,
    "detr": _read_detr,
    "detr-best": _read_detr_best,
    "v5": _read_v5,
    "v6": _read_v5,
    "deepstream": _read_final,
    "end-to-end": _read_final,
    "class-first": _read_class_first,
}


def _xyxy(cxcywh: Tensor) -> Tensor:
    centre, half = cxcywh[..., :2], cxcywh[..., 2:] / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def _best_first(read: _Boxes, limit: int) -> _Boxes:
    """Return the best `limit` boxes, best first; equal scores keep their order."""
    # `topk` alone may turn equal scores round: back into row order first, then a stable sort.
    rows = read.score.topk(min(limit, read.score.shape[1]), dim=1, sorted=False).indices
    rows = rows.sort(dim=1).values
    order = read.score.gather(1, rows).sort(dim=1, descending=True, stable=True).indices
    return read.in_order(rows.gather(1, order))


def _usable(xyxy: Tensor) -> Tensor:
    """Return bool[B,K]: as `pipeline.core.boxes.usable_xyxy`."""
    has_area = (xyxy[..., 2] > xyxy[..., 0]) & (xyxy[..., 3] > xyxy[..., 1])
    return has_area & torch.isfinite(xyxy).all(dim=-1)


def _packed(boxes: _Boxes, stay: Tensor, limit: int) -> Tensor:
    """Return f32[B, 1 + limit, 6]: how many boxes follow, then those that stay, without gaps."""
    columns = (boxes.xyxy, boxes.score[..., None], boxes.class_id[..., None].float())
    rows = torch.cat(columns, dim=-1)
    # Each box that stays knows how many better ones stay; what is too many, or goes, is written
    # to one row behind the end that is cut off.
    place = stay.cumsum(dim=1).where(stay, limit + 1).clamp(max=limit + 1)
    packed = rows.new_zeros((len(rows), limit + 2, _COLUMNS))
    packed.scatter_(1, place[:, :, None].expand(-1, -1, _COLUMNS), rows)
    packed[:, 0, 0] = stay.sum(dim=1).clamp(max=limit)
    return packed[:, : limit + 1]
