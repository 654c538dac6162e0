"""Still pictures of every kind: turned, mirrored, cut off, of several pages, of odd pixels."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.tiny_videos import corner_picture, noise_picture

from pipeline.core.errors import SourceBrokenError, SourceError
from pipeline.sources import images
from pipeline.sources._file.picture_size import picture_size
from pipeline.sources._file.still_picture import decode_picture

PICTURE = corner_picture()
ORIENTATIONS = {  # of EXIF: what the stored picture is to become
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda p: np.rot90(p, 1),
}


def encoded(suffix: str, picture: Any = PICTURE) -> bytes:
    good, data = cv2.imencode(suffix, picture)
    assert good
    return bytes(data)


def pillow() -> Any:
    """Pillow's module for pictures; what OpenCV cannot write is made with it."""
    return pytest.importorskip("PIL.Image", reason="no Pillow")


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    pillow().fromarray(PICTURE[..., ::-1]).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def assert_alike(image: Any, wanted: Any) -> None:
    assert image.dtype == np.uint8
    assert image.shape == wanted.shape
    assert np.abs(image.astype(int) - wanted).mean() < 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_turned_picture_is_upright(kind: str, orientation: int) -> None:
    """Turned TIFFs could not be read, and AVIF lay on its side: its turn is no EXIF."""
    exif = pillow().Exif()
    exif[0x112] = orientation
    decoded = decode_picture(saved(kind, exif=exif), 400)
    assert_alike(decoded.image, ORIENTATIONS[orientation](PICTURE))


GREY = cv2.cvtColor(cv2.cvtColor(PICTURE, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        *((lambda s=s: encoded(s, PICTURE.astype(np.uint16) * 257), PICTURE)
          for s in (".png", ".tiff", ".ppm", ".jp2")),
        *((lambda s=s: encoded(s, cv2.cvtColor(PICTURE, cv2.COLOR_BGR2BGRA)), PICTURE)
          for s in (".png", ".tiff", ".webp", ".bmp")),
        *((lambda s=s: encoded(s, GREY[..., 0]), GREY)
          for s in (".jpg", ".png", ".tiff", ".bmp", ".pgm", ".jp2")),
        (lambda: saved("JPEG", "CMYK"), PICTURE),
        (lambda: saved("TIFF", "CMYK"), PICTURE),
        (lambda: saved("JPEG", progressive=True, quality=90), PICTURE),
        (lambda: saved("TIFF", compression="tiff_lzw"), PICTURE),
        (lambda: saved("TIFF", big_tiff=True), PICTURE),
        (lambda: saved("PNG", "LA"), GREY),
    ],
)  # fmt: skip
def test_pixels_of_every_kind_become_bgr(data: Any, wanted: Any) -> None:
    assert_alike(decode_picture(data(), 400).image, wanted)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_a_palette_is_looked_up(kind: str) -> None:
    buffer = io.BytesIO()
    pillow().fromarray(PICTURE[..., ::-1]).quantize(8).save(buffer, kind)
    assert_alike(decode_picture(buffer.getvalue(), 400).image, PICTURE)


@pytest.mark.parametrize("suffix", [".pfm", ".hdr", ".ras"])
def test_what_does_not_say_its_size_in_a_known_way_is_refused(suffix: str) -> None:
    """A PFM came out as a picture without colours, and nearly black."""
    picture = PICTURE if suffix == ".ras" else PICTURE.astype(np.float32) / 255
    decoded = decode_picture(encoded(suffix, picture), 400)
    assert decoded.image is None
    assert "want JPEG, PNG" in decoded.why


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".bmp", ".ppm", ".jp2"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9, 0.99])
def test_a_picture_that_is_cut_off_is_unreadable(suffix: str, share: float) -> None:
    """Half a JPEG counted as whole: its lower part was grey."""
    data = encoded(suffix, noise_picture(0))
    decoded = decode_picture(data[: int(len(data) * share)], 400)
    assert decoded.image is None
    assert decoded.why


def test_zeros_in_place_of_the_second_half_are_noticed_and_padding_is_none() -> None:
    """As after a power cut, when a file's length was written before its content."""
    data = encoded(".jpg", noise_picture(0))
    half = len(data) // 2
    assert "cut off" in decode_picture(data[:half] + bytes(half), 400).why
    assert decode_picture(data + bytes(64), 400).image is not None


HEADERS = {
    "jpeg": (b"\xff\xc0", 5, ">HH"),
    "png": (b"IHDR", 4, ">II"),
    "bmp": (b"BM", 18, "<ii"),
    "avif": (b"ispe", 8, ">II"),
    "jp2": (b"\xff\x51", 6, ">II"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_picture_that_claims_to_be_huge_is_not_decoded(kind: str) -> None:
    data = bytearray(saved("AVIF") if kind == "avif" else encoded(f".{kind}"))
    marker, offset, layout = HEADERS[kind]
    struct.pack_into(layout, data, data.find(marker) + offset, 30000, 30001)
    assert "900 megapixels" in decode_picture(bytes(data), 400).why


def test_netpbm_with_a_comment_and_pam_say_their_size() -> None:
    assert picture_size(b"P6 # made by hand 9 9\n70 # wide\n 40 255\n") == (70, 40)
    assert picture_size(b"P7\nWIDTH 70\nHEIGHT 40\nDEPTH 3\nMAXVAL 255\nENDHDR\n") == (70, 40)


@pytest.mark.parametrize(("kind", "pages"), [("WEBP", 3), ("PNG", 3), ("TIFF", 3), ("AVIF", 0)])
def test_a_file_of_several_pictures_says_that_one_is_read(
    kind: str, pages: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Animations and scans of many pages gave their first picture without a word."""
    more = [pillow().fromarray(noise_picture(n, 64, 96)) for n in (1, 2)]
    data = saved(kind, save_all=True, append_images=more)
    assert decode_picture(data, 400).pages == pages
    for n in range(2):
        (tmp_path / f"{n}.{kind.lower()}").write_bytes(data)
    (tmp_path / "single.png").write_bytes(encoded(".png"))
    source = images.build(images.Options(path=str(tmp_path)))
    source.open()
    assert len(list(iter(source.read, None))) == 3
    (note,) = source.notes
    assert "the first is read (2 such)" in note
    assert caplog.text.count("the first is read") == 1
    for _ in range(2):
        source.close()
        assert caplog.text.count("the first is read (2 such)") == 1, "the log says how many, once"


def test_why_a_picture_cannot_be_read_is_said(tmp_path: Path) -> None:
    data = encoded(".jpg", noise_picture(0))
    (tmp_path / "1.jpg").write_bytes(data)
    (tmp_path / "2.jpg").write_bytes(data[: len(data) // 2])
    source = images.build(images.Options(path=str(tmp_path)))
    source.open()
    source.read()
    with pytest.raises(SourceBrokenError, match=r"2\.jpg: .*cut off"):
        source.read()
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(SourceError, match=r"2\.jpg: .*cut off"):
        source.open()
