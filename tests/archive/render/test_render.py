"""Recorded tracks drawn on their video: as the run drew them, blurred, as a heat map, as clips."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from support.sink_results import pictures
from support.tiny_videos import grey_video, level, noise_picture, write_video

from pipeline.archive.render.clip import ClipJob, clip
from pipeline.archive.render.render import RenderJob, render
from pipeline.cli.main import main
from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.core.errors import UsageError
from pipeline.core.run_info import RunInfo
from pipeline.sinks import csv, jsonl, mot, parquet, video
from pipeline.sources.file import Options as FileOptions
from pipeline.sources.file import build as file_source

FRAMES, HEIGHT, WIDTH = 12, 96, 128
NAMES = {0: "person", 2: "car"}
Boxes = Callable[[int], list[tuple[int, int, list[float]]]]
"""From a frame's index to (track id, class id, box) of each track."""


def two_tracks(index: int) -> list[tuple[int, int, list[float]]]:
    person = (1, 0, [10.0 + 4 * index, 20, 34 + 4 * index, 80])
    car = (2, 2, [70.0, 30, 120, 60])
    # The person is missed in two frames, the car comes later.
    return [one for one, there in ((person, index not in (5, 6)), (car, index > 3)) if there]


def noise_video(path: Path, frames: int = FRAMES, **options: Any) -> Path:
    times = [n * 0.04 + (0.1 if n > 4 else 0) for n in range(frames)]
    return write_video(path, [noise_picture(n) for n in range(frames)], times, **options)


def run_over(path: Path, output: Path, sinks: Sequence[Any], boxes: Boxes = two_tracks) -> None:
    """Do what a run does with a detector and tracker that give these boxes."""
    source = file_source(FileOptions(path=path))
    info = source.open()
    for sink in sinks:
        sink.open(RunInfo(output, NAMES, {source.name: info}, 0.0, only_files=True))
    while (frame := source.read()) is not None:
        for sink in sinks:
            sink.write(as_result(frame, boxes(frame.index)))
    source.close()
    for sink in sinks:
        sink.close()


def as_result(frame: Frame, boxes: list[tuple[int, int, list[float]]]) -> Result:
    n = len(boxes)
    tracks = Tracks(
        np.array([box for _, _, box in boxes], np.float32).reshape(n, 4),
        np.full(n, 0.75, np.float32),
        np.array([class_id for _, class_id, _ in boxes], np.int32),
        np.array([track_id for track_id, _, _ in boxes], np.int64),
        np.arange(n, dtype=np.int32),
        np.zeros(n, np.float32),
    )
    return Result(frame, Detections.empty(), tracks, NAMES)


TABLES = {
    "tracks.csv": lambda: csv.build(csv.Options()),
    "tracks.jsonl": lambda: jsonl.build(jsonl.Options()),
    "tracks": lambda: parquet.build(parquet.Options()),
    "a.txt": lambda: mot.build(mot.Options()),
}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A video with the tracks of a run beside it, as the sink `csv` writes them."""
    path = noise_video(tmp_path / "a.mp4")
    run_over(path, tmp_path / "run", [TABLES["tracks.csv"]()])
    return path


def job(path: Path, **changes: Any) -> RenderJob:
    tracks = changes.pop("tracks", path.parent / "run" / "tracks.csv")
    return RenderJob(tracks, path, path.parent / "out", **changes)


# -- boxes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["tracks.csv", "tracks.jsonl", "tracks", ""])
@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.slow
def test_the_video_is_the_one_that_the_run_would_have_written(
    table: str, rotation: int, tmp_path: Path
) -> None:
    """Of Parquet the sink writes parts into a folder, which will do as well as the run's own."""
    path = noise_video(tmp_path / "a.mp4", rotation=rotation)
    run_over(path, tmp_path / "run", [TABLES[table or "tracks"](), video.build(video.Options())])
    done = render(job(path, tracks=tmp_path / "run" / table))
    assert (done.files, done.frames) == ([tmp_path / "out" / "a.mp4"], FRAMES)
    ours, theirs = pictures(tmp_path / "out" / "a.mp4"), pictures(tmp_path / "run" / "a.mp4")
    assert len(ours) == FRAMES
    assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))
    with av.open(str(tmp_path / "out" / "a.mp4")) as new, av.open(str(path)) as old:
        times = [[round(frame.time, 3) for frame in each.decode(video=0)] for each in (new, old)]
    assert times[0] == times[1]


