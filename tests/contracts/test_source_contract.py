"""What every source plug-in must keep, run on each one that is found in its room."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support import rtsp_server
from support.fake_capture import FakeCapture, FakeDriver
from support.fresh_imports import loaded_by_building
from support.live_video import noise
from support.plugin_contracts import check_all_have_options, plugins_in
from support.tiny_videos import noise_picture, write_picture, write_video

import pipeline.sources
from pipeline.core.data import Frame
from pipeline.core.errors import SourceLostError
from pipeline.core.options import descriptions
from pipeline.core.run_info import SourceInfo

PLUGINS = plugins_in(pipeline.sources)
FRAMES = 7


def _pictures(folder: Path) -> dict[str, Any]:
    for n in range(FRAMES):
        write_picture(folder / "pictures" / f"{n}.png", n)
    return {"path": str(folder / "pictures")}


def _video(folder: Path) -> dict[str, Any]:
    pictures = [noise_picture(n) for n in range(FRAMES)]
    return {"path": str(write_video(folder / "film.mkv", pictures))}


# How each plug-in is set up to give seven frames, given an empty folder to put files in; the
# network camera's server is in CAMERAS.
OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "blank": lambda folder: {"width": 64, "height": 48, "frames": FRAMES},
    "camera": lambda folder: {"device": 0},
    "file": _video,
    "images": _pictures,
    "stream": lambda folder: {"url": "rtsp://127.0.0.1:9/"},
    "synthetic": lambda folder: {"width": 64, "height": 48, "frames": FRAMES},
}
# A source that needs a machine to talk to is built around a stand-in for it.
STAND_INS: dict[str, Callable[[Any, Any], Any]] = {
    "camera": lambda plugin, options: plugin.CameraSource(
        options, FakeDriver(*[FakeCapture([*range(FRAMES)]) for _ in range(3)])
    ),
}
CAMERAS = {"stream": lambda: rtsp_server.Camera(noise(ends_after=FRAMES))}
HEAVY = ("cv2", "av", "openvino", "torch")


def test_every_plugin_has_options_here():
    check_all_have_options(pipeline.sources, OPTIONS)


@pytest.fixture(params=PLUGINS)
def plugin(request) -> Any:
    return importlib.import_module(f"pipeline.sources.{request.param}")


@pytest.fixture
def options(plugin, tmp_path) -> Iterator[Any]:
    name = plugin.__name__.rpartition(".")[2]
    told = OPTIONS[name](tmp_path)
    if name not in CAMERAS:
        yield plugin.Options(**told)
        return
    with rtsp_server.running(CAMERAS[name]()) as camera:
        yield plugin.Options(**{**told, "url": camera.url})


@pytest.fixture
def source(plugin, options) -> Iterator[Any]:
    stand_in = STAND_INS.get(plugin.__name__.rpartition(".")[2])
    made = stand_in(plugin, options) if stand_in else plugin.build(options)
    yield made
    made.close()


def read_to_end(source: Any) -> list[Frame]:
    """All frames; a live source ends by being lost."""
    frames: list[Frame] = []
    try:
        frames.extend(iter(source.read, None))
    except SourceLostError:
        assert source.live
    return frames


def test_options_are_strict_frozen_and_described(plugin, options):
    with pytest.raises(ValidationError):
        plugin.Options(**options.model_dump(), no_such_option=1)
    with pytest.raises(ValidationError):
        setattr(options, next(iter(plugin.Options.model_fields)), None)
    assert descriptions(plugin.Options).keys() == plugin.Options.model_fields.keys()


@pytest.mark.slow
def test_import_and_build_load_no_heavy_library(plugin, options):
    assert loaded_by_building(plugin, options, HEAVY) == "[]"


def test_a_name_can_be_given_and_is_never_empty(plugin, options):
    named = options.model_copy(update={"name": "north gate"})
    assert plugin.build(named).name == "north gate"
    assert plugin.build(options).name


@pytest.mark.slow
def test_frames_are_numbered_timed_and_read_only(source):
    info = source.open()
    assert isinstance(info, SourceInfo)
    frames = read_to_end(source)
    assert len(frames) == FRAMES
    assert info.frame_count in (None, FRAMES)
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert {frame.source for frame in frames} == {source.name}
    assert frames[0].image.shape[:2] == (info.height, info.width)
    for frame in frames:
        assert frame.image.flags.c_contiguous
        assert not frame.image.flags.writeable
    for times in ([f.pts_s for f in frames], [f.captured_at for f in frames]):
        assert (np.diff(times) >= 0).all()
    assert frames[0].pts_s >= 0


@pytest.mark.slow
def test_earlier_frames_stay_as_they_were(source):
    """Frame memory is pooled: what somebody still holds must never be written to again."""
    source.open()
    first, second = source.read(), source.read()
    copies = first.image.copy(), second.image.copy()
    read_to_end(source)
    np.testing.assert_array_equal(first.image, copies[0])
    np.testing.assert_array_equal(second.image, copies[1])


@pytest.mark.slow
def test_the_end_stays_the_end(source):
    source.open()
    read_to_end(source)
    if source.live:
        with pytest.raises(SourceLostError):
            source.read()
    else:
        assert source.read() is None
        assert source.read() is None


@pytest.mark.slow
def test_close_is_safe_at_any_time_and_open_works_again(source):
    source.close()
    source.open()
    source.read()
    source.close()
    source.close()
    source.open()
    assert source.read().index == 0
