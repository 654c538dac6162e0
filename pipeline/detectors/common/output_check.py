"""Check of a network's boxes at run time: warns once about values that no right layout gives."""

from __future__ import annotations

import logging

import numpy as np

from pipeline.core.boxes import usable_xyxy
from pipeline.core.data import ClassNames, Float32, Int32
from pipeline.detectors.common.decoding import Size

_log = logging.getLogger("trackline.detectors")
_MANY = 5
"""So many boxes in one picture, none of them usable, are no accident."""
_MAX_SCORE = 1.01  # int8 networks go a little above 1


class OutputCheck:
    """Warns once where scores exceed 1, classes are unknown, or every box is unusable.

    A probe picture may find nothing, so what is wrong with boxes is seen only where objects are.
    """

    def __init__(self, model: str, names: ClassNames) -> None:
        self._model = model
        self._names = np.array(sorted(names), np.int64)
        self._is_gapless = sorted(names) == list(range(len(names)))
        self._has_warned = False
        self._has_seen_usable = False

    def __call__(self, xyxy: Float32, score: Float32, class_id: Int32, size: Size) -> None:
        """Look at one picture's boxes in pixels of the network's input of `size`."""
        if self._has_warned or not len(score):
            return
        why = self._objection(xyxy, score, class_id, size)
        if why:
            self._has_warned = True
            _log.warning(
                "model: %s: %s; its output may be in another layout than assumed "
                "(options layout, names, input_scale)",
                self._model,
                why,
            )

    def _are_known(self, class_id: Int32) -> bool:
        if self._is_gapless:  # most are, and this takes a tenth of the time
            return bool(class_id.min() >= 0 and class_id.max() < len(self._names))
        return bool(np.isin(class_id, self._names).all())

    def _objection(self, xyxy: Float32, score: Float32, class_id: Int32, size: Size) -> str | None:
        highest = float(score.max())
        if not highest <= _MAX_SCORE:
            return f"scores up to {highest:.4g}, want 0 to 1"
        if not self._are_known(class_id):
            return f"class {int(class_id.max())} of {len(self._names)}"
        height, width = size
        with np.errstate(invalid="ignore"):
            usable = usable_xyxy(xyxy) & (xyxy[:, 0] < width) & (xyxy[:, 1] < height)
            usable &= (xyxy[:, 2] > 0) & (xyxy[:, 3] > 0)
        if usable.any():
            self._has_seen_usable = True
        elif not self._has_seen_usable or len(score) >= _MANY:
            return "every box is unusable: NaN, without area or outside the picture"
        return None
