"""Decoding on the GPU where there is one, and the CPU in its place with one line said."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from support.tiny_videos import noise_picture, write_video

from pipeline.core.errors import SourceError
from pipeline.sources._file import hwaccel as _hwaccel
from pipeline.sources.file import Options, build

COUNT = 12


@pytest.fixture
def film(tmp_path) -> Path:
    pictures = [noise_picture(n) for n in range(COUNT)]
    return write_video(tmp_path / "film.mp4", pictures)


def frames(path: Path, decode: str):
    source = build(Options(path=path, decode=decode))
    source.open()
    found = list(iter(source.read, None))
    source.close()
    return found


@pytest.mark.skipif(_hwaccel.decoder_installed(), reason="there is a GPU that decodes")
def test_without_a_gpu_the_cpu_decodes_and_one_line_says_so(film, caplog):
    """A configuration for the machine with the GPU must run on the one without, not silently."""
    caplog.set_level(logging.INFO, "trackline")
    told = frames(film, "cuda")
    assert len(caplog.records) == 1
    assert "decoded on the CPU, the GPU cannot" in caplog.text
    caplog.clear()
    usual = frames(film, "cpu")
    assert [one.pts_s for one in told] == [one.pts_s for one in usual]
    for one, other in zip(told, usual, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
    assert len(frames(film, "auto")) == COUNT
    assert not caplog.records


def test_what_is_no_video_is_that_and_nothing_about_gpus(tmp_path, caplog):
    path = tmp_path / "no.mp4"
    path.write_bytes(b"hello" * 100)
    with pytest.raises(SourceError, match="not a video"):
        frames(path, "cuda")
    assert not caplog.records


def test_only_known_places():
    with pytest.raises(ValidationError):
        Options(path=Path("a.mp4"), decode="gpu")


@pytest.mark.needs_cuda
def test_the_gpu_decodes_the_same_pictures(film, cuda, caplog):
    on_gpu, usual = frames(film, "cuda"), frames(film, "cpu")
    assert not caplog.records
    assert [one.pts_s for one in on_gpu] == [one.pts_s for one in usual]
    for one, other in zip(on_gpu, usual, strict=True):
        difference = np.abs(one.image.astype(int) - other.image)
        assert difference.mean() < 2  # H.264 is exact; NV12 becomes BGR by another way
