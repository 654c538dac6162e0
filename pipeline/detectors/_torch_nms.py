"""Non-maximum suppression of a whole batch at once, in shapes that do not depend on the data.

A CUDA graph can hold it: nothing waits for the CPU and nothing is allocated by content. Which box
stays is greedy suppression's answer exactly: let S[i,j] say that a better box j overlaps i too
much, then the boxes that stay are the only solution of "i stays unless some j that stays has
S[i,j]", since S is strictly triangular. Repeating that rule from "all stay" settles the boxes at
the end of chains of length n in n rounds; chains in pictures are short.
"""

from __future__ import annotations

from typing import Any

import torch

Tensor = Any

ROUNDS = 24
"""Chains longer than this are not settled here, which is told; the caller has another way."""


def suppressors(xyxy: Tensor, usable: Tensor, class_id: Tensor | None, iou: float) -> Tensor:
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


def settle(covers: Tensor, rounds: int = ROUNDS) -> tuple[Tensor, Tensor]:
    """Return bool[B,K], which boxes stay, and bool[B], whether that is greedy's answer for sure.

    `covers` is what `suppressors` returns.
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
