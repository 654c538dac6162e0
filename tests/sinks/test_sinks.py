"""What the sinks write, read back with other means than they were written with."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.fake_gui import FakeGui
from support.paths import ROOT
from support.sink_program import sink_program
from support.sink_results import NAMES, pictures, quick_video, result, run_info

from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.core.drawing import class_colour
from pipeline.core.errors import OutputError, UsageError
from pipeline.core.paths import safe_stem
from pipeline.core.run_info import RunInfo, SourceInfo
from pipeline.core.yuv import BT601, BT709, YuvColour, YuvImage, yuv_matrix
from pipeline.sinks import csv as csv_sink
from pipeline.sinks import jsonl, mot, video, window
from pipeline.sinks._files import OutputFolder
from pipeline.sinks._frame_times import FrameTimes
from pipeline.sinks._mp4 import Mp4Writer, encodable_size

TICKS = 90_000


def written(sink: Any, output: Path, results: list[Result], *sources: str) -> None:
    sink.open(run_info(output, *sources))
    for one in results:
        sink.write(one)
    sink.close()


# -- tables -------------------------------------------------------------------------------------


def test_the_table_says_everything_of_each_track(tmp_path: Path) -> None:
    written(csv_sink.build(csv_sink.Options()), tmp_path, [result(0), result(5)], "cam")
    with (tmp_path / "tracks.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[4] == {
        "source": "cam", "frame": "5", "pts_s": "0.5", "utc": "2023-11-14T22:15:00.750Z",
        "track_id": "1", "class_id": "1", "class_name": NAMES[1], "score": "0.8765",
        "x1": "2.25", "y1": "3.5", "x2": "12.25", "y2": "23.5", "state": "matched", "age_s": "0.5",
        "width": "64", "height": "48", "epoch": "0", "file": "",
    }  # fmt: skip
    assert rows[5]["state"] == "coasting"
    assert rows[5]["class_name"] == "行人"


def test_an_unnamed_class_is_called_by_its_number(tmp_path: Path) -> None:
    written(csv_sink.build(csv_sink.Options()), tmp_path, [result(0, tracks=4)])
    with (tmp_path / "tracks.csv").open(newline="", encoding="utf-8") as file:
        assert [*csv.DictReader(file)][3]["class_name"] == "3"


def test_the_json_lines_hold_the_same_and_the_run_is_described_beside_them(tmp_path: Path) -> None:
    results = [result(0), result(1, source="b")]
    written(csv_sink.build(csv_sink.Options()), tmp_path, results, "cam")
    sink = jsonl.build(jsonl.Options())
    sink.open(run_info(tmp_path, "cam", metadata={"tracker": {"kind": "sort"}, "odd": tmp_path}))
    for one in results:
        sink.write(one)
    sink.close()
    lines = (tmp_path / "tracks.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    header = json.loads((tmp_path / "tracks.meta.json").read_text("utf-8"))
    assert header["metadata"]["tracker"] == {"kind": "sort"}
    assert header["sources"]["cam"]["width"] == 64
    assert header["class_names"]["2"] == "行人"
    with (tmp_path / "tracks.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [{key: str(value) for key, value in row.items()} for row in rows] == table


@pytest.mark.parametrize("coasting", [False, True])
def test_mot_text_counts_frames_from_one_and_leaves_predictions_out(
    tmp_path: Path, coasting: bool
) -> None:
    sink = mot.build(mot.Options(coasting=coasting))
    written(sink, tmp_path, [result(0), result(3, source="b")], "cam")
    assert (tmp_path / "cam.txt").read_text().splitlines()[:2] == [
        "1,-1,1.25,2.50,10.00,20.00,0.8765,-1,-1,-1",
        "1,1,2.25,3.50,10.00,20.00,0.8765,-1,-1,-1",
    ]
    lines = (tmp_path / "b.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["4"] * (3 if coasting else 2)


def test_a_new_run_replaces_the_old_tables(tmp_path: Path) -> None:
    for count in (5, 1):
        written(csv_sink.build(csv_sink.Options()), tmp_path, [result(i) for i in range(count)])
    assert len((tmp_path / "tracks.csv").read_text().split("cam,")) == 4


def test_a_full_disk_is_one_line_that_names_the_file() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    from pipeline.sinks._files import LineFile

    file = LineFile(Path("/dev/full"))
    with pytest.raises(OutputError, match="/dev/full: cannot be written: No space left"):
        file.write(["x" * 100_000])
    file.close()


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("street", "street"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("rtsp://cam:554/a?b=c", "rtsp_cam_554_a_b=c"),
        ("...", "source"),
        ("", "source"),
        ("nul", "_nul"),
        ("Straße 行人", "Straße 行人"),
        ("x" * 500, "x" * 200),
    ],
)
def test_any_source_name_becomes_a_file_name(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


def test_two_sources_never_share_a_file(tmp_path: Path) -> None:
    folder = OutputFolder(run_info(tmp_path))
    names = ["a/b", "a:b", "A_B", "a_b-2", "a_b.2"]
    paths = [folder.path_of(name, suffix) for name in names for suffix in (".mp4", ".2.mp4")]
    assert len({path.name.lower() for path in paths}) == len(paths)
    assert folder.path_of("a/b", ".mp4") == paths[0]


@pytest.mark.parametrize("known_at_start", [True, False])
def test_a_source_file_is_never_overwritten(tmp_path: Path, known_at_start: bool) -> None:
    """`trackline run clips/street.mp4 -o clips` would empty the very file it reads."""
    original = tmp_path / "street.mp4"
    original.write_bytes(b"precious")
    sources = ("street",) if known_at_start else ()
    metadata = {"sources": [{"kind": "file", "path": str(original)}]}
    sink = video.build(video.Options())
    with pytest.raises(OutputError, match=r"street\.mp4: is a source"):  # noqa: PT012
        sink.open(run_info(tmp_path, *sources, metadata=metadata))
        sink.write(result(0, source="street"))
    sink.close()
    assert original.read_bytes() == b"precious"


# -- video --------------------------------------------------------------------------------------


def packets(path: Path) -> list[tuple[int, int, bool]]:
    """(pts in 1/90000 s, duration, key frame) of each packet."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base.denominator == TICKS
        return [
            (packet.pts, packet.duration, packet.is_keyframe)
            for packet in container.demux(stream)
            if packet.pts is not None
        ]


