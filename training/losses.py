"""Task-aligned assignment and the detector's loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from training.batches import Batch
from training.network import to_xyxy

CANDIDATES = 10  # cells per object, as in TOOD (Feng 2021), whose alignment is score^a * IoU^b
SCORE_POWER = 0.5
IOU_POWER = 6.0
BOX_WEIGHT = 2.5


def detection_loss(
    logits: Tensor, sides: Tensor, centres: Tensor, batch: Batch
) -> tuple[Tensor, Tensor]:
    """Class loss and box loss of a batch, both divided by the sum of the soft targets.

    `logits` (B, C, N), `sides` (B, 4, N), `centres` (2, N) as the network returns them.
    Class: binary cross-entropy against the assignment's soft targets, zero weight where a class is
    ignored.  Box: 1 - GIoU (Rezatofighi 2019) weighted by the soft target.
    """
    logits, xyxy, centres = logits.transpose(1, 2), to_xyxy(sides, centres), centres.T
    targets = torch.zeros_like(logits)
    weights = ignore_weights(logits.shape, centres, batch)
    box_loss = logits.new_zeros(())
    for index in range(len(logits)):
        mine = batch.picture == index
        gt_xyxy, gt_class = batch.xyxy[mine], batch.class_id[mine]
        if not len(gt_xyxy):
            continue
        cells, owner, soft = assign(logits[index], xyxy[index], centres, gt_xyxy, gt_class)
        targets[index, cells, gt_class[owner]] = soft
        weights[index, cells] = 1.0
        overlap = giou(xyxy[index, cells], gt_xyxy[owner])[1]
        box_loss = box_loss + ((1 - overlap) * soft).sum()
    total = targets.sum().clamp(min=1.0)
    class_loss = functional.binary_cross_entropy_with_logits(
        logits, targets, weights, reduction="sum"
    )
    return class_loss / total, BOX_WEIGHT * box_loss / total


@torch.no_grad()
def assign(
    logits: Tensor, xyxy: Tensor, centres: Tensor, gt_xyxy: Tensor, gt_class: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Which cells learn which object of one picture (TOOD, Feng 2021, section 3.2).

    `logits` (N, C), `xyxy` (N, 4), `centres` (N, 2), `gt_*` (G, 4) and (G,).  Only cells whose
    centre lies in the box stand for it; the CANDIDATES best aligned ones are taken, and a cell
    wanted by several objects goes to the one it is best aligned with.  Returns `cells` (P,),
    `owner` (P,) rows of gt, `soft` (P,) class targets: alignment scaled per object so that its
    best cell's target is its best IoU.
    """
    above, below = centres[None] > gt_xyxy[:, None, :2], centres[None] < gt_xyxy[:, None, 2:]
    inside = (above & below).all(-1)
    iou = giou(xyxy[None], gt_xyxy[:, None])[0].clamp(min=0) * inside
    score = logits.sigmoid()[:, gt_class].T
    alignment = score.pow(SCORE_POWER) * iou.pow(IOU_POWER)
    lowest = alignment.topk(min(CANDIDATES, alignment.shape[1]), 1).values[:, -1:]
    chosen = (alignment >= lowest) & (alignment > 0)
    alignment = alignment * chosen
    best_alignment = alignment.max(1, keepdim=True).values
    best_iou = (iou * chosen).max(1, keepdim=True).values
    target = alignment / best_alignment.clamp(min=1e-12) * best_iou
    cells = chosen.any(0).nonzero()[:, 0]
    owner = alignment[:, cells].argmax(0)
    return cells, owner, target[owner, cells]


def ignore_weights(shape: torch.Size, centres: Tensor, batch: Batch) -> Tensor:
    """(B, N, C) ones, zero for a class in the cells inside an area that is ignored for it."""
    weights = torch.ones(shape)
    for row, box in enumerate(batch.ignore_xyxy):
        inside = ((centres > box[:2]) & (centres < box[2:])).all(-1)
        weights[batch.ignore_picture[row], inside, batch.ignore_class[row]] = 0.0
    return weights


def giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of xyxy boxes that broadcast to each other, (..., 4) -> (...)."""
    inner = _area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    hull = _area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - inner
    iou = inner / (union + 1e-7)
    return iou, iou - (hull - union) / (hull + 1e-7)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(-1)
