"""Subtitles: where and when boxes are shown, by parsing the file and by drawing it with libass."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.programs import program
from support.sink_results import run_info
from support.tiny_videos import write_video

from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.core.drawing import Annotator
from pipeline.core.errors import OutputError, WriteError
from pipeline.core.run_info import RunInfo
from pipeline.sinks import subtitles
from pipeline.sinks._mkv import write_mkv
from pipeline.sources.file import Options as FileOptions
from pipeline.sources.file import build as file_source

HEIGHT, WIDTH, FRAMES = 96, 128, 8
_DIALOGUE = re.compile(
    r"Dialogue: (\d),(\d+):(\d\d):(\d\d\.\d\d),(\d+):(\d\d):(\d\d\.\d\d),(\w+),(.*)"
)


def dialogues(path: Path) -> list[tuple[int, float, float, str]]:
    """Return (layer, start, end, text) of each event of an ASS file."""
    events = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("Dialogue"):
            found = _DIALOGUE.fullmatch(line)
            assert found, line
            layer, *times, _, text = found.groups()
            start, end = (
                int(h) * 3600 + int(m) * 60 + float(s) for h, m, s in (times[:3], times[3:])
            )
            events.append((int(layer), start, end, text))
    return events


def result(
    frame: Frame, boxes: list[list[float]], *, coasting: bool = False, name: str = "person"
) -> Result:
    n = len(boxes)
    tracks = Tracks(
        np.array(boxes, np.float32).reshape(n, 4),
        np.full(n, 0.9, np.float32),
        np.zeros(n, np.int32),
        np.arange(1, n + 1),
        np.full(n, -1 if coasting else 0, np.int32),
        np.zeros(n, np.float32),
    )
    return Result(frame, Detections.empty(), tracks, {0: name})


def blank(index: int, pts_s: float, *, epoch: int = 0, size: tuple[int, int] = (96, 128)) -> Frame:
    return Frame(np.zeros((*size, 3), np.uint8), "cam", index, pts_s, 50 + pts_s, epoch)


def written(folder: Path, results: list[Result], **options: Any) -> Path:
    sink = subtitles.build(subtitles.Options(**options))
    sink.open(run_info(folder, "cam"))
    for one in results:
        sink.write(one)
    sink.close()
    return folder / "cam.ass"


def moving_box(index: int) -> list[float]:
    return [10 + 8 * index, 20 + 3 * index, 40 + 8 * index, 50 + 3 * index]


def followed(video: Path, output: Path, **options: Any) -> list[Result]:
    """Write the subtitles of a video with one moving box; return the results."""
    source = file_source(FileOptions(path=video))
    info = source.open()
    sink = subtitles.build(subtitles.Options(**options))
    sink.open(RunInfo(output, {0: "person"}, {source.name: info}, 0.0, only_files=True))
    results = []
    while (frame := source.read()) is not None:
        kept = Frame(frame.image.copy(), frame.source, frame.index, frame.pts_s, 0.0)
        results.append(result(kept, [moving_box(frame.index)]))
        sink.write(results[-1])
    source.close()
    sink.source_ended(source.name)
    sink.close()
    return results


# -- the file -------------------------------------------------------------------------------------


def test_boxes_and_labels_are_shown_from_their_frame_to_the_next(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.2, 0.24, 3600.1]
    path = written(tmp_path, [result(blank(n, t), [moving_box(n)]) for n, t in enumerate(times)])
    boxes = [each for each in dialogues(path) if each[0] == 1]
    assert len(boxes) == len(times)
    for (_, start, end, _), now, following in zip(boxes, times, [*times[1:], 1e9], strict=True):
        assert start <= now < end <= following
        assert now - start <= 0.0115, "shown over the frame before"
    assert "PlayResX: 128\nPlayResY: 96\n" in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain", "plain 1 0.90"),
        ("{\\b1}bold, or", "\\{\\\u2060b1}bold, or 1 0.90"),
        ("two\nlines\\N", "two lines\\\u2060N 1 0.90"),
        ("行人 Fußgänger", "行人 Fußgänger 1 0.90"),
    ],
)
def test_a_class_name_is_text_and_never_a_tag(tmp_path: Path, name: str, shown: str) -> None:
    path = written(tmp_path, [result(blank(0, 0.0), [[20, 40, 60, 80]], name=name)])
    (label,) = (text for layer, _, _, text in dialogues(path) if layer == 2)
    assert label.partition("}")[2] == shown


def test_labels_and_trails_can_be_left_out(tmp_path: Path) -> None:
    results = [result(blank(n, n / 10), [moving_box(n)]) for n in range(5)]
    assert {each[0] for each in dialogues(written(tmp_path, results))} == {0, 1, 2}
    bare = written(tmp_path, results, labels=[], trail_s=0)
    assert {each[0] for each in dialogues(bare)} == {1}
    only_ids = written(tmp_path, results, labels=["id"])
    texts = [text for layer, _, _, text in dialogues(only_ids) if layer == 2]
    assert {text.partition("}")[2] for text in texts} == {"1"}


def test_the_file_stays_small(tmp_path: Path) -> None:
    """At most 450 bytes per track and frame with label and trail, in 4K too."""
    boxes = [[n * 9.0, n * 7.0, n * 9 + 30.0, n * 7 + 40.0] for n in range(6)]
    for coasting in (False, True):
        results = [
            result(
                blank(n, n / 25, size=(2160, 3840)),
                [[x + n * 19 for x in box] for box in boxes],
                coasting=coasting,
            )
            for n in range(50)
        ]
        size = written(tmp_path, results).stat().st_size
        assert 100 < size / (50 * len(boxes)) < 450


def test_times_of_a_reconnected_camera_go_on_and_trails_do_not(tmp_path: Path) -> None:
    results = [result(blank(n, n / 10), [moving_box(n)]) for n in range(3)]
    again = Frame(np.zeros((96, 128, 3), np.uint8), "cam", 9, 0.0, 60.0, 1)
    events = dialogues(written(tmp_path, [*results, result(again, [moving_box(9)])]))
    last = max(events, key=lambda each: each[1])
    assert last[1] == pytest.approx(10.0, abs=0.02), "captured at 50.2 and 60.0"
    assert not [each for each in events if each[0] == 0 and each[1] > 5]


def test_a_new_picture_size_keeps_boxes_in_place(tmp_path: Path) -> None:
    """Players stretch a video that changes its size; boxes stay in the first size's pixels."""
    small = result(blank(0, 0.0), [[10, 20, 40, 60]])
    large = result(blank(1, 0.1, size=(192, 256)), [[20, 40, 80, 120]])
    events = [each for each in dialogues(written(tmp_path, [small, large])) if each[0] == 1]
    assert events[0][3] == events[1][3]


