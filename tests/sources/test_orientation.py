"""All eight ways in which a display matrix turns and mirrors a video."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.sources._file.picture import orientation_of, turn

MATRICES = {  # (a, b, c, d): what becomes of the picture
    "upright": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "flipped": ((1, 0, 0, -1), lambda p: p[::-1]),
    "transposed": ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
    "clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "counterclockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "other diagonal": ((0, -1, -1, 0), lambda p: p.transpose(1, 0, 2)[::-1, ::-1]),
}


@pytest.mark.parametrize("case", MATRICES)
def test_a_display_matrix_is_followed(case):
    """Front cameras store a mirrored picture with a note; it came out upside down."""
    (a, b, c, d), expected = MATRICES[case]
    numbers = np.array([a, b, 0, c, d, 0, 0, 0, 1], np.int32) * 65536
    picture: Any = SimpleNamespace(rotation=0, side_data={"DISPLAYMATRIX": numbers.tobytes()})
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    orientation = orientation_of(picture)
    slot = np.empty((3, 2, 3) if orientation[0] else (2, 3, 3), np.uint8)
    if case == "upright":
        assert orientation == (False, False, False)
    else:
        turn(pixels, orientation, slot)
        np.testing.assert_array_equal(slot, expected(pixels))
