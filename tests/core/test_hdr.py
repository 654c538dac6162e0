"""HDR in standard range: greys and colours as ITU-R BT.2100, BT.2390 and BT.2087 have them."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from pipeline.core.data import Frame
from pipeline.core.frame_pool import FramePool
from pipeline.core.hdr import HLG, PQ
from pipeline.core.yuv import YuvImage
from pipeline.sinks._mp4 import Mp4Writer
from pipeline.sources._file.picture import UprightConverter
from trackline import read_picture

BT2020, WHITE_NITS = 9, 203.0
# Columns are red, green and blue of BT.709 in those of BT.2020 (ITU-R BT.2087, M2).
TO_2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)  # fmt: skip
SDR = {  # red, green, blue of BT.709, as signals of a display of gamma 2.4
    "black": (0.0, 0.0, 0.0),
    "dark grey": (0.2, 0.2, 0.2),
    "grey": (0.5, 0.5, 0.5),
    "skin": (0.7, 0.55, 0.48),
    "foliage": (0.32, 0.42, 0.26),
    "sky": (0.38, 0.48, 0.62),
    "brick": (0.6, 0.3, 0.25),
}


def signal(nits: np.ndarray, transfer: int) -> np.ndarray:
    """The PQ or HLG signal of light, cd/m2 (BT.2100, tables 4 and 5; HLG of each colour)."""
    if transfer == PQ:
        power = (nits / 10_000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    scene = (nits / 1000) ** (1 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(12 * scene - b) + c)


def picture(rgb: tuple[float, float, float], transfer: int, bits: int = 10) -> av.VideoFrame:
    """One colour of BT.709, white of it 203 cd/m2, as a picture of HDR."""
    light = TO_2020 @ (np.array(rgb) ** 2.4) * WHITE_NITS
    red, green, blue = signal(light, transfer)
    luma = 0.2627 * red + 0.678 * green + 0.0593 * blue
    unit = 2 ** (bits - 8)
    levels = [
        16 + 219 * luma,
        128 + 224 * (blue - luma) / 1.8814,
        128 + 224 * (red - luma) / 1.4746,
    ]
    frame = av.VideoFrame(64, 48, "yuv420p10le" if bits == 10 else "yuv420p")
    for plane, level in zip(frame.planes, levels, strict=True):
        kind = "<u2" if bits == 10 else "u1"
        count = plane.buffer_size // np.dtype(kind).itemsize
        plane.update(np.full(count, round(level * unit), kind).tobytes())
    frame.colorspace, frame.color_range, frame.color_trc = BT2020, 1, transfer
    return frame


def upright(frame: av.VideoFrame) -> YuvImage:
    image = UprightConverter(FramePool(), may_mirror=False)(frame)
    assert isinstance(image, YuvImage)
    return image


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("name", SDR)
def test_colours_of_hdr_are_those_of_ordinary_video(name: str, bits: int, transfer: int) -> None:
    """Videos of phones looked washed out: grey of half the signal came as 0.37 (PQ)."""
    image = upright(picture(SDR[name], transfer, bits))
    assert image.colour == (BT2020, False, transfer)
    want = np.array(SDR[name][::-1]) * 255
    for given in (image.bgr, image.scaled((4, 6)), image.scaled((4, 6), average=True)):
        assert np.abs(given.reshape(-1, 3).mean(0) - want).max() < 11
        assert given.reshape(-1, 3).std(0).max() < 1


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_what_is_brighter_comes_closer_to_white_and_never_turns_dark(transfer: int) -> None:
    greys = [
        int(upright(picture((level,) * 3, transfer)).bgr[0, 0, 1])
        for level in np.linspace(0, 1.8, 30)  # 1.8 is 830 cd/m2
    ]
    assert greys == sorted(greys)
    assert 220 < greys[16] < 250  # reference white leaves room for what is brighter
    assert greys[-1] > 250


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_the_annotated_video_of_hdr_is_of_standard_range(transfer: int, tmp_path: Path) -> None:
    image = upright(picture(SDR["skin"], transfer))
    path = tmp_path / "out.mp4"
    writer = Mp4Writer(path, image, {"preset": "ultrafast"}, 1)
    for n in range(2):
        assert isinstance(writer.canvas(image), np.ndarray)
        writer.encode(Frame(image, "a", n, n / 25, 0.0))
    writer.close()
    with av.open(str(path)) as video:
        decoded = next(video.decode(video=0))
    assert decoded.color_trc == 1
    shown = decoded.to_ndarray(format="rgb24")
    assert np.abs(shown.mean((0, 1)) - np.array(SDR["skin"]) * 255).max() < 11


@pytest.mark.parametrize("matrix", [2, 10, 99])
@pytest.mark.parametrize("bits", [8, 10])
def test_hdr_that_does_not_say_a_known_matrix_has_that_of_hdr(matrix: int, bits: int) -> None:
    green = (0.25, 0.75, 0.2)  # 15 levels off by BT.601
    frame, known = picture(green, HLG, bits), upright(picture(green, HLG, bits))
    frame.colorspace = matrix
    image = upright(frame)
    np.testing.assert_array_equal(image.bgr, known.bgr)
    np.testing.assert_array_equal(image.scaled((4, 6)), known.scaled((4, 6)))


def test_pictures_without_planes_are_of_standard_range_too() -> None:
    frame = picture(SDR["skin"], HLG).reformat(format="gbrp10le")
    frame.color_trc = HLG
    given = UprightConverter(FramePool(), may_mirror=False)(frame)
    assert isinstance(given, np.ndarray)
    assert np.abs(given[0, 0, ::-1] - np.array(SDR["skin"]) * 255).max() < 11


# -- still pictures -------------------------------------------------------------------------------


def avif(rgb: np.ndarray, transfer: int, mode: str = "RGB") -> bytes:
    """AVIF of Pillow, which cannot write the transfer: that is put into its `colr` afterwards."""
    pillow = pytest.importorskip("PIL.Image", reason="no Pillow")
    buffer = io.BytesIO()
    pillow.fromarray(rgb).convert(mode).save(buffer, "AVIF", quality=95)
    data = bytearray(buffer.getvalue())
    struct.pack_into(">HH", data, data.index(b"nclx") + 4, BT2020, transfer)
    return bytes(data)


def heic(rgb: np.ndarray, transfer: int) -> bytes:
    heif = pytest.importorskip("pillow_heif", reason="no pillow-heif")
    buffer = io.BytesIO()
    heif.from_bytes(mode="RGB", size=rgb.shape[1::-1], data=rgb.tobytes()).save(
        buffer,
        quality=95,
        color_primaries=BT2020,
        transfer_characteristics=transfer,
        matrix_coefficients=BT2020,
        full_range_flag=1,
    )
    return buffer.getvalue()


def png(rgb: np.ndarray, transfer: int) -> bytes:
    """PNG of 16 bits with the chunk cICP."""
    data = cv2.imencode(".png", rgb[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    content = b"cICP" + bytes([BT2020, transfer, 0, 1])
    chunk = struct.pack(">I", 4) + content + struct.pack(">I", zlib.crc32(content))
    return data[:33] + chunk + data[33:]


STILLS = {
    "AVIF": avif,
    "AVIF with alpha": lambda rgb, transfer: avif(rgb, transfer, "RGBA"),
    "HEIC": heic,
    "HEIC by FFmpeg": heic,
    "PNG": png,
}


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("kind", STILLS)
def test_still_pictures_of_hdr_are_of_standard_range(
    kind: str, transfer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDR pictures looked washed out after HDR video no longer did."""
    names = ["dark grey", "grey", "skin", "foliage", "sky", "brick"]
    colours = np.array([SDR[name] for name in names])
    shown = signal((colours**2.4) @ TO_2020.T * WHITE_NITS, transfer)
    tiles = (shown * 255).round().astype(np.uint8)[None]
    data = STILLS[kind](np.kron(tiles, np.ones((32, 32, 1), np.uint8)), transfer)
    if kind == "HEIC by FFmpeg":
        for name in ("pi_heif", "pillow_heif"):
            monkeypatch.setitem(sys.modules, name, None)
    given: Any = read_picture(data)[8:24].reshape(16, len(names), 32, 3)[:, :, 8:24]
    off = np.abs(given.mean((0, 2))[:, ::-1] - colours * 255)
    assert off.max() < 13, dict(zip(names, off.round(1).tolist(), strict=True))


@pytest.mark.parametrize("kind", STILLS)
def test_still_pictures_of_standard_range_stay_as_they_are(kind: str) -> None:
    grey = np.full((64, 96, 3), 100, np.uint8)
    assert np.abs(read_picture(STILLS[kind](grey, 13)).astype(int) - 100).max() <= 3
