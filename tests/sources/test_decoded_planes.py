"""Codecs, pixel formats, rotations and sizes: frames hold planes, in the colours that were encoded.

What is encoded is made and what comes out is judged by the equations of ITU-T H.273 alone.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from support.tiny_videos import grey_picture, write_video

from pipeline.core.data import Frame
from pipeline.core.yuv import BT601, BT709, YuvColour
from pipeline.sources.file import Options, build

BT2020 = 9
WEIGHTS = {BT601: (0.299, 0.114), 5: (0.299, 0.114), BT709: (0.2126, 0.0722), 9: (0.2627, 0.0593)}
TURNED = {0: 0, 90: 1, 180: 2, 270: 3}
"""Quarter turns to the left by the rotation that the file says."""


def scene(height: int, width: int) -> Any:
    """RGB f64[H,W,3], 0 to 1: colours that change slowly, a bright corner to see turns by.

    One colour of a few pixels, which share their chroma.
    """
    if height * width < 10:
        return np.full((height, width, 3), (0.8, 0.4, 0.2))
    rows, columns = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    rgb = np.stack([0.2 + 0.6 * rows, 0.2 + 0.6 * columns, 0.8 - 0.3 * (rows + columns)], -1)
    rgb[: height // 4, : width // 4] = 0.95, 0.9, 0.5
    return rgb


def chroma_steps(layout: str) -> tuple[int, int]:
    """Rows and columns of luma that share their chroma."""
    for name, steps in {"422": (1, 2), "444": (1, 1), "440": (2, 1), "411": (1, 4)}.items():
        if name in layout:
            return steps
    return 2, 2


def planes(rgb: Any, layout: str, matrix: int, full: bool) -> av.VideoFrame:
    red, blue = WEIGHTS[matrix]
    bits = 10 if "10" in layout else 8
    luma = rgb @ [red, 1 - red - blue, blue]
    cb, cr = (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)
    unit = 2.0 ** (bits - 8)
    y = luma * (255 if full else 219) * unit + (0 if full else 16 * unit)
    scale = (255 if full else 224) * unit
    steps, (height, width) = chroma_steps(layout), luma.shape
    frame = av.VideoFrame(width, height, layout)
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    for plane, numbers in zip(
        frame.planes, [y, *(halved(c * scale + 128 * unit, steps) for c in (cb, cr))], strict=True
    ):
        rows = np.zeros((plane.height, plane.line_size // (2 if bits > 8 else 1)))
        rows[:, : numbers.shape[1]] = numbers
        plane.update(rows.round().astype("<u2" if bits > 8 else "u1").tobytes())
    return frame


def halved(plane: Any, steps: tuple[int, int]) -> Any:
    """The mean of `steps` rows and columns, the last ones doubled where they do not go round."""
    more = [(0, -side % step) for side, step in zip(plane.shape, steps, strict=True)]
    padded = np.pad(plane, more, "edge")
    shape = padded.shape[0] // steps[0], steps[0], padded.shape[1] // steps[1], steps[1]
    return padded.reshape(shape).mean((1, 3))


def read_one(path: Path) -> Frame:
    source = build(Options(path=path))
    with closing(source):
        info = source.open()
        frame = source.read()
        assert frame is not None
        assert (info.height, info.width, 3) == frame.shape
        assert source.read() is not None
        assert source.read() is None
        return frame


def encoded(path: Path, picture: av.VideoFrame, codec: str, rotation: int) -> Path:
    options = {"libx264": {"qp": "4"}, "libx265": {"x265-params": "qp=4:log-level=none"}}
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=10)
        stream.width, stream.height = picture.width, picture.height
        stream.pix_fmt = picture.format.name
        stream.options = options.get(codec, {})
        stream.codec_context.colorspace = picture.colorspace
        stream.codec_context.color_range = picture.color_range
        if rotation:
            stream.set_display_rotation(rotation)
        for n in range(2):
            picture.pts = n
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    return path


def bgr_of_nv12(nv12: Any, colour: YuvColour) -> Any:
    """BGR f64[H,W,3] of what the video sink encodes, by H.273."""
    height = nv12.shape[0] * 2 // 3
    pairs = nv12[height:].reshape(height // 2, -1, 2).repeat(2, 0).repeat(2, 1) - 128.0
    red, blue = WEIGHTS[colour.matrix]
    luma = nv12[:height].astype(float)
    cb, cr = pairs[..., 0] / 255, pairs[..., 1] / 255
    if colour.full_range:
        luma = luma / 255
    else:
        luma, cb, cr = (luma - 16) / 219, cb * 255 / 224, cr * 255 / 224
    b, r = luma + (2 - 2 * blue) * cb, luma + (2 - 2 * red) * cr
    green = (luma - red * r - blue * b) / (1 - red - blue)
    return np.stack([b, green, r], -1).clip(0, 1) * 255


CASES = [
    # what it is of: codec, pixel format, matrix, full range, height, width, rotation
    ("phone, upright", "libx264", "yuv420p", BT709, False, 48, 64, 0),
    ("phone, portrait", "libx264", "yuv420p", BT709, False, 48, 64, 90),
    ("phone, upside down", "libx264", "yuv420p", BT709, False, 48, 64, 180),
    ("phone, portrait, height no multiple of 4", "libx264", "yuv420p", BT709, True, 48, 70, 270),
    ("phone, HEVC main 10", "libx265", "yuv420p10le", BT2020, False, 48, 64, 0),
    ("phone, HEVC main 10, portrait", "libx265", "yuv420p10le", BT2020, False, 50, 66, 90),
    ("H.264 high 10, full range", "libx264", "yuv420p10le", BT709, True, 48, 64, 0),
    ("camera, H.264 4:2:2 of 10 bits", "libx264", "yuv422p10le", BT709, False, 50, 66, 0),
    ("phone, ProRes, portrait", "prores_ks", "yuv422p10le", BT709, False, 48, 64, 90),
    ("webcam, JPEG 4:2:2", "mjpeg", "yuvj422p", 5, True, 48, 64, 0),
    ("JPEG 4:2:2, turned", "mjpeg", "yuvj422p", 5, True, 48, 64, 270),
    ("JPEG 4:2:0 of odd size", "mjpeg", "yuvj420p", 5, True, 45, 61, 0),
    ("JPEG 4:4:4", "mjpeg", "yuvj444p", 5, True, 48, 64, 0),
    ("screen, H.264 4:4:4", "libx264", "yuv444p", BT709, False, 48, 64, 0),
    ("screen, H.264 4:4:4, turned", "libx264", "yuv444p", BT709, False, 48, 64, 90),
    ("screen, VP9 of odd size", "libvpx-vp9", "yuv420p", BT709, False, 45, 61, 0),
    ("AV1 of 10 bits", "libsvtav1", "yuv420p10le", BT709, False, 64, 66, 0),
    ("DV, 4:1:1", "ffv1", "yuv411p", BT601, False, 48, 64, 0),
    ("4:4:0, turned", "ffv1", "yuv440p", BT601, False, 48, 64, 90),
    ("10 bits of odd size", "ffv1", "yuv420p10le", BT601, False, 45, 61, 0),
    ("odd size, turned", "ffv1", "yuv420p", BT601, False, 45, 61, 90),
    ("two pixels", "ffv1", "yuv420p", BT601, False, 2, 2, 180),
    ("two pixels of 10 bits", "ffv1", "yuv420p10le", BT601, False, 2, 2, 90),
    ("one pixel", "ffv1", "yuv420p", BT601, False, 1, 1, 0),
    ("one row of 4:2:2", "ffv1", "yuv422p", BT601, False, 1, 5, 0),
]


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_frames_hold_planes_in_the_colours_that_were_encoded(case: Any, tmp_path: Path) -> None:
    what, codec, layout, matrix, full, height, width, rotation = case
    rgb = scene(height, width)
    path = tmp_path / "clip.mkv"
    frame = read_one(encoded(path, planes(rgb, layout, matrix, full), codec, rotation))
    want = np.rot90(rgb, TURNED[rotation])[..., ::-1] * 255
    limit = 2.5 if height % 2 or height < 3 else 1.8
    assert frame.shape == want.shape
    assert np.abs(frame.image - want).mean() < limit
    size = max(1, want.shape[0] // 2), max(1, want.shape[1] // 2)
    small = cv2.resize(want, size[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(frame.scaled(size) - small).mean() < limit
    if what == "odd size, turned":
        assert frame.yuv is None
        return
    assert frame.yuv is not None
    assert frame.yuv.colour == YuvColour(matrix, full)
    nv12 = np.zeros(((want.shape[0] + 1) // 2 * 3, (want.shape[1] + 1) // 2 * 2), np.uint8)
    frame.yuv.copy_nv12(nv12)
    drawn = bgr_of_nv12(nv12, frame.yuv.colour)[: want.shape[0], : want.shape[1]]
    assert np.abs(drawn - want).mean() < limit


@pytest.mark.parametrize(("pixels", "rotation"), [("yuv420p", 90), ("yuv420p10le", 0)])
def test_memory_of_turned_and_reduced_planes_is_used_again_once_it_is_free(
    pixels: str, rotation: int, tmp_path: Path
) -> None:
    path = write_video(
        tmp_path / "clip.mp4",
        [grey_picture(20 * n) for n in range(10)],
        pixels=pixels,
        rotation=rotation,
    )
    source = build(Options(path=path))
    addresses = set()
    with closing(source):
        source.open()
        held = [source.read() for _ in range(3)]
        while (frame := source.read()) is not None:
            assert frame.yuv is not None
            addresses.add(frame.yuv.luma.ctypes.data)
            del frame
    assert len(addresses) <= 2
    levels = [frame.image.mean() for frame in held if frame is not None]
    np.testing.assert_allclose(levels, [0, 20, 40], atol=3)
