"""The file source: every frame, at its time, in its colours, and the truth about damage."""

from __future__ import annotations

import weakref
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from support.owners import Owners
from support.tiny_videos import (
    FPS,
    corner_picture,
    cut,
    even_times,
    holed,
    noise_picture,
    write_video,
)  # fmt: skip

from pipeline.core.data import Frame
from pipeline.core.errors import SourceBrokenError, SourceError
from pipeline.sources._file.times import PresentationClock
from pipeline.sources.file import Options, build

COUNT = 60


def read_all(path: Path, **options: Any) -> list[Frame]:
    source = build(Options(path=path, **options))
    source.open()
    frames = list(iter(source.read, None))
    source.close()
    return frames


def read_until_broken(path: Path) -> tuple[list[Frame], str]:
    source = build(Options(path=path))
    source.open()
    frames: list[Frame] = []
    with pytest.raises(SourceBrokenError) as caught:
        frames.extend(iter(source.read, None))
    assert source.read() is None, "the break is told once, then it is the end"
    source.close()
    return frames, str(caught.value)


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    return [noise_picture(n) for n in range(COUNT)]


KINDS = {
    "avi": ("film.avi", "mpeg4", ""),
    "mkv": ("film.mkv", "libx264", ""),
    "mp4": ("film.mp4", "libx264", ""),
    "mp4 index first": ("front.mp4", "libx264", "faststart"),
    "mp4 fragments": ("parts.mp4", "libx264", "frag_keyframe+empty_moov"),
    "ts": ("film.ts", "libx264", ""),
}


def film(folder: Path, kind: str, pictures: list[Any]) -> Path:
    name, codec, movflags = KINDS[kind]
    return write_video(folder / name, pictures, codec=codec, movflags=movflags)


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_once_in_order_and_the_same_as_opencv_reads(tmp_path, kind, pictures):
    """Detections are compared with programs that decode through OpenCV: pixels must be equal."""
    path = film(tmp_path, kind, pictures)
    frames = read_all(path)
    assert [frame.index for frame in frames] == list(range(COUNT))
    np.testing.assert_allclose([frame.pts_s for frame in frames], even_times(COUNT), atol=1e-3)
    capture = cv2.VideoCapture(str(path))
    for frame in frames:
        good, picture = capture.read()
        assert good
        np.testing.assert_array_equal(frame.image, picture)
    capture.release()


def test_variable_frame_rate_keeps_its_times(tmp_path):
    """index / fps would be wrong here; the long last pause must not count as a missing end."""
    times = [0.0, 0.04, 0.2, 0.21, 1.0, 1.04, 9.0]
    for name in ("film.mp4", "film.mkv"):
        path = write_video(tmp_path / name, [corner_picture()] * len(times), times)
        np.testing.assert_allclose([frame.pts_s for frame in read_all(path)], times, atol=1e-3)


ROTATED = {  # degrees counterclockwise -> (shape, where the red quarter comes to lie)
    0: ((64, 96), "top left"),
    90: ((96, 64), "bottom left"),
    180: ((64, 96), "bottom right"),
    -90: ((96, 64), "top right"),
}


@pytest.mark.parametrize("degrees", ROTATED)
def test_rotation_is_applied_and_known_when_opened(tmp_path, degrees):
    """Phones store upright videos lying down with a note to turn them."""
    shape, corner = ROTATED[degrees]
    path = write_video(tmp_path / "phone.mp4", [corner_picture()] * 3, rotation=degrees)
    source = build(Options(path=path))
    info = source.open()
    image = source.read().image
    source.close()
    assert (info.height, info.width) == image.shape[:2] == shape
    assert image.flags.c_contiguous
    row = 4 if "top" in corner else -4
    column = 4 if "left" in corner else -4
    np.testing.assert_allclose(image[row, column], (0, 0, 230), atol=6)


@pytest.mark.parametrize(
    ("coded", "degrees", "known"),
    [((1, 1), 0, None), ((2, 1), 0, (2, 1)), ((16, 11), 180, (16, 11)), ((16, 11), 90, (11, 16))],
)
def test_pixels_that_are_not_square_are_known_when_opened(tmp_path, coded, degrees, known):
    """384 x 576 pixels twice as wide as high were written as a narrow picture of square ones."""
    pictures = [corner_picture()] * 2
    path = tmp_path / "wide.mp4"
    write_video(path, pictures, rotation=degrees, sample_aspect=coded)
    source = build(Options(path=path))
    assert source.open().sample_aspect == known
    source.close()


