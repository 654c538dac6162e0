"""Layouts of YOLO networks' outputs: the known ones, choosing one, and reading it.

Layouts in use, for nc classes and N boxes. A cell is one place of the feature maps, at strides 8,
16 and 32 in most networks.

| layout        | output       | one box                                             | input      |
|---------------|--------------|-----------------------------------------------------|------------|
| v8            | (1, 4+nc, N) | cx cy w h in pixels, a score per class              | RGB 0..1   |
| v5            | (1, N, 5+nc) | cx cy w h in pixels, objectness, a score per class  | RGB 0..1   |
| v6            | (1, N, 5+nc) | as v5, its objectness is always 1                   | RGB 0..1   |
| yolox         | (1, N, 5+nc) | as v5, but cx cy and the logarithm of w h in cells  | BGR 0..255 |
| yolox-decoded | (1, N, 5+nc) | as v5                                               | BGR 0..255 |
| deepstream    | (1, N, 6)    | left top right bottom in pixels, score, class       | RGB 0..1   |
| detr          | (1, N, 4+nc) | cx cy w h from 0 to 1, a score per class            | RGB 0..1   |
| detr-best     | (1, N, 6)    | cx cy w h from 0 to 1, score, class                 | RGB 0..1   |
| end-to-end    | (1, N, 6)    | left top right bottom in pixels, score, class       | RGB 0..1   |
| class-first   | (1, N, 6)    | left top right bottom in pixels, class, score       | RGB 0..1   |

v8 stands for YOLOv8, 9, 11 and 12. v5 (also 7) has three boxes per cell, v6 and YOLOX (Ge et al.,
2021) have one. Boxes of detr, detr-best (RT-DETR, set prediction), end-to-end and class-first need
no further suppression. The shape alone cannot distinguish the layouts: this takes the output for a
probe picture, see `layout_evidence`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline.core.data import Float32
from pipeline.core.errors import ModelError
from pipeline.detectors.common.backend import Placing
from pipeline.detectors.common.decoding import (
    STRIDE_SETS,
    STRIDES,
    Candidates,
    Decode,
    Size,
    cell_count,
    decode_best,
    decode_class_first,
    decode_final,
    decode_v5,
    decode_v8,
    decode_yolox,
    normalised,
    transposed,
)
from pipeline.detectors.common.layout_errors import (
    of_classes,
    refused_output,
    unknown_layout,
    why_none,
)
from pipeline.detectors.common.layout_evidence import Evidence
from pipeline.detectors.common.network_graph import Shape
from pipeline.models.class_names import COCO

__all__ = ["Candidates", "Layout", "LayoutVariant", "cell_count", "identify"]

FINAL = ("end-to-end", "class-first", "detr", "detr-best")
_TABLES = ("end-to-end", "class-first", "deepstream", "detr-best")
"""Layouts of six columns, whatever the number of classes."""
_RAW_BGR = ("yolox", "yolox-decoded")
LAYOUTS = ("v8", "v5", "v6", *_RAW_BGR, "deepstream", *FINAL)


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of one network's output: how to decode it, and what its input looks like.

    `decode(output f32[rows, columns], score threshold, input size (height, width))` returns the
    boxes above the threshold. `class_count` is None if the shape does not show it. `final`: the
    network suppresses duplicates itself. `raw_bgr`: it takes BGR with the picture in the top left
    corner, otherwise RGB with the picture centred. `pixel_max` is the value of white: 1 or 255.
    `best_only`, if there is one, is the layout after the network itself has picked each box's best
    class: 6 rows (box, score, class) in place of 4 + class_count. `flipped` and `normalised` as in
    LayoutVariant; `placing` is how pictures are placed in the input. `repeats`: a box may occur
    once for each of several classes, of which the best counts.
    """

    name: str
    class_count: int | None
    decode: Decode
    final: bool = False
    raw_bgr: bool = False
    best_only: Layout | None = None
    pixel_max: int = 1
    flipped: bool = False
    normalised: bool = False
    placing: Placing = "letterbox"
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class LayoutVariant:
    """Variant of a layout: its name, classes, strides, orientation and unit of the boxes.

    `strides` and `per_cell` describe the cells of boxes; () and 0 if unknown. `flipped`: rows and
    columns are swapped. `normalised`: boxes are shares of the input's sides. `usual` variants are
    assumed if the probe picture proves nothing.
    """

    name: str
    class_count: int | None
    strides: tuple[int, ...] = ()
    per_cell: int = 0
    flipped: bool = False
    normalised: bool = False
    usual: bool = False

    def layout(self, pixel_max: int | None = None) -> Layout:
        """Return the Layout; `pixel_max` as in Layout, by default that of the layout."""
        raw_bgr = self.name in _RAW_BGR
        decode = _DECODERS.get(self.name) or decode_yolox(self.strides or STRIDES)
        best_only = None
        if self.flipped:
            decode = transposed(decode)
        if self.normalised:
            decode = normalised(decode)
        if self.name == "v8" and not self.flipped and not self.normalised:
            best_only = Layout("v8, best class", self.class_count, decode_best)
        return Layout(
            self.name,
            self.class_count,
            decode,
            final=self.name in FINAL,
            raw_bgr=raw_bgr,
            best_only=best_only,
            pixel_max=pixel_max or (255 if raw_bgr else 1),
            flipped=self.flipped,
            normalised=self.normalised,
            placing="corner" if raw_bgr else "letterbox",
        )

    def objection(self, answer: Float32, size: Size) -> str | None:
        """Return the objection of the probe picture's output f32[rows, columns], if any."""
        seen = self.evidence(answer, size)
        return seen.finite() or next(filter(None, _CHECKS[self.name](seen, self)), None)

    def is_confirmed(self, best: Float32, size: Size) -> bool:
        """Return whether `best` f32[6,N], the output read by `best_only`, proves the layout v8."""
        see = Evidence(best.T, size)
        return see.is_enough and not any(
            (
                see.finite(),
                see.score(4),
                see.varied_classes(4, 5),
                see.in_pixels(),
                see.centres(),
                see.decoded(self.strides, self.per_cell),
            )
        )

    def evidence(self, answer: Float32, size: Size) -> Evidence:
        """Return an output f32[rows, columns] with a box per row."""
        by_column = (self.name == "v8") != self.flipped
        return Evidence(answer.T if by_column else answer, size)

    def __str__(self) -> str:
        count = "" if self.class_count is None else f" of {self.class_count}"
        count += "" if not count else " class" if self.class_count == 1 else " classes"
        other = ", rows and columns exchanged" if self.flipped else ""
        return f"{self.name}{count}{other}{', boxes from 0 to 1' if self.normalised else ''}"


