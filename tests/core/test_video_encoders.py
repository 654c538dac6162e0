"""Which H.264 encoder is taken: those of GPUs first, only what has encoded a picture here."""

from __future__ import annotations

import pytest

from pipeline.core import video_encoders
from pipeline.core.errors import OutputError
from pipeline.core.video_encoders import CODECS, choose, fits, gpu_options, why_not, working


def test_x264_works_and_is_taken_where_nothing_else_does(monkeypatch):
    assert why_not("x264") == ""
    assert working()[-1] == "x264"
    monkeypatch.setattr(video_encoders, "why_not", lambda each: "" if each == "x264" else "no GPU")
    assert choose("auto") == choose("x264") == "x264"
    with pytest.raises(OutputError, match=r"qsv does not work here: no GPU; .* x264$"):
        choose("qsv")


def test_a_gpu_that_encodes_is_taken_first(monkeypatch):
    monkeypatch.setattr(video_encoders, "why_not", lambda each: "no" if each == "nvenc" else "")
    assert choose("auto") == "qsv"
    assert choose("vaapi") == "vaapi"


@pytest.mark.parametrize("encoder", [each for each in CODECS if each != "x264"])
def test_frames_of_a_gpu_are_not_held_back(encoder):
    """Else a process that is killed loses them: no B frames, no delay."""
    options = gpu_options(encoder, 21)
    assert options["bf"] == "0"
    assert "21" in options.values()
    assert "0" in (options.get("delay"), options.get("look_ahead"), options.get("idr_interval"))


@pytest.mark.parametrize(
    ("size", "on_gpu"),
    [((1080, 1920), True), ((2160, 3840), True), ((120, 160), False), ((1440, 5120), False)],
)
def test_pictures_that_a_gpu_does_not_take_are_for_the_cpu(size, on_gpu):
    """A panorama ended the run at its first frame, where `auto` had found a GPU that works."""
    assert fits("nvenc", *size) == on_gpu
    assert fits("x264", *size)