@pytest.mark.parametrize(
    ("pixels", "colorspace"),
    [("yuv420p", None), ("yuv420p", 1), ("yuvj420p", None), ("yuv444p", None),
     ("yuv420p10le", None)],
)  # fmt: skip
def test_colours_come_back_whatever_matrix_range_and_depth(tmp_path, pixels, colorspace):
    path = tmp_path / "film.mkv"
    write_video(path, [corner_picture()] * 2, pixels=pixels, colorspace=colorspace)
    image = read_all(path)[0].image
    for row, column, bgr in ((8, 8, (0, 0, 230)), (-8, 8, (0, 200, 0)), (8, -8, (60, 60, 60))):
        np.testing.assert_allclose(image[row, column].astype(int), bgr, atol=6)


@pytest.mark.parametrize("share", [0.61, 0.97])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "mp4"])
@pytest.mark.slow
def test_a_cut_file_gives_all_frames_before_the_break_and_says_where(
    tmp_path, kind, share, pictures
):
    path = film(tmp_path, kind, pictures)
    whole = read_all(path)
    short = cut(path, share)
    frames, message = read_until_broken(short)
    assert share * COUNT * 0.6 < len(frames) < COUNT
    assert str(short) in message
    assert f"after frame {len(frames) - 1}" in message
    assert f"{frames[-1].pts_s:.3f} s" in message
    certain = frames[:-1] if kind == "ts" else frames  # a stream cannot tell a half picture
    for frame, before in zip(certain, whole, strict=False):
        np.testing.assert_array_equal(frame.image, before.image)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_in_the_middle_is_reported_and_what_follows_is_read(tmp_path, kind, pictures):
    """FFmpeg skips what it cannot decode and says nothing: frames went missing unnoticed."""
    path = holed(film(tmp_path, kind, pictures))
    frames, message = read_until_broken(path)
    assert str(path) in message
    assert f"{len(frames)} frames were read" in message or "breaks off" in message
    assert len(frames) >= COUNT // 3
    assert [frame.index for frame in frames] == list(range(len(frames)))