_DECODERS: dict[str, Decode] = {
    "v8": decode_v8,
    "detr": lambda output, threshold, size: decode_v8(output.T, threshold, size),
    "v5": decode_v5,
    "v6": decode_v5,
    "yolox-decoded": decode_v5,
    "deepstream": decode_final,
    "detr-best": lambda output, threshold, size: decode_best(output.T, threshold, size),
    "end-to-end": decode_final,
    "class-first": decode_class_first,
    "anchors": decode_final,  # its boxes are offsets, which the detector decodes in its place
}

_Check = Callable[[Evidence, LayoutVariant], Sequence[str | None]]
_CHECKS: dict[str, _Check] = {
    "v8": lambda see, of: (
        see.class_scores(4),
        see.centres(),
        see.decoded(of.strides, of.per_cell),
    ),
    "v5": lambda see, of: (
        see.scores(4),
        see.centres(),
        see.decoded(of.strides, of.per_cell),
    ),
    "v6": lambda see, of: (
        see.ones(4),
        see.scores(4),
        see.centres(),
        see.decoded(of.strides, of.per_cell),
    ),
    "yolox": lambda see, of: (see.scores(4), see.in_cells(of.strides), see.not_ones(4)),
    "yolox-decoded": lambda see, of: (
        see.scores(4),
        see.not_ones(4),
        see.centres(),
        see.in_pixels(),
        see.decoded(of.strides, of.per_cell),
    ),
    "deepstream": lambda see, of: (see.score(4), see.classes(5, of.class_count), see.corners()),
    "detr": lambda see, _of: (see.class_scores(4), see.centres(), see.in_sides()),
    "detr-best": lambda see, of: (
        see.score(4),
        see.classes(5, of.class_count),
        see.in_sides(),
        see.centres(),
    ),
    "end-to-end": lambda see, of: (see.score(4), see.classes(5, of.class_count), see.corners()),
    "class-first": lambda see, of: (see.score(5), see.classes(4, of.class_count), see.corners()),
}