def test_motchallenge_text_and_its_folder_will_do(tmp_path: Path) -> None:
    path = noise_video(tmp_path / "a.mp4")
    run_over(path, tmp_path / "run", [TABLES["a.txt"]()])
    one = render(job(path, tracks=tmp_path / "run", labels=("id",)))
    assert one.frames == FRAMES


def test_without_boxes_nothing_is_drawn(plain: Path) -> None:
    render(job(plain, boxes=False))
    for ours, original in zip(
        pictures(plain.parent / "out" / "a.mp4"), pictures(plain), strict=True
    ):
        assert np.abs(ours.astype(int) - original).mean() < 12, "but for the encoder's loss"


# -- another video --------------------------------------------------------------------------------


OTHERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "size": (
        lambda folder: write_video(folder / "b.mp4", [noise_picture(0, 64, 96)] * FRAMES),
        "it has 96x64 pixels, not 128x96",
    ),
    "times": (
        lambda folder: write_video(folder / "b.mp4", [noise_picture(0)] * FRAMES),
        "its frame 5 is shown at 0.200 s, that of the tracks at 0.300 s",
    ),
    "length": (
        lambda folder: noise_video(folder / "b.mp4", frames=6),
        "it has 6 frames, the tracks go on to frame 11",
    ),
    "one frame short": (
        lambda folder: noise_video(folder / "b.mp4", frames=FRAMES - 1),
        "it has 11 frames, the tracks go on to frame 11",
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_tracks_of_another_video_are_refused_and_nothing_is_written(
    other: str, plain: Path
) -> None:
    make, why = OTHERS[other]
    with pytest.raises(UsageError, match=why):
        render(job(make(plain.parent), tracks=plain.parent / "run"))
    assert not (plain.parent / "out" / "b.mp4").exists()


def test_boxes_outside_of_the_picture_are_those_of_another_video(tmp_path: Path) -> None:
    lines = [f"{n + 1},1,{400 + n},300,50,80,1,-1,-1,-1\n" for n in range(FRAMES)]
    (tmp_path / "t.txt").write_text("".join(lines))
    path = noise_video(tmp_path / "a.mp4")
    with pytest.raises(UsageError, match="100% of the boxes lie outside of its 128x96"):
        render(job(path, tracks=tmp_path / "t.txt"))


def test_of_several_sources_the_one_of_this_file_is_taken(tmp_path: Path) -> None:
    for name in ("a", "b"):
        path = noise_video(tmp_path / f"{name}.mp4")
        run_over(path, tmp_path / name, [TABLES["tracks.csv"]()])
    rows = (tmp_path / "b" / "tracks.csv").read_text().partition("\n")[2]
    both = tmp_path / "both.csv"
    both.write_text((tmp_path / "a" / "tracks.csv").read_text() + rows)
    assert render(job(tmp_path / "b.mp4", tracks=both)).frames == FRAMES
    renamed = (tmp_path / "a.mp4").rename(tmp_path / "c.mp4")
    with pytest.raises(
        UsageError, match=r"which source is .*c\.mp4\? .*--source \(there are: a, b\)"
    ):
        render(job(renamed, tracks=both))
    assert render(job(renamed, tracks=both, source="a")).frames == FRAMES
    with pytest.raises(UsageError, match="unknown source 'x'"):
        render(job(renamed, tracks=both, source="x"))


def test_the_video_itself_is_never_written_over(plain: Path) -> None:
    with pytest.raises(UsageError, match="is a source of this run"):
        render(RenderJob(plain.parent / "run" / "tracks.csv", plain, plain.parent))
    assert len(pictures(plain)) == FRAMES


# -- blur -----------------------------------------------------------------------------------------


def detail(picture: np.ndarray, box: list[float]) -> float:
    """How much there is to see inside of a box: the mean step between neighbours."""
    x1, y1, x2, y2 = (round(side) for side in box)
    part = picture[y1:y2, max(x1, 0) : x2].astype(int)
    return float(np.abs(np.diff(part, axis=1)).mean())


def test_a_person_is_blurred_in_every_frame_and_nothing_else_is(plain: Path) -> None:
    """Also in the frames where no row is: two in the middle."""
    render(job(plain, blur=("person",), boxes=False))
    for index, picture in enumerate(pictures(plain.parent / "out" / "a.mp4")):
        person = [10.0 + 4 * index, 20, 34 + 4 * index, 80]
        assert detail(picture, person) < 6, index
        assert detail(picture, [100, 0, 128, 30]) > 20


@pytest.mark.parametrize(
    ("groups", "why"),
    [(("vehicle", "dog"), "unknown group to blur 'dog'"), (("person", "vehicle"), "")],
)
def test_groups_are_those_that_the_file_has(groups: tuple[str, ...], why: str, plain: Path) -> None:
    if not why:
        assert render(job(plain, blur=groups)).frames == FRAMES
    else:
        with pytest.raises(UsageError, match=why):
            render(job(plain, blur=groups))


def test_a_file_without_class_names_blurs_all_or_says_so(tmp_path: Path) -> None:
    path = noise_video(tmp_path / "a.mp4")
    run_over(path, tmp_path / "run", [TABLES["a.txt"]()])
    with pytest.raises(UsageError, match="names no classes; --blur all"):
        render(job(path, tracks=tmp_path / "run", blur=("person",)))
    render(job(path, tracks=tmp_path / "run", blur=("all",), boxes=False))
    last = pictures(tmp_path / "out" / "a.mp4")[-1]
    assert detail(last, [70, 30, 120, 60]) < 6


class _Seen:
    """A face detector that sees the head of the person of `two_tracks`, but for some frames."""

    missed = (0, 3, 4, 7)

    def __init__(self) -> None:
        self._frames = 0

    def detect(self, image: np.ndarray, persons: np.ndarray) -> np.ndarray:
        index, self._frames = self._frames, self._frames + 1
        assert image.shape == (HEIGHT, WIDTH, 3)
        assert len(persons) == (index not in (5, 6)), "where to look for faces"
        seen = [] if index in self.missed else [[14.0 + 4 * index, 20, 30 + 4 * index, 40]]
        return np.array(seen, float).reshape(-1, 4)


def test_a_face_is_blurred_in_the_frames_in_which_it_is_missed(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.archive.render.render.FaceDetector", _Seen)
    render(job(plain, blur=("face",), boxes=False))
    for index, picture in enumerate(pictures(plain.parent / "out" / "a.mp4")):
        assert detail(picture, [14.0 + 4 * index, 20, 30 + 4 * index, 40]) < 7, index
        assert detail(picture, [14.0 + 4 * index, 62, 30 + 4 * index, 80]) > 20


def test_the_end_without_tracks_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = grey_video(tmp_path / "a.mkv", 40, step_s=0.2)
    run_over(path, tmp_path / "run", [TABLES["tracks.csv"]()],
             lambda n: [(1, 0, [9.0, 9, 30, 30])] if n < 5 else [])  # fmt: skip
    render(job(path, blur=("person",)))
    assert re.search(r"the tracks end [78] s before the video; nothing is blurred", caplog.text)


# -- heat map -------------------------------------------------------------------------------------


def test_it_is_hottest_where_somebody_stood_longest(tmp_path: Path) -> None:
    path = grey_video(tmp_path / "a.mkv", 30)
    standing = [(1, 0, [6.0, 5, 16, 30])]
    run_over(path, tmp_path / "run", [TABLES["tracks.csv"]()],
             lambda n: [*standing, (2, 0, [20.0 + n, 5, 30 + n, 40])])  # fmt: skip
    done = render(job(path, heatmap=True, boxes=False))
    assert done.files == [tmp_path / "out" / "a.mp4", tmp_path / "out" / "a.heatmap.png"]
    picture = cv2.imread(str(done.files[1])).astype(int)
    assert picture.shape == (48, 64, 3)
    redness = picture[:, :, 2] - picture[:, :, 0]
    row, column = np.unravel_index(redness.argmax(), redness.shape)
    assert abs(row - 30) <= 5
    assert abs(column - 11) <= 5
    first, *_, last = pictures(done.files[0])
    assert np.ptp(first[:, :, 2].astype(int) - first[:, :, 0]) < 30
    assert np.ptp(last[:, :, 2].astype(int) - last[:, :, 0]) > 100


def test_the_picture_alone_needs_no_encoding(plain: Path) -> None:
    done = render(job(plain, heatmap=True, makes_video=False))
    assert [path.name for path in done.files] == ["a.heatmap.png"]
    assert not (plain.parent / "out" / "a.mp4").exists()


# -- clips ----------------------------------------------------------------------------------------


def passing(index: int) -> list[tuple[int, int, list[float]]]:
    """Track 7 in the frames 10 to 19, track 8 in all."""
    one = [(7, 0, [16.0 + index, 16, 40 + index, 40])] if 10 <= index < 20 else []
    return [*one, (8, 0, [0.0, 0, 9, 9])]


@pytest.mark.parametrize(("pad_s", "first", "last"), [(0.0, 10, 19), (0.12, 7, 22), (60.0, 0, 39)])
def test_a_clip_has_exactly_its_frames(pad_s: float, first: int, last: int, tmp_path: Path) -> None:
    path = grey_video(tmp_path / "a.mkv", 40)
    run_over(path, tmp_path / "run", [TABLES["tracks.csv"]()], passing)
    done = clip(ClipJob(tmp_path / "run", path, 7, tmp_path / "c.mp4", pad_s=pad_s))
    assert done.files == [tmp_path / "c.mp4"]
    shown = pictures(tmp_path / "c.mp4")
    assert len(shown) == done.frames == last - first + 1
    for index, picture in enumerate(shown, first):
        grey = level(index, 40)
        if 10 <= index < 20:
            assert abs(int(picture[34, 28 + index, 1]) - grey) < 6, "bright inside of the box"
        assert abs(int(picture[46, 62, 1]) - grey * 0.55) < 6, "dark elsewhere"


def test_a_cut_out_follows_the_track(tmp_path: Path) -> None:
    def crossing(index: int) -> list[tuple[int, int, list[float]]]:
        return [(5, 0, [4.0 + 6 * index, 30, 24 + 6 * index, 50])]

    def with_dot(index: int) -> np.ndarray:
        picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        picture[37:43, 11 + 6 * index : 17 + 6 * index] = (250, 0, 0)
        return picture

    path = write_video(tmp_path / "a.mp4", [with_dot(n) for n in range(FRAMES)])
    run_over(path, tmp_path / "run", [TABLES["tracks.csv"]()], crossing)
    done = clip(ClipJob(tmp_path / "run", path, 5, tmp_path / "out", crop=True))
    assert done.files == [tmp_path / "out" / "a.track5.mp4"]
    shown = pictures(done.files[0])
    assert {picture.shape for picture in shown} == {(64, 64, 3)}
    for picture in shown[3:-3]:
        rows, columns = np.nonzero((picture[:, :, 0] > 150) & (picture[:, :, 1] < 90))
        assert abs(rows.mean() - 32) < 12
        assert abs(columns.mean() - 32) < 12


def test_a_track_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    path = grey_video(tmp_path / "a.mkv", 40)
    run_over(path, tmp_path / "run", [TABLES["tracks.csv"]()], passing)
    with pytest.raises(UsageError, match=r"has no track 9 \(the longest are: 8, 7\)"):
        clip(ClipJob(tmp_path / "run", path, 9, tmp_path / "c.mp4"))


# -- the commands ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_commands_name_what_they_wrote(plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracks, out = str(plain.parent / "run"), plain.parent / "out"
    arguments = ["--blur", "person,vehicle", "--heatmap", "--labels", "id,class"]
    assert main(["render", tracks, str(plain), "-o", str(out), *arguments]) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "a.mp4"), str(out / "a.heatmap.png")]
    clipped = str(out / "x.mp4")
    assert main(["clip", tracks, str(plain), "--track", "1", "-o", clipped, "--pad", "0"]) == 0
    assert capsys.readouterr().out.splitlines() == [clipped]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["render", "run", "a.mp4", "-o", "x.mkv"], "want a folder or a name that ends in .mp4"),
        (["render", "run", "a.mp4", "--no-video"], "--no-video: leaves nothing to write"),
        (["render", "run", "a.mp4", "--labels", "name"], "--labels: unknown part 'name'"),
        (["render", "run", "a.mp4", "--trail", "-1"], "--trail: want 0 or more seconds, got -1"),
        (["render", "run", "none.mp4"], "none.mp4: no such file"),
        (["render", "none.csv", "a.mp4"], "none.csv: no such file"),
        (["clip", "run", "a.mp4", "--track", "1", "--pad", "nan"], "--pad: want 0 or more"),
        (["clip", "run", "a.mp4", "--track", "5"], "has no track 5"),
    ],
)
@pytest.mark.slow
def test_mistakes_are_answered_in_one_line(
    arguments: list[str],
    why: str,
    plain: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(plain.parent)
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert why in lines[0]
