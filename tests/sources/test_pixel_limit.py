"""Pictures that claim to be huge are set aside by their header; odd names are only names."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.tiny_videos import corner_picture, noise_picture, two_video_tracks, write_video
from support.web_cameras import http_camera

from pipeline.core.errors import SourceBrokenError, SourceError, SourceLostError
from pipeline.sources import camera, file, images, stream
from pipeline.sources._file.picture_size import picture_size


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".gif"])
def test_the_header_says_how_large_a_picture_is(suffix):
    good, data = cv2.imencode(suffix, np.zeros((40, 70, 3), np.uint8))
    assert good
    assert picture_size(data.tobytes()) == (70, 40)
    for end in range(0, 40, 3):
        picture_size(data.tobytes()[:end])  # a cut header raises nothing


def test_a_picture_that_claims_to_be_huge_does_not_end_the_run(tmp_path):
    """A JPEG of 65500 x 65500 ended a run with a C++ assertion and lost the pictures before it."""
    for n in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"{n}.jpg"), corner_picture())
    huge = bytearray((tmp_path / "2.jpg").read_bytes())
    at = huge.find(b"\xff\xc0")
    huge[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    (tmp_path / "2.jpg").write_bytes(huge)
    source = images.build(images.Options(path=str(tmp_path)))
    source.open()
    assert [source.read().index, source.read().index] == [0, 2]
    with pytest.raises(SourceBrokenError, match=r"2\.jpg"):
        source.read()


@pytest.mark.parametrize(("limit", "fits"), [(0.001, False), (1.0, True)])
def test_the_limit_is_an_option_of_videos_too(tmp_path, limit, fits):
    path = write_video(tmp_path / "a.mp4", [corner_picture()] * 2)
    source = file.build(file.Options(path=path, max_megapixels=limit))
    if fits:
        source.open()
        source.close()
    else:
        with pytest.raises(SourceError, match="max_megapixels"):
            source.open()


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode on Windows")
def test_a_picture_whose_name_is_not_utf8_is_read(tmp_path):
    """OpenCV's imread died of it with a segmentation fault."""
    cv2.imwrite(str(tmp_path / "a.png"), corner_picture())
    odd = os.fsencode(str(tmp_path)) + b"/caf\xe9.png"
    Path(os.fsdecode(odd)).write_bytes((tmp_path / "a.png").read_bytes())
    source = images.build(images.Options(path=str(tmp_path)))
    source.open()
    assert len(list(iter(source.read, None))) == 2


SMALL = [noise_picture(n) for n in range(4)]
LARGE = [noise_picture(n, 480, 640) for n in range(4)]
RAW = {"h264": "libx264", "mjpeg": "mjpeg", "m4v": "mpeg4"}


def raw_stream(path: Path, codec: str, pictures: list[np.ndarray]) -> bytes:
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return write_video(path, pictures, codec=codec, pixels=pixels).read_bytes()


@pytest.mark.parametrize("kind", ["h264", "mjpeg"])
def test_pictures_that_grow_over_the_limit_on_the_way_are_left_out(kind, tmp_path):
    """FFmpeg's decoders refuse them before they take memory."""
    small, large = (raw_stream(tmp_path / f"a.{kind}", RAW[kind], p) for p in (SMALL, LARGE))
    (tmp_path / f"b.{kind}").write_bytes(small + large)
    source = file.build(file.Options(path=tmp_path / f"b.{kind}", max_megapixels=0.05))
    source.open()
    with pytest.raises(SourceBrokenError, match="larger than max_megapixels"):
        list(iter(source.read, None))
    source.close()
    source.open()
    assert source.read().image.shape == (96, 128, 3)
    source.close()


@pytest.mark.parametrize("kind", RAW)
def test_a_raw_stream_of_too_large_pictures_is_refused(kind, tmp_path):
    raw_stream(tmp_path / f"a.{kind}", RAW[kind], LARGE)
    source = file.build(file.Options(path=tmp_path / f"a.{kind}", max_megapixels=0.05))
    with pytest.raises(SourceError, match="max_megapixels"):
        source.open()


@pytest.mark.slow
def test_a_network_camera_that_sends_too_large_pictures_is_lost():
    """An MJPEG camera that sent pictures of 16000 x 16000 took 4.5 GB."""
    with http_camera() as address:
        url = f"{address}/cam.mjpg"
        source = stream.build(stream.Options(url=url, max_megapixels=0.01, open_timeout_s=60))
        with pytest.raises(SourceLostError, match=r"larger than max_megapixels|megapixels, more"):
            source.open()
        source.close()
        source = stream.build(stream.Options(url=url, open_timeout_s=60))
        assert source.open().width == 128
        source.close()


@pytest.mark.parametrize("first", [True, False])
def test_a_camera_here_that_gives_too_large_pictures_is_lost(first):
    class Capture:
        def isOpened(self):  # noqa: N802
            return True

        def get(self, key):
            sizes = {cv2.CAP_PROP_FRAME_WIDTH: 200, cv2.CAP_PROP_FRAME_HEIGHT: 100}
            return sizes.get(key, 0) if first else 0

        def set(self, key, value):
            return True

        def read(self, slot=None):
            return True, np.zeros((100, 200, 3), np.uint8)

        def release(self):
            return

    options = camera.Options(max_megapixels=0.01)
    source = camera.CameraSource(options, lambda device, settings: Capture())
    if not first:
        source.open()
    with pytest.raises(SourceLostError, match="max_megapixels"):
        source.open() if first else source.read()
    source.close()


def test_a_second_video_track_is_said(tmp_path):
    path = tmp_path / "two.mkv"
    two_video_tracks(path, SMALL)
    source = file.build(file.Options(path=path))
    source.open()
    assert source.notes == ["holds 2 video tracks, of which the first is read"]
    source.close()


def heif_of(kind, width=64, height=48):
    """The header of a HEIC whose main picture, item 1, is of `kind`."""

    def box(name, *content):
        body = b"".join(content)
        return struct.pack(">I4s", len(body) + 8, name) + body

    info = box(b"infe", b"\2\0\0\0", struct.pack(">HH4s", 1, 0, kind), b"\0")
    ispe = box(b"ispe", bytes(4), struct.pack(">II", width, height))
    ipma = box(b"ipma", bytes(4), struct.pack(">IHBB", 1, 1, 1, 1))
    return box(b"ftyp", b"heic", bytes(4), b"mif1heic") + box(
        b"meta",
        bytes(4),
        box(b"pitm", bytes(4), struct.pack(">H", 1)),
        box(b"iinf", bytes(4), struct.pack(">H", 1), info),
        box(b"iprp", box(b"ipco", ispe), ipma),
    )


@pytest.mark.parametrize(
    ("kind", "size", "says"),
    [(b"grid", (64, 48), "made of tiles"), (b"hvc1", (30000, 30000), "900 megapixels")],
)
def test_a_heic_is_refused_by_its_header(kind, size, says, tmp_path):
    """A tiled HEIC, as telephones write them, was cut to its top left tile without a word."""
    path = tmp_path / "photo.heic"
    path.write_bytes(heif_of(kind, *size))
    source = file.build(file.Options(path=path))
    with pytest.raises(SourceError, match=says):
        source.open()
    assert picture_size(path.read_bytes()) == size
