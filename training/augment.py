"""Training pictures: scale jitter, mosaics and mirror; functions of arrays and a generator.

`View` is what the loss sees of one picture.  Scale is drawn so that far objects are trained for: a
picture may shrink to a third (small objects) or grow to 1.8 times the canvas (cut objects).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.data import Sample
from training.photometric import degrade, recolour

GREY = 114
SMALLEST_SIDE = 5.0  # px; thinner boxes are neither object nor background
VISIBLE_ENOUGH = 0.3  # share of a box inside the canvas from which it stays a label


@dataclass(frozen=True)
class View:
    """A canvas with its labels; `ignore_*` marks areas where the class must not be judged."""

    image: np.ndarray  # u8 (H, W, 3) RGB
    xyxy: np.ndarray  # f32 (N, 4)
    class_id: np.ndarray  # i64 (N,)
    ignore_xyxy: np.ndarray  # f32 (M, 4)
    ignore_class: np.ndarray  # i64 (M,)
    scale: float = 1.0  # set by `letterbox`: canvas = scale * picture + shift
    shift: tuple[int, int] = (0, 0)


def single(sample: Sample, size: tuple[int, int], rng: np.random.Generator) -> View:
    """One picture at a random scale and place on a grey canvas of `size` (height, width)."""
    height, width = sample.image.shape[:2]
    fit = min(size[0] / height, size[1] / width)
    scale = fit * _log_uniform(rng, 0.4, 1.7)
    shift_x = _place(size[1], width * scale, rng)
    shift_y = _place(size[0], height * scale, rng)
    canvas = np.full((*size, 3), GREY, np.uint8)
    pieces = [_paste(sample, canvas, (0, 0, size[1], size[0]), scale, (shift_x, shift_y))]
    return _finish(canvas, pieces, rng)


def mosaic(samples: list[Sample], size: tuple[int, int], rng: np.random.Generator) -> View:
    """Four or nine pictures in a grid with random cuts, each at a scale of its own.

    Four are the mosaic of YOLOv4 (Bochkovskiy 2020); nine train for what is far away.
    """
    side = {4: 2, 9: 3}[len(samples)]
    rows, columns = (_cuts(length, side, rng) for length in size)
    canvas = np.full((*size, 3), GREY, np.uint8)
    pieces = []
    for index, sample in enumerate(samples):
        row, column = divmod(index, side)
        area = (columns[column], rows[row], columns[column + 1], rows[row + 1])
        height, width = sample.image.shape[:2]
        fit = max((area[3] - area[1]) / height, (area[2] - area[0]) / width)
        scale = fit * _log_uniform(rng, 0.55, 1.5)
        shift_x = area[0] + _place(area[2] - area[0], width * scale, rng)
        shift_y = area[1] + _place(area[3] - area[1], height * scale, rng)
        pieces.append(_paste(sample, canvas, area, scale, (shift_x, shift_y)))
    return _finish(canvas, pieces, rng)


def _cuts(length: int, parts: int, rng: np.random.Generator) -> list[int]:
    """`parts` + 1 rising positions from 0 to `length`, each within 0.4 of a part of its place."""
    inner = [(i + rng.uniform(-0.4, 0.4)) / parts for i in range(1, parts)]
    return [0, *(int(length * cut) for cut in inner), length]


def letterbox(sample: Sample, size: tuple[int, int]) -> View:
    """The picture as large as it fits, centred on grey: what the detector sees when it runs."""
    height, width = sample.image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    shift = (round((size[1] - width * scale) / 2), round((size[0] - height * scale) / 2))
    canvas = np.full((*size, 3), GREY, np.uint8)
    pieces = _paste(sample, canvas, (0, 0, size[1], size[0]), scale, shift)
    return View(canvas, *pieces, scale, shift)


def _paste(
    sample: Sample,
    canvas: np.ndarray,
    area: tuple[int, int, int, int],
    scale: float,
    shift: tuple[int, int],
) -> tuple[np.ndarray, ...]:
    """Draw the scaled picture with its corner at `shift`, clipped to `area` (x1, y1, x2, y2).

    Returns xyxy, class_id, ignore_xyxy, ignore_class on the canvas; boxes that the area cuts to
    less than VISIBLE_ENOUGH, or that are too small to learn, become ignored areas.
    """
    height, width = (max(1, round(side * scale)) for side in sample.image.shape[:2])
    x1, y1 = max(area[0], shift[0]), max(area[1], shift[1])
    x2, y2 = min(area[2], shift[0] + width), min(area[3], shift[1] + height)
    if x2 > x1 and y2 > y1:
        method = cv2.INTER_AREA if scale < 0.7 else cv2.INTER_LINEAR
        image = cv2.resize(sample.image, (width, height), interpolation=method)
        canvas[y1:y2, x1:x2] = image[y1 - shift[1] : y2 - shift[1], x1 - shift[0] : x2 - shift[0]]
    bounds = np.array([x1, y1, max(x1, x2), max(y1, y2)], np.float32)
    xyxy, seen = _clip(sample.xyxy * scale + np.tile(shift, 2), bounds)
    sides = xyxy[:, 2:] - xyxy[:, :2]
    good = (seen >= VISIBLE_ENOUGH) & (sides.min(1, initial=np.inf) >= SMALLEST_SIDE)
    rest = ~good & (seen > 0)
    ignored, visible = _clip(sample.ignore_xyxy * scale + np.tile(shift, 2), bounds)
    return (
        xyxy[good],
        sample.class_id[good],
        np.concatenate([xyxy[rest], ignored[visible > 0]]),
        np.concatenate([sample.class_id[rest], sample.ignore_class[visible > 0]]),
    )


def _clip(xyxy: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes cut to `bounds` and the share of each box's area that is left."""
    low, high = np.tile(bounds[:2], 2), np.tile(bounds[2:], 2)
    cut = xyxy.clip(low, high).astype(np.float32)
    area = (xyxy[:, 2:] - xyxy[:, :2]).prod(1)
    return cut, (cut[:, 2:] - cut[:, :2]).prod(1) / area.clip(1e-9)


def _finish(
    canvas: np.ndarray, pieces: list[tuple[np.ndarray, ...]], rng: np.random.Generator
) -> View:
    """Join the pieces' boxes; half of the time mirrored; recoloured and degraded."""
    columns = zip(*pieces, strict=True)
    xyxy, class_id, ignore_xyxy, ignore_class = (np.concatenate(column) for column in columns)
    if rng.random() < 0.5:
        canvas = canvas[:, ::-1]
        xyxy, ignore_xyxy = (mirror(boxes, canvas.shape[1]) for boxes in (xyxy, ignore_xyxy))
    return View(degrade(recolour(canvas, rng), rng), xyxy, class_id, ignore_xyxy, ignore_class)


def mirror(xyxy: np.ndarray, width: int) -> np.ndarray:
    """Boxes of a picture of `width` pixels after a left-right flip."""
    return np.stack([width - xyxy[:, 2], xyxy[:, 1], width - xyxy[:, 0], xyxy[:, 3]], 1)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _place(space: float, length: float, rng: np.random.Generator) -> int:
    """A random offset that keeps the shorter of the two inside the longer."""
    slack = space - length
    return int(rng.uniform(min(0.0, slack), max(0.0, slack)))
