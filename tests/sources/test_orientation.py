"""All eight ways in which a display matrix turns and mirrors a video."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.sources.file import Options, build

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


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("case", MATRICES)
def test_a_display_matrix_is_followed(case: str, container: str, tmp_path: Path) -> None:
    """Front cameras store a mirrored picture with a note; it came out upside down."""
    (a, b, c, d), expected = MATRICES[case]
    path = tmp_path / f"clip.{container}"
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32], pixels[:24, 32:], pixels[24:, :32] = 255, (200, 40, 40), (40, 40, 200)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_matrix([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30])
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        file.mux(stream.encode(None))
    source = build(Options(path=path))
    with closing(source):
        source.open()
        for _ in range(3):
            frame = source.read()
            assert frame is not None
            image = frame.image.astype(int)
            wanted = expected(pixels)
            assert image.shape == wanted.shape
            assert np.abs(image - wanted).mean() < 15