def test_what_is_outside_of_the_picture_is_left_out(tmp_path: Path) -> None:
    boxes = [[-90.0, 5, -20, 40], [100, 60, 900, 700], [-30, -30, 20, 20]]
    events = dialogues(written(tmp_path, [result(blank(0, 0.0), boxes)]))
    paths = [text.partition("}")[2] for layer, _, _, text in events if layer == 1]
    assert len(paths) == 2
    for path in paths:
        numbers = np.array(re.findall(r"-?\d+", path), int).reshape(-1, 2)
        assert numbers.min() >= 0
        assert (numbers <= [WIDTH + 2, HEIGHT + 2]).all()


def test_an_output_that_is_the_source_is_refused(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mkv", [np.zeros((96, 128, 3), np.uint8)] * 3)
    with pytest.raises(OutputError, match="is a source of this run"):
        followed(video, tmp_path, mkv=True)


# -- drawn by libass ------------------------------------------------------------------------------


def plain_video(path: Path, **options: Any) -> Path:
    grey = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    return write_video(path, [grey] * FRAMES, **options)


def with_early_sound(path: Path) -> Path:
    """A video whose pictures begin 0.6 s after its sound, at an uneven pace."""
    times = [0.6, 0.64, 0.9, 0.94, 0.98, 1.3, 1.34, 1.5]
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for n in range(26):
            tone = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            tone.sample_rate, tone.pts, tone.time_base = 16000, n * 1024, Fraction(1, 16000)
            container.mux(sound.encode(tone))
        for seconds in times:
            picture = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), "bgr24")
            picture.pts, picture.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        container.mux(sound.encode(None))
    return path


VIDEOS: dict[str, Callable[[Path], Path]] = {
    "mp4": lambda folder: plain_video(folder / "a.mp4"),
    "turned": lambda folder: plain_video(folder / "a.mp4", rotation=90),
    "anamorphic": lambda folder: plain_video(folder / "a.mp4", sample_aspect=(4, 3)),
    "transport stream": lambda folder: plain_video(folder / "a.ts"),
    "uneven, sound first": lambda folder: with_early_sound(folder / "a.mp4"),
    "avi": lambda folder: plain_video(folder / "a.avi", codec="mpeg4"),
}


def ffmpeg_with_libass() -> str:
    command = program("ffmpeg")
    shown = subprocess.run([command, "-hide_banner", "-filters"], capture_output=True, text=True)
    if " ass " not in shown.stdout:
        pytest.skip("ffmpeg with libass is not installed")
    return command


