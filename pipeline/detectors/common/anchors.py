"""Anchors, to which a single-shot network's outputs are offsets: generation and decoding.

| coding | box of an answer (x, y, w, h) to an anchor, in a cell                                 |
|--------|---------------------------------------------------------------------------------------|
| ssd    | centre + offset x size x variance, size x exp(offset x variance): Girshick et al.,    |
|        | CVPR 2014, as Faster R-CNN (Ren et al., 2015, equation 2) without variances, SSD (Liu |
|        | et al., ECCV 2016) with 0.1 and 0.2                                                   |
| yolov3 | (cell + sigmoid(xy)) x stride, size x exp(wh): Redmon and Farhadi, 2018, figure 2     |
| yolov5 | (cell + 2 sigmoid(xy) - 0.5) x stride, size x (2 sigmoid(wh))^2: Jocher et al., 2020  |

Anchors lie row by row; those of one cell follow one another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

import numpy as np
import yaml
from pydantic import Field, model_validator

from pipeline.core.boxes import xyxy_from_cxcywh
from pipeline.core.data import Float32
from pipeline.core.errors import ModelError
from pipeline.core.options import OptionsModel, validated
from pipeline.detectors.common.decoding import Candidates, Decode, Size

Shapes = Sequence[tuple[float, float]]
_MAX_LOG_SCALE = math.log(1000 / 16)
"""Limit on the growth of a side, as in Detectron and torchvision: exp of random numbers
overflows."""


class Level(OptionsModel):
    """Anchors of one feature map: its cells by `stride` or `grid`, and the shapes in each."""

    stride: int | None = Field(default=None, ge=1)
    """Pixels of the input between cells; the last cell may be cut by the edge."""
    grid: tuple[int, int] | None = None
    """Rows and columns of cells, instead of stride."""
    boxes: tuple[tuple[float, float], ...] = ()
    """Width and height of each anchor."""
    scale: float | None = Field(default=None, gt=0)
    """Size of SSD's square anchor, instead of boxes."""
    next_scale: float | None = Field(default=None, gt=0)
    """The next level's scale: a second square anchor has a size between the two."""
    sizes: tuple[float, ...] = ()
    """Sizes of Faster R-CNN's anchors, instead of boxes."""
    ratios: tuple[float, ...] = ()
    """With scale: width over height, in addition to squares. With sizes: height over width."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if (self.stride is None) == (self.grid is None):
            raise ValueError("want stride or grid")
        if sum(map(bool, (self.boxes, self.scale, self.sizes))) != 1:
            raise ValueError("want one of boxes, scale, sizes")
        return self

    def shapes(self) -> list[tuple[float, float]]:
        """Return (width, height) of each anchor of a cell."""
        if self.scale is not None:
            return ssd_shapes(self.scale, self.next_scale, self.ratios)
        return rcnn_shapes(self.sizes, self.ratios) if self.sizes else [*self.boxes]


class AnchorsFile(OptionsModel):
    """Anchors of a network and how its boxes are coded: the file of the option `anchors`."""

    levels: tuple[Level, ...] = Field(min_length=1)
    """Feature maps in the order of the network's outputs, fine ones first."""
    coding: Literal["ssd", "yolov3", "yolov5"] = "ssd"
    """How boxes are coded: see above."""
    variances: tuple[float, float] = (0.1, 0.2)
    """Factors on the offsets of centres and sides, for coding ssd; [1, 1] for none."""
    unit: Literal["parts", "pixels"] | None = None
    """Unit of sizes: fractions of the input's sides (usual for ssd) or its pixels (usual for
    YOLO)."""
    centre: float = 0.5
    """Position of the anchors' centre in a cell; RetinaNet uses 0, the corner."""

    @property
    def per_cell(self) -> tuple[int, ...]:
        """Return how many anchors a cell of each level has."""
        return tuple(len(level.shapes()) for level in self.levels)


def load_anchors(path: Path) -> AnchorsFile:
    """Return the anchors of a YAML file; raises ModelError or ConfigError."""
    try:
        tree = yaml.safe_load(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"anchors: {path} cannot be read as YAML: {reason}") from error
    if not isinstance(tree, dict):
        raise ModelError(f"anchors: {path} holds no table of keys, want levels, coding, ...")
    return validated(AnchorsFile, tree, f"anchors: {path}")


def ssd_scales(count: int, smallest: float = 0.2, largest: float = 0.9) -> list[float]:
    """Return each feature map's scale, parts of the input's side (Liu et al., equation 4)."""
    step = (largest - smallest) / max(count - 1, 1)
    return [smallest + step * level for level in range(count)]


def ssd_shapes(
    scale: float, next_scale: float | None, ratios: Sequence[float]
) -> list[tuple[float, float]]:
    """Return SSD's (width, height): the square, that between two scales, then each ratio.

    A ratio w:h has the square's area, and stands for h:w too where 1/ratio is not given.
    """
    between = [] if next_scale is None else [math.sqrt(scale * next_scale)]
    found = [(side, side) for side in (scale, *between)]
    for ratio in ratios:
        root = math.sqrt(ratio)
        found.append((scale * root, scale / root))
        if not any(math.isclose(1 / ratio, other, rel_tol=0.01) for other in ratios):
            found.append((scale / root, scale * root))
    return found