def identify(
    shape: Shape,
    size: Size,
    names: int | None,
    end2end: bool | None,
    answer: Float32 | None = None,
) -> Layout:
    """Return the layout of an output of `shape` (None: unknown) for input of `size`.

    `names` is the number of classes and `end2end` that of the metadata, None if it has none.
    `answer` f32[rows, columns] is the network's output for the probe picture; without it the
    shape's usual layout is returned. Raises ModelError if no layout fits, or several do.
    """
    return find_variant(shape, size, names, end2end, answer).layout()


def find_variant(
    shape: Shape, size: Size, names: int | None, end2end: bool | None, answer: Float32 | None
) -> LayoutVariant:
    """Return the only LayoutVariant that fits; arguments and errors as of `identify`."""
    variants = _possible(shape, size, names, end2end)
    usual = [variant for variant in variants if variant.usual]
    proves = answer is not None and any(
        each.evidence(answer, size).is_enough for each in variants[:1]
    )
    if not (variants if proves else usual):
        raise unknown_layout(shape, why_none(shape, size, names))
    if answer is None:
        return usual[0]
    objections = {each: each.objection(answer, size) for each in (variants if proves else usual)}
    fitting = [each for each, why in objections.items() if why is None]
    if not proves:
        fitting = fitting[:1]
    if any(each.name == "deepstream" for each in fitting) and not end2end:
        # A box for every cell: nothing has been suppressed.
        fitting = [each for each in fitting if each.name != "end-to-end"]
    known = [each for each in fitting if each.class_count == len(COCO)]
    if len(fitting) > 1 and len(known) == 1:
        fitting = known
    seen = variants[0].evidence(answer, size).summary()
    if not fitting:
        why = "; ".join(f"not {each.name}: {why}" for each, why in objections.items() if why)
        raise refused_output(
            shape, f"no layout{of_classes(names)} fits what the probe picture gave ({seen}): {why}"
        )
    if len(fitting) > 1:
        both = " and ".join(str(each) for each in fitting)
        raise refused_output(
            shape,
            f"{both} fit what the probe picture gave ({seen}): set the option layout, or names",
        )
    return _measured(fitting[0], answer, size)


def only_variant(
    shape: Shape, size: Size, names: int | None, end2end: bool | None
) -> LayoutVariant | None:
    """Return the only variant possible by shape and class names, None if several or none are."""
    try:
        variants = _possible(shape, size, names, end2end) if names else []
    except ModelError:
        return None
    return variants[0] if len(variants) == 1 else None


def variant_named(
    name: str, shape: Shape, size: Size, names: int | None, answer: Float32
) -> tuple[LayoutVariant, str | None]:
    """Return the variant of a layout named by the user, and the objection to it.

    Raises ModelError if the shape does not fit that layout.
    """
    if len(shape) != 3 or shape[0] not in (1, None):
        raise unknown_layout(shape, "want three dimensions, the first 1")
    rows, columns = answer.shape
    found = [each for each in _possible(shape, size, names, name in FINAL) if each.name == name]
    if not found:
        found = _forced(name, (rows, columns), names)
    if not found:
        raise refused_output(shape, f"layout: it cannot hold {name}{of_classes(names)}")
    variant = _measured(found[0], answer, size)
    return variant, variant.objection(answer, size)


