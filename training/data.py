"""Labelled pictures in memory: people's boxes, a teacher's boxes for what they left out.

A shard is a tar of `images/NAME.jpg`, `labels/NAME.txt` (YOLO: class cx cy w h, normalised) and
`teacher/NAME.txt` (the same six classes as a COCO network sees them, and a score per line).
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

CLASS_NAMES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
TEACHER_SURE = 0.5  # from this score on a teacher's box counts as a label
SAME_OBJECT_IOU = 0.5  # a teacher's box over this IoU with a person's box is the same object
# How often pictures are drawn, by the beginning of their names (else 1): many photographers and
# every kind of truck count for more, the same few streets over and over for less.
SOURCE_WEIGHT = {"oiveh": 2.5, "auto-camvid": 0.6, "auto-modes": 0.7, "manaus": 0.7}


@dataclass(frozen=True)
class Sample:
    """One picture; boxes are pixels of `image`.  Classes are indices into CLASS_NAMES."""

    name: str
    image: np.ndarray  # u8 (H, W, 3) RGB
    xyxy: np.ndarray  # f32 (N, 4): people's boxes first, then the teacher's sure ones
    class_id: np.ndarray  # i64 (N,)
    by_people: np.ndarray  # bool (N,)
    ignore_xyxy: np.ndarray  # f32 (M, 4): the teacher is unsure, so neither object nor background
    ignore_class: np.ndarray  # i64 (M,)


def read_shards(paths: Iterable[Path]) -> list[Sample]:
    """Every picture of the shards, sorted by name; one without either label file is an error."""
    parts: dict[str, dict[str, bytes]] = {}
    for path in paths:
        with tarfile.open(path) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                place = PurePosixPath(member.name)
                content = archive.extractfile(member).read()
                parts.setdefault(place.stem, {})[place.parent.name] = content
    return [_sample(name, part) for name, part in sorted(parts.items())]


def _sample(name: str, part: dict[str, bytes]) -> Sample:
    missing = {"images", "labels", "teacher"} - set(part)
    if missing:
        raise ValueError(f"{name}: no {', '.join(sorted(missing))} in the shards")
    image = cv2.imdecode(np.frombuffer(part["images"], np.uint8), cv2.IMREAD_COLOR)
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    people = _rows(part["labels"], 5)
    teacher = _rows(part["teacher"], 6)
    size = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
    people_xyxy = _xyxy(people) * size
    teacher_xyxy = _xyxy(teacher) * size
    if len(people) and len(teacher):
        new = iou_matrix(teacher_xyxy, people_xyxy).max(1) < SAME_OBJECT_IOU
        teacher, teacher_xyxy = teacher[new], teacher_xyxy[new]
    sure = teacher[:, 5] >= TEACHER_SURE
    return Sample(
        name,
        image,
        np.concatenate([people_xyxy, teacher_xyxy[sure]]),
        np.concatenate([people[:, 0], teacher[sure, 0]]).astype(np.int64),
        np.arange(len(people) + int(sure.sum())) < len(people),
        teacher_xyxy[~sure],
        teacher[~sure, 0].astype(np.int64),
    )


def _rows(text: bytes, columns: int) -> np.ndarray:
    lines = [line.split() for line in text.decode().splitlines() if line.strip()]
    return np.array(lines, np.float32).reshape(-1, columns)


def _xyxy(rows: np.ndarray) -> np.ndarray:
    centre, half = rows[:, 1:3], rows[:, 3:5] / 2
    return np.concatenate([centre - half, centre + half], 1)


def iou_matrix(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """(N, 4), (M, 4) -> (N, M) intersection over union."""
    low = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    high = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    inner = (high - low).clip(0).prod(-1)
    area_a = (a_xyxy[:, 2:] - a_xyxy[:, :2]).prod(-1)
    area_b = (b_xyxy[:, 2:] - b_xyxy[:, :2]).prod(-1)
    return inner / (area_a[:, None] + area_b[None] - inner + 1e-9)


def sampling_weights(samples: list[Sample], classes: int, common: float = 0.25) -> np.ndarray:
    """(len(samples),) probabilities; pictures with rare classes are drawn more often.

    Repeat factors of LVIS (Gupta 2019): a class seen in a share f of the pictures weighs
    max(1, sqrt(common / f)), a picture weighs as its rarest class, times its SOURCE_WEIGHT.
    """
    present = np.zeros((len(samples), classes), bool)
    for row, sample in zip(present, samples, strict=True):
        row[sample.class_id] = True
    share = present.mean(0).clip(1e-6)
    factor = np.maximum(1.0, np.sqrt(common / share))
    weight = np.where(present, factor, 1.0).max(1)
    weight *= [source_weight(sample.name) for sample in samples]
    return weight / weight.sum()


def source_weight(name: str) -> float:
    """SOURCE_WEIGHT of the picture called `name`."""
    return next((w for start, w in SOURCE_WEIGHT.items() if name.startswith(start)), 1.0)