def rcnn_shapes(sizes: Sequence[float], ratios: Sequence[float]) -> list[tuple[float, float]]:
    """Return Faster R-CNN's (width, height): for each ratio height:width, each size's area."""
    return [
        (size / math.sqrt(ratio), size * math.sqrt(ratio))
        for ratio in (ratios or (1.0,))
        for size in sizes
    ]


@lru_cache(maxsize=8)
def anchors_of(file: AnchorsFile, size: Size) -> tuple[Float32, Float32]:
    """Return a network's anchors cx cy w h f32[N,4] and their cells' x, y, stride f32[N,3].

    All in pixels of the input of `size` (height, width).
    """
    in_pixels = file.unit == "pixels" or (file.unit is None and file.coding != "ssd")
    anchors, cells = [], []
    for level in file.levels:
        rows, columns = _cells(level, size)
        # A grid may be stretched over the input; YOLO's cells are square.
        step_y = level.stride or size[0] / rows
        step_x = level.stride or size[1] / columns
        shapes = np.array(level.shapes(), np.float32)
        if not in_pixels:
            shapes *= np.array((size[1], size[0]), np.float32)
        y, x = np.mgrid[:rows, :columns].reshape(2, -1).astype(np.float32).repeat(len(shapes), 1)
        sides = np.tile(shapes, (rows * columns, 1))
        centre = np.stack(((x + file.centre) * step_x, (y + file.centre) * step_y), axis=1)
        anchors.append(np.concatenate((centre, sides), axis=1).astype(np.float32))
        cells.append(np.stack((x, y, np.full_like(x, step_x)), axis=1))
    return np.concatenate(anchors), np.concatenate(cells)


def _cells(level: Level, size: Size) -> tuple[int, int]:
    if level.grid is not None:
        return level.grid
    assert level.stride is not None
    return math.ceil(size[0] / level.stride), math.ceil(size[1] / level.stride)


def decode_offsets(
    offsets: Float32, anchors: Float32, variances: tuple[float, float] = (1.0, 1.0)
) -> Float32:
    """Return boxes xyxy f32[N,4] of offsets to anchors cx cy w h, both f32[N,4]."""
    by_centre, by_side = variances
    cxcywh = np.empty_like(anchors)
    cxcywh[:, :2] = anchors[:, :2] + offsets[:, :2] * by_centre * anchors[:, 2:]
    cxcywh[:, 2:] = anchors[:, 2:] * np.exp(np.minimum(offsets[:, 2:] * by_side, _MAX_LOG_SCALE))
    return xyxy_from_cxcywh(cxcywh)


def decode_yolov3(answers: Float32, anchors: Float32, cells: Float32) -> Float32:
    """Return boxes xyxy f32[N,4] of YOLOv3's x y w h; anchors and cells as of `anchors_of`."""
    stride = cells[:, 2:]
    cxcywh = np.empty_like(anchors)
    cxcywh[:, :2] = (cells[:, :2] + _sigmoid(answers[:, :2])) * stride
    cxcywh[:, 2:] = anchors[:, 2:] * np.exp(np.minimum(answers[:, 2:], _MAX_LOG_SCALE))
    return xyxy_from_cxcywh(cxcywh)


def decode_yolov5(answers: Float32, anchors: Float32, cells: Float32) -> Float32:
    """Return boxes xyxy f32[N,4] of YOLOv5's x y w h; anchors and cells as of `anchors_of`."""
    parts = 2 * _sigmoid(answers)
    cxcywh = np.empty_like(anchors)
    cxcywh[:, :2] = (cells[:, :2] + parts[:, :2] - 0.5) * cells[:, 2:]
    cxcywh[:, 2:] = anchors[:, 2:] * parts[:, 2:] ** 2
    return xyxy_from_cxcywh(cxcywh)


def decoder(file: AnchorsFile) -> Decode:
    """Return what reads a table of offsets, score and class, a row for each anchor.

    Boxes above the threshold alone are decoded.
    """

    def decode(output: Float32, threshold: float, size: Size) -> Candidates:
        anchors, cells = anchors_of(file, size)
        if len(anchors) != len(output):
            raise ModelError(
                f"anchors: they are {len(anchors)} for input of {size[1]}x{size[0]}, "
                f"and the network has {len(output)} boxes"
            )
        rows = np.flatnonzero(output[:, 4] > threshold)
        found = output[rows]
        if file.coding == "ssd":
            xyxy = decode_offsets(found[:, :4], anchors[rows], file.variances)
        else:
            read = decode_yolov3 if file.coding == "yolov3" else decode_yolov5
            xyxy = read(found[:, :4], anchors[rows], cells[rows])
        return Candidates(xyxy, found[:, 4].copy(), found[:, 5].astype(np.int32), rows)

    return decode


def _sigmoid(values: Float32) -> Float32:
    found: Float32 = 1 / (1 + np.exp(-values.clip(-80, 80)))
    return found
