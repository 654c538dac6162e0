"""Evidence for and against a layout: checks on a network's answer to the probe picture.

Every check returns an objection in a few words, or None. A row of zeros is padding written by an
export and is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.core.data import Float32
from pipeline.detectors.common.decoding import Size, grid

MIN_ROWS = 20
"""Fewer boxes than this are checked, but prove nothing."""

_BELOW, _ABOVE = 1e-6, 0.01  # a sigmoid is never below 0; in int8 it may come out above 1
_MIN_SHARE = 0.98  # of the boxes: a network may output a few odd ones
_NORMALISED_MAX = 2.0  # parts of the sides; in pixels the boxes of a whole picture lie further out
_CORRELATED, _UNRELATED = 0.8, 0.5
_MAX_CLASSES = 100_000
_MIN_SIDE_PX = 320.0
"""Boxes are as large as those that a network was trained on, however small its input is: where
they may lie is measured in sides of at least this many pixels."""
_MIN_CELLS = 100
"""With fewer cells, as for input of 64x64, every box may lie in the middle of the picture."""


@dataclass(frozen=True)
class Evidence:
    """Answer to the probe picture, `table` f32[N,F], a box per row, for input of `size` (h, w)."""

    table: Float32
    size: Size

    @cached_property
    def rows(self) -> Float32:
        """Return the rows that are not empty, f32[M,F]."""
        found: Float32 = self.table[(self.table != 0).any(axis=1)]
        return found

    @property
    def is_enough(self) -> bool:
        """Return whether there are enough boxes to prove a layout."""
        return len(self.rows) >= MIN_ROWS

    @cached_property
    def is_normalised(self) -> bool:
        """Return whether boxes are parts of the input's sides, not pixels."""
        return self.is_enough and bool(np.abs(self.rows[:, :4]).max() <= _NORMALISED_MAX)

    def finite(self) -> str | None:
        """Object to numbers that are NaN or infinite."""
        bad = ~np.isfinite(self.table).all(axis=1)
        return f"{bad.mean():.0%} of its boxes hold NaN or infinity" if bad.any() else None

    def centres(self) -> str | None:
        """Object unless boxes are cx cy w h, in pixels or parts of the sides."""
        if not len(self.rows):
            return None
        centre = self._in_sides(self.rows[:, :2], _MIN_SIDE_PX)
        side = self._in_sides(self.rows[:, 2:4], _MIN_SIDE_PX)
        if (side >= 0).all(axis=1).mean() < _MIN_SHARE:
            return "boxes have negative widths or heights"
        if self.is_enough and (side > 0).all(axis=1).mean() < 0.5:
            return "boxes have no area"
        if _share_within(centre, -0.5, 1.5) < _MIN_SHARE or _share_within(side, 0, 4) < _MIN_SHARE:
            return f"boxes lie outside {_shown(self.size)}"
        if self._look_like_corners():
            return "boxes are corners (x1 y1 x2 y2)"
        return None

    def corners(self) -> str | None:
        """Object unless boxes are left, top, right, bottom, in pixels or parts of the sides."""
        if not len(self.rows):
            return None
        if not self._are_ordered():
            return "boxes are no corners (x1 y1 x2 y2)"
        if _share_within(self._in_sides(self.rows[:, :4], _MIN_SIDE_PX), -1, 2) < _MIN_SHARE:
            return f"boxes lie outside {_shown(self.size)}"
        return None

    def in_pixels(self) -> str | None:
        """Object to boxes that are parts of the sides."""
        return "boxes are from 0 to 1, not in pixels" if self.is_normalised else None

    def in_sides(self) -> str | None:
        """Object to boxes in pixels."""
        return None if self.is_normalised else "boxes are not from 0 to 1"

    def decoded(self, strides: tuple[int, ...], per_cell: int) -> str | None:
        """Object to boxes whose centres are unrelated to the cells they come from."""
        related = self._relation(strides, per_cell)
        if related is None or related > _UNRELATED or len(self.rows) < _MIN_CELLS:
            return None
        return "centres of boxes are not where their cells are: the grid is not decoded"

    def in_cells(self, strides: tuple[int, ...]) -> str | None:
        """Object to boxes whose centres already coincide with their cells."""
        related = self._relation(strides, 1)
        if related is None or related < _CORRELATED:
            return None
        return "centres of boxes are where their cells are: the grid is decoded already"

    def scores(self, first: int) -> str | None:
        """Object unless column `first` and all after it are scores."""
        values = self.rows[:, first:]
        if not values.size:
            return None
        low, high = float(values.min()), float(values.max())
        if low < -_BELOW or high > 1 + _ABOVE:
            column = first + int(np.abs(values - 0.5).max(axis=0).argmax())
            return f"scores run from {low:.4g} to {high:.4g} (column {column}), want 0 to 1"
        return None

    def class_scores(self, first: int) -> str | None:
        """Object to scores per class if one of the columns is something else."""
        why = self.scores(first)
        if why or not self.is_enough:
            return why
        values = self.rows[:, first:]
        ones = np.flatnonzero((values == 1).all(axis=0))
        if len(ones):
            return f"column {first + ones[0]} is 1 in every box"
        # An angle lies around 0.8 everywhere; a class that is everywhere there is none.
        if values.shape[1] > 1:
            last, others = float(np.median(values[:, -1])), float(np.median(values[:, :-1].max(1)))
            if last > 0.25 and others < 0.1 * last:
                return f"column {first + values.shape[1] - 1} is about {last:.2g} in every box"
        return None

    def varied_classes(self, score: int, column: int) -> str | None:
        """Object if most boxes have one class with near certainty: that is a constant 1."""
        if not self.is_enough:
            return None
        classes, counts = np.unique(self.rows[:, column], return_counts=True)
        if counts.max() > 0.5 * len(self.rows) and np.median(self.rows[:, score]) > 0.25:
            return f"most boxes are surely of class {classes[counts.argmax()]:.0f}"
        return None

    def ones(self, column: int) -> str | None:
        """Object unless a column is 1 in every box."""
        if self.is_enough and (self.rows[:, column] == 1).all():
            return None
        return f"column {column} is not 1 in every box"

    def not_ones(self, column: int) -> str | None:
        """Object to a column that is 1 in every box."""
        return None if self.ones(column) else f"column {column} is 1 in every box"

    def score(self, column: int) -> str | None:
        """Object unless one column holds scores; integers alone are not scores."""
        values = self.rows[:, column]
        if not values.size:
            return None
        if values.min() < -_BELOW or values.max() > 1 + _ABOVE:
            return f"column {column} runs from {values.min():.4g} to {values.max():.4g}, no score"
        return None

    def classes(self, column: int, count: int | None) -> str | None:
        """Object unless one column holds whole numbers below `count`."""
        values = self.rows[:, column]
        if not values.size:
            return None
        if np.abs(values - np.round(values)).max() > 1e-3:
            return f"column {column} holds fractions, no classes"
        if values.min() < 0 or values.max() >= (count or _MAX_CLASSES):
            return f"column {column} holds classes {values.min():.0f} to {values.max():.0f}"
        return None

    def summary(self) -> str:
        """Return the columns' ranges in a few words."""
        if not len(self.rows):
            return "every number was 0"
        wide = self.rows.shape[1]
        groups = [(0, 4), (4, 5), (5, 6), (6, wide)]
        return ", ".join(
            self._range(first, min(end, wide)) for first, end in groups if first < wide
        )

    def _range(self, first: int, end: int) -> str:
        values = self.rows[:, first:end]
        name = f"column {first}" if end == first + 1 else f"columns {first}-{end - 1}"
        return f"{name} {values.min():.4g} to {values.max():.4g}"

    def _in_sides(self, pairs: Float32, min_side: float = 1.0) -> Float32:
        """Return x, y, ... as parts of the sides, or of `min_side` pixels where that is more."""
        if self.is_normalised:
            return pairs
        height, width = (max(side, min_side) for side in self.size)
        sides = np.array((width, height) * (pairs.shape[1] // 2), np.float32)
        return np.asarray(pairs / sides, np.float32)

    def _are_ordered(self) -> bool:
        left, top, right, bottom = self.rows[:, :4].T
        return bool(((right >= left) & (bottom >= top)).mean() >= _MIN_SHARE)

    def _look_like_corners(self) -> bool:
        """Return whether columns 2 and 3 are right and bottom rather than width and height.

        Boxes as large as the picture are valid either way, but only corners move together.
        """
        if not self.is_enough or not self._are_ordered():
            return False
        if self._in_sides(self.rows[:, :2]).std(axis=0).min() <= 0.05:
            return False
        pairs = [(self.rows[:, axis], self.rows[:, axis + 2]) for axis in (0, 1)]
        if any(second.std() < 1e-6 for _, second in pairs):
            return False
        return min(float(np.corrcoef(*pair)[0, 1]) for pair in pairs) > _UNRELATED

    def _relation(self, strides: tuple[int, ...], per_cell: int) -> float | None:
        """Return the lower of the correlations of centres with cells; None if undefined."""
        if not self.is_enough:
            return None
        best: float | None = None
        for cells in _orders(self.size, strides, per_cell):
            if len(cells) != len(self.table):
                return None
            keep = (self.table != 0).any(axis=1)
            pairs = [(cells[keep, axis], self.table[keep, axis]) for axis in (0, 1)]
            if any(one.std() == 0 or other.std() < 1e-6 for one, other in pairs):
                return None
            related = min(float(np.corrcoef(*pair)[0, 1]) for pair in pairs)
            best = related if best is None else max(best, related)
        return best


def _orders(size: Size, strides: tuple[int, ...], per_cell: int) -> list[Float32]:
    """Return the cells' middles in pixels f32[N,2], in each order that boxes come in."""
    levels = []
    for stride in strides:
        corner, step = grid(size, (stride,))
        levels.append((corner + 0.5) * step)
    if per_cell == 1:
        return [np.concatenate(levels)]
    by_anchor = [np.tile(level, (per_cell, 1)) for level in levels]
    by_cell = [np.repeat(level, per_cell, axis=0) for level in levels]
    return [np.concatenate(order) for order in (by_anchor, by_cell)]


def _share_within(values: Float32, low: float, high: float) -> float:
    return float(((values >= low) & (values <= high)).all(axis=1).mean())


def _shown(size: Size) -> str:
    return f"the input of {size[1]}x{size[0]}"