def test_a_losslessly_trimmed_file_is_healthy(tmp_path, pictures):
    """Its index lists more frames than are to be shown: the edit list hides the first ones."""
    whole = film(tmp_path, "mp4 index first", pictures)
    trimmed, hidden = tmp_path / "trimmed.mp4", 20
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(whole)) as source, av.open(str(trimmed), "w", options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                shift = round(hidden / FPS / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                target.mux(packet)
    frames = read_all(trimmed)
    np.testing.assert_array_equal(frames[0].image, read_all(whole)[hidden].image)
    assert len(frames) == COUNT - hidden
    assert frames[0].pts_s == 0


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4", "film.ts"])
@pytest.mark.slow
def test_a_recording_that_does_not_start_at_zero_is_healthy(tmp_path, name, pictures):
    """What recorders and `ffmpeg -f segment` write was called broken off, and the run failed.

    Matroska's DURATION tag is the time of the end: 10 s of start were taken for 10 s of silence
    at the end, and for 250 more frames in the progress.
    """
    path = write_video(tmp_path / name, pictures, [10 + t for t in even_times(COUNT)])
    source = build(Options(path=path))
    info = source.open()
    frames = list(iter(source.read, None))
    source.close()
    assert [frame.index for frame in frames] == list(range(COUNT))
    np.testing.assert_allclose([frame.pts_s for frame in frames], even_times(COUNT), atol=1e-3)
    assert info.frame_count == pytest.approx(COUNT, abs=2)


@pytest.mark.slow
def test_a_recording_cut_short_is_reported_wherever_its_times_start(tmp_path, pictures):
    """The start is taken off its length, not its length believed less."""
    path = write_video(tmp_path / "film.mkv", pictures, [10 + t for t in even_times(COUNT)])
    frames, message = read_until_broken(cut(path, 0.6))
    assert f"after frame {len(frames) - 1}" in message


def no_videos(folder: Path, pictures: list[Any]) -> dict[str, tuple[Path, str]]:
    (folder / "empty.mp4").touch()
    (folder / "notes.mp4").write_text("no video\n" * 50)
    index_lost = cut(film(folder, "mp4", pictures), 0.7)
    return {
        "missing": (folder / "absent.mp4", "no such file"),
        "folder": (folder, "folder"),
        "empty": (folder / "empty.mp4", "empty"),
        "text": (folder / "notes.mp4", "not a video"),
        "mp4 cut before its index": (index_lost, "not a video"),
    }


@pytest.mark.parametrize("case", ["missing", "folder", "empty", "text", "mp4 cut before its index"])
@pytest.mark.slow
def test_what_is_no_video_is_one_line_with_the_path(tmp_path, case, pictures):
    path, says = no_videos(tmp_path, pictures)[case]
    source = build(Options(path=path))
    with pytest.raises(SourceError) as caught:
        source.open()
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    source.close()


def test_frame_memory_is_used_again_while_decoding(tmp_path, pictures):
    """The decoder must not hold on to the slot it filled last: each frame would be a new one."""
    source = build(Options(path=film(tmp_path, "mkv", pictures)))
    source.open()
    owners = Owners()
    while owners.note(source.read()):
        pass
    assert owners.count <= 2


def test_the_first_picture_is_not_kept_while_others_are_read(tmp_path, pictures):
    """It was, to the end: a tuple in an `itertools.chain` stays until the chain is used up."""
    source = build(Options(path=film(tmp_path, "mkv", pictures)))
    source.open()
    first = weakref.ref(source.read())
    source.read()
    assert first() is None
    source.close()


def decoder_memory(path: Path) -> set[int]:
    """Where a decoder's pictures lie in memory if each is let go before the next is decoded."""
    places = set()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for packet in container.demux(stream):
            decoded: list[av.VideoFrame] = list(stream.codec_context.decode(packet))
            while decoded:
                places.add(decoded.pop(0).planes[0].buffer_ptr)
    return places


@pytest.mark.parametrize("options", [{}, {"max_fps": 1000}], ids=str)
@pytest.mark.parametrize(("codec", "pixels"), [("mjpeg", "yuvj420p"), ("libx264", "yuv420p")])
def test_a_picture_is_let_go_before_the_next_packet_is_decoded(
    tmp_path: Path, codec: str, pixels: str, options: dict[str, float]
) -> None:
    """In the list that a packet was decoded to, each was kept: 12 MB more in 4K. That was mended,
    and undone by a later change, which no test noticed."""
    shown = [noise_picture(n, 48, 64) for n in range(24)]
    path = write_video(tmp_path / "film.mkv", shown, codec=codec, pixels=pixels)
    source = build(Options(path=path, threads=1, **options))
    source.open()
    places = set()
    while (frame := source.read()) is not None:
        assert frame.yuv is not None
        places.add(frame.yuv.luma.ctypes.data)
        del frame
    source.close()
    assert len(places) <= len(decoder_memory(path))


def test_a_second_open_begins_again(tmp_path, pictures):
    source = build(Options(path=film(tmp_path, "avi", pictures)))
    source.open()
    first = source.read()
    source.read()
    source.open()
    again = source.read()
    assert (again.index, again.pts_s) == (first.index, first.pts_s)
    source.close()


CLOCKS = {  # (declared start, timestamps in ms, expected seconds)
    "ticks since the declared start": (90, [90, 180, 270], [0.0, 0.09, 0.18]),
    "no declared start": (None, [500, 540], [0.0, 0.04]),
    "no timestamps": (None, [None, None, None], [0.0, 0.04, 0.08]),
    "a gap in the timestamps": (0, [0, None, 100], [0.0, 0.04, 0.1]),
    "a small step back waits": (0, [0, 100, 80, 120], [0.0, 0.1, 0.1, 0.12]),
    "joined files go on": (0, [0, 5000, 0, 40], [0.0, 5.0, 5.04, 5.08]),
}


@pytest.mark.parametrize("case", CLOCKS)
def test_times_never_run_backwards(case):
    start, stamps, expected = CLOCKS[case]
    clock = PresentationClock(Fraction(1, 1000), start, 1 / FPS)
    np.testing.assert_allclose([clock.seconds(stamp) for stamp in stamps], expected, atol=1e-9)


@pytest.mark.slow
@pytest.mark.needs_shared
def test_real_videos_are_read_whole_and_as_opencv_reads_them(shared):
    for path in sorted((shared / "video").iterdir()):
        capture = cv2.VideoCapture(str(path))
        frames = 0
        source = build(Options(path=path))
        info = source.open()
        while (frame := source.read()) is not None:
            frames += 1
            if frames % 25 == 1:
                while int(capture.get(cv2.CAP_PROP_POS_FRAMES)) < frames - 1:
                    capture.grab()
                np.testing.assert_array_equal(frame.image, capture.read()[1])
        assert frames == info.frame_count
        source.close()
        capture.release()


@pytest.mark.parametrize("first", [0, 1, 7, 19, 20, 25])
@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.slow
def test_a_file_read_from_the_middle_has_the_same_frames(first, damaged, tmp_path):
    """A job that was killed goes on there: numbers, times, pictures and damage are as they were."""
    path = write_video(tmp_path / "a.mp4", [noise_picture(n) for n in range(20)])
    path = holed(path) if damaged else path

    def read(skip):
        source = build(Options(path=path))
        source.open()
        if skip is not None:
            source.skip_to(skip)
        frames = []
        try:
            while (frame := source.read()) is not None:
                frames.append((frame.index, frame.pts_s, frame.image.tobytes()))
        except SourceBrokenError as error:
            return frames, str(error)
        finally:
            source.close()
        return frames, ""

    whole, why = read(None)
    assert bool(why) == damaged
    assert read(first) == ([each for each in whole if each[0] >= first], why)
