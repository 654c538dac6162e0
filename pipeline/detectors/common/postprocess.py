"""Postprocessing: a network's output for one picture to that picture's Detections.

The same on a GPU: detectors/torch/postprocess.py. Recorded boxes have a class filter of their own
in detectors/replay.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.core.data import Detections, Float32, Int32
from pipeline.detectors.common.backend import ExtraColumns, NmsMethod
from pipeline.detectors.common.decoding import Places
from pipeline.detectors.common.layouts import Layout
from pipeline.detectors.common.letterbox import Letterbox, undo_xyxy
from pipeline.detectors.common.masks_and_keypoints import keypoints_of, masks_of, own_masks_of
from pipeline.detectors.common.nms import Kept, SuppressionRules, keep_best
from pipeline.detectors.common.output_check import OutputCheck


@dataclass(frozen=True, slots=True)
class Postprocess:
    """Read a network's output, keep the wanted classes, suppress duplicates, undo the letterbox.

    Called with `output` f32[rows, columns] of one picture and its letterbox; returns Detections,
    best score first. `wanted` i32[K] holds the class ids to keep, None for all; `output_check`
    looks at all boxes before they are filtered. `nms` and `nms_sigma` as in `common.nms`. `extra`
    says which columns masks or keypoints are made of, where there are any.
    """

    layout: Layout
    conf: float
    iou: float
    max_det: int
    by_class: bool = True
    wanted: Int32 | None = None
    output_check: OutputCheck | None = None
    nms: NmsMethod = "greedy"
    nms_sigma: float = 0.5
    extra: ExtraColumns | None = None

    def __call__(
        self, output: Float32, box: Letterbox, prototypes: Float32 | None = None
    ) -> Detections:
        """Return the Detections of one picture.

        They have masks with `prototypes` f32[C,h,w], or one mask for each box of the output.
        """
        if self.extra is None:
            kept, class_id, _ = self._kept(output, box)
            return Detections(undo_xyxy(kept.xyxy, box), kept.score, class_id[kept.rows])
        output, columns = self.extra.split(output)
        kept, class_id, place = self._kept(output, box)
        rows, xyxy = place[kept.rows], undo_xyxy(kept.xyxy, box)
        masks = keypoints = None
        if self.extra.keypoints is not None:
            keypoints = keypoints_of(columns[rows], self.extra.keypoints, box)
        elif prototypes is not None and self.extra.own_masks:
            own = [prototypes[row] for row in rows]
            rounded = self.extra.own_masks == "rounded"
            masks = own_masks_of(own, kept.xyxy, box, xyxy, rounded=rounded)
        elif prototypes is not None:
            masks = masks_of(columns[rows], prototypes, kept.xyxy, box, xyxy)
        return Detections(xyxy, kept.score, class_id[kept.rows], masks, keypoints)

    def _kept(self, output: Float32, box: Letterbox) -> tuple[Kept, Int32, Places]:
        """Return the boxes that stay, in pixels of the input; each candidate's class and place."""
        xyxy, score, class_id, place = self.layout.decode(output, self.conf, box.input_size)
        if self.output_check is not None:
            self.output_check(xyxy, score, class_id, box.input_size)
        if self.wanted is not None:
            keep = np.isin(class_id, self.wanted)
            xyxy, score, class_id, place = xyxy[keep], score[keep], class_id[keep], place[keep]
        if self.layout.final:
            rows = np.argsort(-score, kind="stable")
            if self.layout.repeats:
                rows = rows[np.sort(np.unique(xyxy[rows], axis=0, return_index=True)[1])]
            rows = rows[: self.max_det]
            return Kept(rows, xyxy[rows], score[rows]), class_id, place
        rules = SuppressionRules(self.nms, self.iou, self.max_det, self.conf, self.nms_sigma)
        kept = keep_best(xyxy, score, class_id if self.by_class else None, rules)
        return kept, class_id, place
