"""The reader of picture files: every format a table row, transparent parts, and what is refused."""

from __future__ import annotations

import io
import os
import struct
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.tiny_videos import corner_picture, noise_picture

from pipeline.sources._file.picture_size import picture_size
from pipeline.sources._file.still_picture import decode_picture
from trackline import SourceError, read_picture

PICTURE = corner_picture()
RGB = np.ascontiguousarray(PICTURE[..., ::-1])


def pillow() -> Any:
    """Pillow's module for pictures; what OpenCV cannot write is made with it."""
    return pytest.importorskip("PIL.Image", reason="no Pillow")


def saved(kind: str, picture: Any = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = pillow().fromarray(RGB) if picture is None else picture
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def encoded(suffix: str, picture: Any = PICTURE, *options: int) -> bytes:
    good, data = cv2.imencode(suffix, picture, options)
    assert good
    return bytes(data)


def black() -> Any:
    return pillow().new("RGB", (96, 64))


def heic(picture: Any = None, **options: Any) -> bytes:
    heif = pytest.importorskip("pillow_heif", reason="no pillow-heif")
    buffer = io.BytesIO()
    image = heif.from_pillow(picture or pillow().fromarray(RGB))
    image.save(buffer, quality=90, **options)
    return buffer.getvalue()


def assert_alike(image: Any, wanted: Any) -> None:
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.shape == wanted.shape
    assert np.abs(image.astype(int) - wanted).mean() < 6


FORMATS = {
    "JPEG": lambda: encoded(".jpg"),
    "progressive JPEG": lambda: saved("JPEG", progressive=True, quality=90),
    "CMYK JPEG": lambda: saved("JPEG", pillow().fromarray(RGB).convert("CMYK")),
    "PNG": lambda: encoded(".png"),
    "16-bit PNG": lambda: encoded(".png", PICTURE.astype(np.uint16) * 257),
    "palette PNG": lambda: saved("PNG", pillow().fromarray(RGB).quantize(8)),
    "animated PNG": lambda: saved("PNG", save_all=True, append_images=[black()]),
    "WebP": lambda: saved("WEBP", lossless=True),
    "animated WebP": lambda: saved(
        "WEBP", lossless=True, save_all=True, append_images=[black()]
    ),
    "AVIF": lambda: saved("AVIF", quality=90),
    "10-bit AVIF": lambda: encoded(
        ".avif", PICTURE.astype(np.uint16) * 4, cv2.IMWRITE_AVIF_DEPTH, 10
    ),
    "HEIC": heic,
    "GIF": lambda: saved("GIF", pillow().fromarray(RGB).quantize(8)),
    "animated GIF": lambda: saved("GIF", save_all=True, append_images=[black()]),
    "TIFF": lambda: saved("TIFF"),
    "16-bit TIFF": lambda: encoded(".tiff", PICTURE.astype(np.uint16) * 257),
    "CMYK TIFF": lambda: saved("TIFF", pillow().fromarray(RGB).convert("CMYK")),
    "BMP": lambda: encoded(".bmp"),
    "JPEG 2000": lambda: encoded(".jp2"),
    "Netpbm": lambda: encoded(".ppm"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_from_its_bytes_and_its_file(name: str, tmp_path: Path) -> None:
    data = FORMATS[name]()
    (tmp_path / "picture").write_bytes(data)
    assert_alike(read_picture(data), PICTURE)
    assert_alike(read_picture(tmp_path / "picture"), PICTURE)
    assert_alike(read_picture(str(tmp_path / "picture")), PICTURE)


# -- transparent parts ----------------------------------------------------------------------------

STRIPES = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
STRIPES[:, 48:, 3] = 0
STRIPES[32:, :48, 3] = 128
ON_WHITE = PICTURE.copy()
ON_WHITE[:, 48:] = 255
ON_WHITE[32:, :48] = (PICTURE[32:, :48].astype(int) * 128 + 255 * 127) // 255


def with_alpha() -> Any:
    return pillow().fromarray(STRIPES)


def cv2_alpha(depth: Any = np.uint8) -> Any:
    return cv2.cvtColor(STRIPES, cv2.COLOR_RGBA2BGRA).astype(depth) * (
        257 if depth == np.uint16 else 1
    )


TRANSPARENT = {
    "PNG": lambda: saved("PNG", with_alpha()),
    "16-bit PNG": lambda: encoded(".png", cv2_alpha(np.uint16)),
    "WebP": lambda: saved("WEBP", with_alpha(), lossless=True, exact=True),
    "lossy WebP": lambda: saved("WEBP", with_alpha(), quality=95),
    "AVIF": lambda: saved("AVIF", with_alpha(), quality=95),
    "TIFF": lambda: saved("TIFF", with_alpha()),
    "BMP": lambda: encoded(".bmp", cv2_alpha()),
    "JPEG 2000": lambda: saved("JPEG2000", with_alpha()),
    "HEIC": lambda: heic(with_alpha()),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_parts_are_white(name: str) -> None:
    """The colours under transparent parts showed: cut-out pictures had black or odd grounds."""
    assert_alike(read_picture(TRANSPARENT[name]()), ON_WHITE)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_colour_that_a_palette_makes_transparent_is_white(kind: str) -> None:
    image = pillow().fromarray(RGB).quantize(8)
    index = image.getpixel((90, 10))
    wanted = PICTURE.copy()
    wanted[:, 48:] = 255
    assert_alike(read_picture(saved(kind, image, transparency=index)), wanted)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_with_transparent_parts_is_upright(kind: str, orientation: int) -> None:
    exif = pillow().Exif()
    exif[0x112] = orientation
    turned, plain = (
        read_picture(saved(kind, image, exif=exif))
        for image in (with_alpha(), pillow().fromarray(np.ascontiguousarray(ON_WHITE[..., ::-1])))
    )
    assert_alike(turned, plain)


def test_an_alpha_channel_of_zeros_only_is_a_mistake() -> None:
    empty = np.dstack([PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    assert_alike(read_picture(encoded(".png", empty)), PICTURE)


def test_avif_that_says_its_orientation_twice_is_turned_once() -> None:
    """Telephones write it in AVIF's own way and in EXIF, too."""
    exif = pillow().Exif()
    exif[0x112] = 6
    data = saved("AVIF", exif=exif, quality=90)
    assert b"Exif" in data or b"irot" in data
    assert read_picture(data).shape == (96, 64, 3)


# -- HEIC without libheif -------------------------------------------------------------------------


def forbid_libheif(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pi_heif", "pillow_heif"):
        monkeypatch.setitem(sys.modules, name, None)


def test_a_heic_of_one_tile_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic()
    forbid_libheif(monkeypatch)
    assert_alike(read_picture(data), PICTURE)


def test_a_tiled_heic_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_libheif(monkeypatch)
    info = box(b"infe", b"\2\0\0\0", struct.pack(">HH4s", 1, 0, b"grid"), b"\0")
    ispe = box(b"ispe", bytes(4), struct.pack(">II", 64, 48))
    data = box(b"ftyp", b"heic", bytes(4), b"mif1heic") + box(
        b"meta", bytes(4),
        box(b"pitm", bytes(4), struct.pack(">H", 1)),
        box(b"iinf", bytes(4), struct.pack(">H", 1), info),
        box(b"iprp", box(b"ipco", ispe), box(b"ipma", bytes(4), struct.pack(">IHBB", 1, 1, 1, 1))),
    )  # fmt: skip
    with pytest.raises(SourceError, match=r"HEIC made of tiles: .*heic"):
        read_picture(data)


def box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", len(body) + 8, name) + body


# -- what is refused ------------------------------------------------------------------------------

OTHERS = {
    "Photoshop": b"8BPS\0\1",
    "JPEG XL": b"\xff\x0a\x10",
    "OpenEXR": b"v/1\1\2",
    "ICO": b"\0\0\1\0\1\0",
    "PDF": b"%PDF-1.7",
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="">',
    "web page": b"<!DOCTYPE html><html>404</html>",
    "ZIP": b"PK\3\4",
    "DICOM": bytes(128) + b"DICM",
    "video": b"\0\0\0\x18ftypisom",
    "not known": b"ordinary text",
    "empty": b"",
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_picture_is_named_in_one_line(what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(OTHERS[what])
    for given in (OTHERS[what], path):
        with pytest.raises(SourceError, match=f"not a readable picture: .*{what}") as caught:
            read_picture(given)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("given", "says"), [
    ("absent.jpg", "absent.jpg: .*No such file"),
    (".", "it is a folder"),
    (os.devnull, "it is a pipe or device"),
    ("a\0b.jpg", "cannot be read"),
    (7, "want a path or the bytes of a picture's file, got int"),
    (None, "got NoneType"),
])  # fmt: skip
def test_what_is_no_file_is_refused(given: Any, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        read_picture(given)


@pytest.mark.slow
def test_a_file_too_large_for_any_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    with path.open("wb") as file:
        file.write(encoded(".ppm"))
        file.truncate(200_000_000)
    with pytest.raises(SourceError, match=r"larger than 75 MB, by max_megapixels: 1"):
        read_picture(path, 1)
    assert read_picture(path, 400).shape == PICTURE.shape


def test_no_more_memory_is_taken_than_a_file_has(tmp_path: Path) -> None:
    """Reading a small file asked for as much memory as the largest file may have: 3.2 GB."""
    path = tmp_path / "a.png"
    path.write_bytes(encoded(".png"))
    assert read_picture(path, 1e9).shape == PICTURE.shape


def test_too_little_memory_for_a_picture_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole run ended with "MemoryError", and the pictures after it were not looked at."""
    path = tmp_path / "a.png"
    path.write_bytes(encoded(".png"))

    def decode(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(cv2, "imdecode", decode)
    with pytest.raises(SourceError, match="not enough memory"):
        read_picture(path)


def tiff_with(*tags: tuple[int, int, int]) -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


HIDDEN = {
    "PNG": (png_of(60_000, 60_000), (60_000, 60_000)),
    "a TIFF that says its width twice": (
        tiff_with((256, 4, 60_000), (256, 4, 10), (257, 4, 60_000)), (60_000, 60_000)
    ),
    "a JPEG with a restart marker before its header": (
        b"\xff\xd8\xff\xd0\xff\xc0\0\x11\x08" + struct.pack(">HH", 60_000, 60_000) + bytes(20),
        (60_000, 60_000),
    ),
    "a Netpbm with a comment that ends early": (
        b"P6\n# x\r60000 60000 255\n10 10 255\n", (60_000, 60_000)
    ),
    "a JPEG 2000 with a codestream's name before it": (
        box(b"jP  ", b"\r\n\x87\n")
        + box(b"xml ", b"jp2c\xff\x4f\xff\x51" + bytes(4) + struct.pack(">4I", 10, 10, 0, 0))
        + box(b"jp2c", b"\xff\x4f\xff\x51" + bytes(4) + struct.pack(">4I", 60_000, 60_000, 0, 0)),
        (60_000, 60_000),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
def test_a_bomb_is_seen_by_its_header(name: str) -> None:
    """Headers were read otherwise than decoders read them, and a small size stood in for it."""
    data, size = HIDDEN[name]
    assert picture_size(data) == size
    assert "3600 megapixels" in decode_picture(data, 400).why


def test_a_jpeg_of_thousands_of_scans_is_refused() -> None:
    """A file of 1 MB kept a decoder busy for half an hour: each scan goes over all pixels."""
    data = saved("JPEG", progressive=True)
    at = data.find(b"\xff\xda")
    scan = data[at : data.find(b"\xff", at + 14)]
    assert decode_picture(data, 400).image is not None
    bomb = data[:at] + scan * 3000 + data[at:]
    assert "scans" in decode_picture(bomb, 0.5).why


def test_directories_in_a_circle_are_walked_once() -> None:
    """Ten thousand rounds of 65,535 entries took minutes."""
    entries = struct.pack("<HHII", 256, 4, 1, 2) * 65_000
    data = b"II*\0" + struct.pack("<IH", 8, 65_000) + entries + struct.pack("<I", 8)
    assert decode_picture(data, 400).image is None
    plain = bytearray(saved("TIFF"))
    at = struct.unpack_from("<I", plain, 4)[0]
    struct.pack_into("<I", plain, at + 2 + struct.unpack_from("<H", plain, at)[0] * 12, at)
    assert decode_picture(bytes(plain), 400).pages == 1


def test_a_raw_file_does_not_pass_as_its_preview() -> None:
    data = tiff_with((254, 4, 1), (256, 4, 16), (257, 4, 16))
    assert "raw file" in decode_picture(data, 400).why


def test_many_threads_read_at_once() -> None:
    files = [saved("JPEG", pillow().fromarray(noise_picture(n)[..., ::-1])) for n in range(4)]
    files += [saved("PNG", with_alpha()), heic()]
    wanted = [read_picture(data) for data in files]
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(20):
            place = (number + turn) % len(files)
            if not np.array_equal(read_picture(files[place]), wanted[place]):
                wrong.append(place)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