def drawn_by(ffmpeg: str, video: Path, script: Path, size: tuple[int, int]) -> np.ndarray:
    """Return every frame with the subtitles drawn on, u8[N,H,W,3]."""
    command = [
        ffmpeg, "-v", "error", "-i", video.name, "-vf", f"ass={script.name}",
        "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "bgr24", "-",
    ]  # fmt: skip
    data = subprocess.run(command, cwd=script.parent, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, *size, 3)


def extent(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return (left, top, right, bottom) of what was drawn."""
    drawn = np.abs(after.astype(int) - before.astype(int)).max(axis=2) > 60
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])


@pytest.mark.parametrize("kind", VIDEOS)
def test_libass_draws_each_box_where_and_when_the_video_sink_does(
    kind: str, tmp_path: Path
) -> None:
    ffmpeg = ffmpeg_with_libass()
    video = VIDEOS[kind](tmp_path)
    results = followed(video, tmp_path, labels=[], trail_s=0)
    size = results[0].frame.image.shape[:2]
    assert size == ((128, 96) if kind == "turned" else (96, 128))
    pictures = drawn_by(ffmpeg, video, tmp_path / "a.ass", size)
    assert len(pictures) == len(results) == FRAMES
    for one, picture in zip(results, pictures, strict=True):
        ours = one.frame.image.copy()
        Annotator(0, labels=()).paint(ours, one)
        difference = extent(one.frame.image, ours) - extent(one.frame.image, picture)
        assert np.abs(difference).max() <= 2, f"frame {one.frame.index}"


# -- Matroska -------------------------------------------------------------------------------------


def packets(path: Path) -> dict[int, list[tuple[float, str]]]:
    """Return (presentation time, hash) of each packet by stream."""
    found: dict[int, list[tuple[float, str]]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                shown = packet.pts if packet.pts is not None else packet.dts
                at = round(float(shown * packet.time_base), 3)
                digest = hashlib.sha256(bytes(packet)).hexdigest()
                found.setdefault(packet.stream.index, []).append((at, digest))
    return found


@pytest.mark.parametrize("kind", [kind for kind in VIDEOS if kind != "transport stream"])
def test_the_original_streams_are_copied_bit_for_bit(kind: str, tmp_path: Path) -> None:
    video = VIDEOS[kind](tmp_path)
    followed(video, tmp_path / "out", mkv=True, labels=["id"])
    copy = tmp_path / "out" / "a.mkv"
    before, after = packets(video), packets(copy)
    tracks = after.pop(max(after))
    assert [[digest for _, digest in each] for each in before.values()] == [
        [digest for _, digest in each] for each in after.values()
    ]
    with av.open(str(video)) as source, av.open(str(copy)) as target:
        assert [each.type for each in target.streams] == [
            *(each.type for each in source.streams), "subtitle",
        ]  # fmt: skip
        (picture, other) = (next(each.decode(video=0)) for each in (source, target))
        assert picture.rotation == other.rotation
        assert target.streams.video[0].sample_aspect_ratio in (
            source.streams.video[0].sample_aspect_ratio, 1
        )  # fmt: skip
        subtitle = target.streams.subtitles[0]
        assert subtitle.codec_context.name == "ssa"
    # A box comes with its picture, in this file's own times.
    (pictures,) = (each for index, each in after.items() if len(each) == FRAMES)
    for at, _ in pictures:
        assert any(at - 0.0125 <= begins <= at for begins, _ in tracks), at


def with_timecode(path: Path) -> Path:
    """A QuickTime file with a track of time codes, which Matroska has no place for."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.metadata["timecode"] = "01:00:00:00"
        for n in range(FRAMES):
            picture = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), "bgr24")
            picture.pts, picture.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def test_a_stream_that_matroska_has_no_place_for_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = with_timecode(tmp_path / "a.mov")
    assert [each.type for each in av.open(str(video)).streams] == ["video", "data"]
    followed(video, tmp_path / "out", mkv=True)
    assert "a.mov: not in the Matroska file, which has no place for it: data 1" in caplog.text
    copy = packets(tmp_path / "out" / "a.mkv")
    assert len(copy[0]) == FRAMES
    assert set(copy) == {0, 1}


def test_what_cannot_be_copied_leaves_the_subtitles_and_says_so(tmp_path: Path) -> None:
    damaged = tmp_path / "b.mp4"
    damaged.write_bytes(b"no video")
    script = written(tmp_path, [result(blank(0, 0.0), [moving_box(0)])])
    with pytest.raises(WriteError, match=r"b\.mp4 cannot be copied .* subtitles are in cam\.ass"):
        write_mkv(damaged, script, tmp_path / "b.mkv")
    assert not list(tmp_path.glob("*b.mkv*"))