def _measured(variant: LayoutVariant, answer: Float32, size: Size) -> LayoutVariant:
    """Return the variant completed with facts that only the output shows."""
    if variant.name == "yolox":
        return variant
    return replace(variant, normalised=variant.evidence(answer, size).is_normalised)


def _possible(
    shape: Shape, size: Size, names: int | None, end2end: bool | None
) -> list[LayoutVariant]:
    """Return the variants possible for an output of this shape, usual ones first."""
    if len(shape) != 3 or shape[0] not in (1, None):
        raise unknown_layout(shape, "want three dimensions, the first 1")
    _, rows, columns = shape
    found = []
    if columns == 6 and end2end is not False:
        usual = bool(end2end) or rows not in (cell_count(size), 3 * cell_count(size))
        found += [
            LayoutVariant("end-to-end", names, usual=usual),
            LayoutVariant("class-first", names),
        ]
    # RT-DETR's metadata says end2end: False.
    if columns == 6 and not _cells(rows or 0, size)[1]:
        found.append(LayoutVariant("detr-best", names))
    if end2end and found:
        return found
    if rows is None or columns is None:
        if found:
            return found
        raise unknown_layout(shape, "its size does not follow from the input's")
    found += _with_boxes_in_rows(rows, columns, size, names)
    found += _with_boxes_in_columns(rows, columns, size, names)
    return sorted(found, key=lambda variant: not variant.usual)


def _with_boxes_in_columns(
    rows: int, columns: int, size: Size, names: int | None
) -> list[LayoutVariant]:
    found = []
    strides, per_cell = _cells(columns, size)
    # Without names the longer side must be the boxes: no network has more classes than cells.
    # Three boxes per cell are of networks with objectness.
    if rows == 4 + names if names else 4 < rows < columns and per_cell != 3:
        found.append(LayoutVariant("v8", rows - 4, strides, per_cell, usual=True))
    if per_cell and (rows == 5 + names if names else 5 < rows < columns):
        name = "v5" if per_cell == 3 else "v6"
        found.append(LayoutVariant(name, rows - 5, strides, per_cell, flipped=True))
    return found


def _with_boxes_in_rows(
    rows: int, columns: int, size: Size, names: int | None
) -> list[LayoutVariant]:
    found = []
    strides, per_cell = _cells(rows, size)
    if columns == 6 and per_cell:
        found.append(LayoutVariant("deepstream", names, strides, per_cell))
    if columns == 5 + names if names else columns > 5:
        usual = strides == STRIDES
        if per_cell == 3:
            found.append(LayoutVariant("v5", columns - 5, strides, 3, usual=usual))
        elif per_cell:
            found.append(LayoutVariant("yolox", columns - 5, strides, 1, usual=usual))
            found += [
                LayoutVariant(name, columns - 5, strides, 1) for name in ("v6", "yolox-decoded")
            ]
    if columns == 4 + names if names else 4 < columns < max(rows, 6):
        if per_cell == 1 or (per_cell and names):
            found.append(LayoutVariant("v8", columns - 4, strides, per_cell, flipped=True))
        elif not per_cell:
            found.append(LayoutVariant("detr", columns - 4))
    return found


def _forced(name: str, sides: tuple[int, int], names: int | None) -> list[LayoutVariant]:
    """Return variants in a named layout for any number of boxes."""
    rows, columns = sides
    if name == "yolox":
        return []  # without the cells there is no grid
    if name in _TABLES:
        return [LayoutVariant(name, names)] if columns == 6 else []
    besides = 4 if name in ("v8", "detr") else 5
    fields = besides + names if names else min(sides)
    if fields not in sides or fields <= besides:
        return []
    boxes_in_columns = fields == rows
    flipped = boxes_in_columns != (name == "v8")
    return [LayoutVariant(name, fields - besides, flipped=flipped)]


def _cells(count: int, size: Size) -> tuple[tuple[int, ...], int]:
    """Return the strides of the feature maps that `count` boxes come from, and boxes per cell."""
    for per_cell in (1, 3):
        for strides in STRIDE_SETS:
            if count == per_cell * cell_count(size, strides):
                return strides, per_cell
    return (), 0
