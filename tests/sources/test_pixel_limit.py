"""Pictures that claim to be huge are set aside by their header; odd names are only names."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.tiny_videos import corner_picture, write_video

from pipeline.core.errors import SourceBrokenError, SourceError
from pipeline.sources import file, images
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