UNEVEN = [0.0, 0.04, 0.08, 0.5, 0.533367, 1.2, 3.0, 3.001, 3.3]


def test_the_video_has_every_frame_at_its_own_time(tmp_path: Path) -> None:
    written(quick_video(), tmp_path, [result(i, pts_s=t + 7) for i, t in enumerate(UNEVEN)])
    found = packets(tmp_path / "cam.mp4")
    assert [pts for pts, _, _ in found] == [round(t * TICKS) for t in UNEVEN]
    assert len(pictures(tmp_path / "cam.mp4")) == len(UNEVEN)
    assert all(0 < duration <= 2 * TICKS for _, duration, _ in found)


def test_the_closed_video_is_an_ordinary_one_with_its_index_in_front(tmp_path: Path) -> None:
    written(quick_video(), tmp_path, [result(i) for i in range(5)])
    data = (tmp_path / "cam.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")
    assert b"moof" not in data
    assert os.listdir(tmp_path) == ["cam.mp4"]
    with av.open(str(tmp_path / "cam.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.color_range, context.colorspace) == (1, 6), "limited range, BT.601"


def test_a_key_frame_at_least_each_second(tmp_path: Path) -> None:
    """A player seeks to key frames; 5 fps and 30 fps alike."""
    times = [i / 5 for i in range(10)] + [2 + i / 30 for i in range(70)]
    written(quick_video(), tmp_path, [result(i, pts_s=t) for i, t in enumerate(times)])
    keys = [pts / TICKS for pts, _, key in packets(tmp_path / "cam.mp4") if key]
    assert keys[0] == 0
    assert np.diff([*keys, times[-1]]).max() <= 1.05


def test_one_frame_is_a_video_too(tmp_path: Path) -> None:
    written(quick_video(), tmp_path, [result(0)])
    ((pts, duration, key),) = packets(tmp_path / "cam.mp4")
    assert (pts, key) == (0, True)
    assert duration > 0


@pytest.mark.parametrize("size", [(47, 63), (1, 1), (48, 65), (97, 16)])
def test_odd_sizes_are_padded_by_a_copy_of_the_edge(tmp_path: Path, size: tuple[int, int]) -> None:
    written(quick_video(crf=1), tmp_path, [result(9, tracks=0, size=size)])
    (picture,) = pictures(tmp_path / "cam.mp4")
    assert picture.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    assert np.abs(picture.astype(int) - 180).max() <= 4


def as_planes(one: Result, colour: YuvColour) -> Result:
    """Return the result with its picture as planes, grey as every picture of these tests."""
    height, width = one.frame.shape[:2]
    half = np.full((height // 2, width // 2), 128, np.uint8)
    luma = (yuv_matrix(colour) @ (*one.frame.image[0, 0], 1))[0].round()
    planes = YuvImage(np.full((height, width), luma, np.uint8), (half, half), colour)
    return replace(one, frame=replace(one.frame, image=planes))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_planes_are_encoded_in_their_own_colours(tmp_path: Path, matrix: int, full: bool) -> None:
    """And what comes in others, or as BGR, meanwhile looks the same."""
    colour = YuvColour(matrix, full)
    others = [as_planes(result(10), YuvColour(BT709, not full)), result(11)]
    written(quick_video(crf=1), tmp_path, [as_planes(result(9), colour), *others])
    found = pictures(tmp_path / "cam.mp4")
    grey = [result(index).frame.image[0, 0, 0] for index in (9, 10, 11)]
    for picture, level in zip(found, grey, strict=True):
        assert abs(int(picture[-1, -1, 0]) - int(level)) <= 4
    with av.open(str(tmp_path / "cam.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (matrix, 2 if full else 1)


@pytest.mark.parametrize("planes", [False, True])
def test_a_video_has_no_more_rows_than_wanted(tmp_path: Path, planes: bool) -> None:
    one = result(9, size=(96, 128))
    one = as_planes(one, YuvColour()) if planes else one
    written(quick_video(max_height=48), tmp_path, [one])
    (picture,) = pictures(tmp_path / "cam.mp4")
    assert picture.shape[:2] == (48, 64)


@pytest.mark.parametrize(
    ("size", "encoded"),
    [
        ((40, 17000), (38, 16384)),
        ((17001, 33), (16384, 30)),
        ((4, 40000), (2, 16384)),
        ((16384, 30), (16384, 30)),
        ((31, 16383), (32, 16384)),
    ],
)
def test_pictures_larger_than_the_encoder_takes_are_scaled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: tuple[int, int], encoded: Any
) -> None:
    """A picture 17,000 pixels wide ended a run: x264 takes 16,384 on a side."""
    written(quick_video(), tmp_path, [result(9, tracks=1, size=size)] * 2)
    found = pictures(tmp_path / "cam.mp4")
    assert [each.shape[:2] for each in found] == [encoded] * 2
    assert caplog.text.count("scaled to") == (max(size) > 16384)


def test_the_largest_picture_by_area_is_one_that_ffmpeg_takes() -> None:
    for size in [(16384, 16384), (20000, 20000), (400, 10**6), (10**6, 400), (1, 10**6)]:
        height, width = encodable_size(*size)
        assert height % 2 == width % 2 == 0
        assert 2 <= min(height, width) <= max(height, width) <= 16384
        assert (height + 128) * (width + 128) * 8 < 2**31 - 1
    assert encodable_size(16256, 16256)[0] >= 16200


def test_colours_come_back(tmp_path: Path) -> None:
    """BT.601 written and tagged: a player that believes the tag shows the original's colours."""
    one = result(0, tracks=0)
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32] = (200, 60, 30)
    image[:, 32:] = (20, 70, 220)
    sink = quick_video(crf=1)
    written(
        sink, tmp_path, [Result(Frame(image, "cam", 0, 0, 0), one.detections, one.tracks, NAMES)]
    )
    (picture,) = pictures(tmp_path / "cam.mp4")
    assert np.abs(picture[24, [8, 56]].astype(int) - image[24, [8, 56]].astype(int)).max() <= 6


def test_another_picture_size_goes_on_in_another_part(tmp_path: Path) -> None:
    sizes = [(48, 64), (48, 64), (96, 64), (48, 64)]
    written(quick_video(), tmp_path, [result(i, size=size) for i, size in enumerate(sizes)])
    counts = {path.name: len(pictures(path)) for path in tmp_path.iterdir()}
    assert counts == {"cam.mp4": 2, "cam.2.mp4": 1, "cam.3.mp4": 1}


def test_tracks_go_on_drawn_after_the_picture_became_smaller(tmp_path: Path) -> None:
    """A stream that switched from 720p to 360p ended the run: trails kept the old pixels."""
    sizes = [(480, 640)] * 3 + [(48, 64)] * 3 + [(480, 640)]
    moved = [result(i, size=size) for i, size in enumerate(sizes)]
    for one in moved[:3]:
        one.tracks.xyxy[:] += (300 + 40 * one.frame.index, 400, 300 + 40 * one.frame.index, 400)
    written(quick_video(), tmp_path, moved)
    counts = {path.name: len(pictures(path)) for path in tmp_path.iterdir()}
    assert counts == {"cam.mp4": 3, "cam.2.mp4": 3, "cam.3.mp4": 1}


def test_a_video_without_a_frame_is_no_file(tmp_path: Path) -> None:
    """A frame that could not be drawn left an empty `cam.2.mp4` that no player opens."""
    path = tmp_path / "cam.2.mp4"
    writer = Mp4Writer(path, result(0).frame.image, {"preset": "ultrafast"}, threads=1)
    assert path.exists()
    writer.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ([(5.0, 0), (5.1, 0), (5.3, 0)], [0, 9000, 27000]),
        ([(0.0, 0), (0.1, 0), (0.1, 0), (0.2, 0)], [0, 9000, 9001, 18000]),
        ([(0.0, 0), (0.1, 0), (0.05, 0), (0.2, 0)], [0, 9000, 9001, 18000]),
        ([(9.0, 0), (9.1, 0), (0.0, 0), (0.1, 0)], [0, 9000, 18000, 27000]),
        ([(9.0, 0), (9.1, 0), (0.0, 1), (0.1, 1)], [0, 9000, 189000, 198000]),
    ],
    ids=["offset", "repeated", "disorder", "starts anew", "reconnect"],
)
def test_times_increase_whatever_the_source_says(
    came: list[tuple[float, int]], expected: list[int]
) -> None:
    """MP4 needs increasing times. After a reconnect the gap is that between the arrivals, 2 s."""
    times = FrameTimes()
    image = np.zeros((2, 2, 3), np.uint8)
    arrivals = [100.0, 100.1, 102.1, 102.2]
    got = [
        times.ticks(Frame(image, "cam", i, pts_s, arrivals[i], epoch))
        for i, (pts_s, epoch) in enumerate(came)
    ]
    assert got == expected
    frame = weakref.ref(last := Frame(image, "cam", len(came), 9.0, 200.0))
    times.ticks(last)
    del last
    assert frame() is None  # of a picture only its times are kept


def test_a_failed_rewrite_leaves_the_recording_playable(tmp_path: Path) -> None:
    """The last step needs room for a second file; without it the first one must survive."""
    sink = quick_video()
    sink.open(run_info(tmp_path, "cam"))
    for index in range(5):
        sink.write(result(index))
    (tmp_path / ".cam.mp4.part").mkdir()
    with pytest.raises(OutputError, match=r"cam\.mp4: cannot be written"):
        sink.close()
    assert len(pictures(tmp_path / "cam.mp4")) == 5


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    """A DV or broadcast recording with pixels twice as wide as high came out squashed."""
    info = SourceInfo(64, 48, 10.0, sample_aspect=(2, 1))
    sink = quick_video()
    sink.open(RunInfo(tmp_path, NAMES, {"wide": info}, 0.0))
    for index, source in enumerate(("wide", "cam")):
        sink.write(result(index, source=source))
    sink.close()
    for name, ratio in (("wide", 2), ("cam", None)):
        with av.open(str(tmp_path / f"{name}.mp4")) as container:
            stream = container.streams.video[0]
            assert stream.sample_aspect_ratio == ratio
            assert next(container.decode(stream)).width == 64


def test_a_long_video_says_that_it_is_being_finished(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After an hour's recording the program seemed to hang at its end: 10.7 s without a word."""
    caplog.set_level(logging.INFO, "trackline")
    image = result(0).frame.image
    for name, patience_s in (("short", 1e9), ("long", 0.0)):
        writer = Mp4Writer(tmp_path / f"{name}.mp4", image, {"preset": "ultrafast"}, threads=1)
        writer.patience_s = patience_s
        for index in range(3):
            writer.encode(result(index).frame)
        writer.close()
    assert caplog.messages == ["finishing long.mp4"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill means something else")
@pytest.mark.timeout(60)
def test_a_killed_run_leaves_everything_readable(tmp_path: Path) -> None:
    """Someone pulls the process away, or memory ran out: at most the last second is lost."""
    process = sink_program("write", tmp_path)
    assert process.stdout is not None
    arrived: list[float] = []
    for _ in process.stdout:
        arrived.append(time.monotonic())
        if arrived[-1] - arrived[0] > 2.5:
            break
    process.kill()
    arrived += [time.monotonic() for _ in process.stdout]
    process.wait()
    process.stdout.close()
    second_before = sum(t < arrived[-1] - 1.0 for t in arrived)
    assert second_before > 5
    with (tmp_path / "tracks.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 3 * second_before
    assert len(rows) % 3 == 0, "whole frames only"
    assert None not in rows[-1].values()
    lines = (tmp_path / "tracks.jsonl").read_text("utf-8").splitlines()
    assert len([json.loads(line) for line in lines]) >= 3 * second_before
    assert len(pictures(tmp_path / "cam.mp4")) >= second_before


# -- window -------------------------------------------------------------------------------------


def shown(gui: FakeGui, tmp_path: Path) -> window.WindowSink:
    sink = window.WindowSink(window.Options(), gui)
    sink.open(run_info(tmp_path, "cam"))
    return sink


@pytest.mark.parametrize(("key", "stops"), [("q", True), ("\x1b", True), ("x", False)])
def test_q_and_esc_end_the_run(tmp_path: Path, key: str, stops: bool) -> None:
    gui = FakeGui([-1, ord(key)])
    sink = shown(gui, tmp_path)
    for index in range(2):
        assert not sink.stop_requested
        sink.write(result(index))
    assert sink.stop_requested is stops
    sink.close()
    assert not gui.windows


def test_closing_the_window_ends_the_run_and_it_stays_closed(tmp_path: Path) -> None:
    gui = FakeGui()
    sink = shown(gui, tmp_path)
    sink.write(result(0))
    gui.windows.clear()
    for index in (1, 2):
        sink.write(result(index))
    assert sink.stop_requested
    assert len(gui.shown) == 1
    sink.close()


def test_each_source_has_a_window_with_its_tracks_drawn(tmp_path: Path) -> None:
    gui = FakeGui()
    sink = shown(gui, tmp_path)
    sink.write(result(0, source="a"))
    sink.write(result(0, source="b", size=(96, 32)))
    assert [(title, picture.shape) for title, picture in gui.shown] == [
        ("Trackline: a", (48, 64, 3)),
        ("Trackline: b", (96, 32, 3)),
    ]
    assert all(picture.any() for _, picture in gui.shown)
    sink.close()


@pytest.mark.parametrize("colours", ["track", "class"])
def test_tracks_have_their_own_colour_or_that_of_their_class(tmp_path: Path, colours: str) -> None:
    gui = FakeGui()
    options = window.Options.model_validate({"colours": colours, "labels": [], "trail_s": 0})
    sink = window.WindowSink(options, gui)
    sink.open(run_info(tmp_path))
    one = result(0)
    sink.write(one)
    names = [NAMES[number] for number in one.tracks.class_id.tolist()]
    drawn = {tuple(each) for each in gui.shown[0][1].reshape(-1, 3).tolist()}
    assert {class_colour(name) for name in names}.issubset(drawn) is (colours == "class")
    sink.close()


def test_opencv_without_windows_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"without windows: .*(\[window\]|opencv-python)"):
        shown(FakeGui(headless=True), tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have a screen")
def test_a_machine_without_display_gets_an_error_and_no_abort(tmp_path: Path) -> None:
    """Qt ends the whole process when it finds no display; no Python error can be caught then."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from pipeline.core.errors import OutputError\nfrom pipeline.sinks import window\n"
        "from pipeline.core.interfaces import RunInfo\n"
        "try:\n    window.build(window.Options()).open(RunInfo(Path(sys.argv[1]), {}, {}, 0.0))\n"
        "except OutputError as error:\n    print(error)"
    )
    displays = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}
    environment = {name: value for name, value in os.environ.items() if name not in displays}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "no display" in done.stdout


@pytest.mark.slow
def test_a_headless_opencv_is_named_also_where_there_is_no_display(tmp_path: Path) -> None:
    """Both are wrong on a server, and the command that mends one of them is what people need."""
    code = (
        "import sys, cv2\nfrom pathlib import Path\n"
        "cv2.getBuildInformation = lambda: '  GUI:                           NONE\\n'\n"
        "from pipeline.core.errors import OutputError\nfrom pipeline.sinks import window\n"
        "from pipeline.core.interfaces import RunInfo\n"
        "try:\n    window.build(window.Options()).open(RunInfo(Path(sys.argv[1]), {}, {}, 0.0))\n"
        "except OutputError as error:\n    print(error)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (line,) = done.stdout.splitlines()
    assert "built without windows: " in line
    assert " install " in line


# -- blur ---------------------------------------------------------------------------------------


def busy(index: int, boxes: list[list[float]], *, tracked: bool) -> Result:
    """A frame of noise with persons that are tracks, or only detections as yet."""
    n = len(boxes)
    image = np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8)
    frame = Frame(image, "cam", index, index / 10, index / 10)
    xyxy = np.array(boxes, np.float32).reshape(n, 4)
    found = Detections(xyxy, np.full(n, 0.9, np.float32), np.zeros(n, np.int32))
    tracks = Tracks.empty()
    if tracked:
        tracks = Tracks(
            xyxy, found.score, found.class_id, np.arange(1, n + 1),
            np.arange(n, dtype=np.int32), np.zeros(n, np.float32),
        )  # fmt: skip
    return Result(frame, found if not tracked else Detections.empty(), tracks, NAMES)


def test_persons_are_blurred_before_they_are_tracks_and_while_they_are_missed(
    tmp_path: Path,
) -> None:
    box = [[40.0, 20, 70, 80]]
    frames = [
        busy(0, box, tracked=False), busy(1, box, tracked=True), busy(2, [], tracked=True),
        busy(3, [], tracked=True), busy(9, [], tracked=True),
    ]  # fmt: skip
    written(quick_video(blur=["person"], boxes=False), tmp_path, frames, "cam")
    shown = pictures(tmp_path / "cam.mp4")
    steps = [np.abs(np.diff(each[20:80, 40:70].astype(int), axis=1)).mean() for each in shown]
    assert max(steps[:4]) < 6
    assert steps[4] > 20, "0.8 s later it may be seen again"


def test_a_blur_of_what_the_detector_does_not_know_is_refused(tmp_path: Path) -> None:
    """Else a video is taken for blurred in which nothing is."""
    sink = quick_video(blur=["vehicle"])
    with pytest.raises(UsageError, match=r"video\.blur: nothing there is a vehicle"):
        sink.open(run_info(tmp_path / "out", "cam"))
    assert not (tmp_path / "out").exists()
