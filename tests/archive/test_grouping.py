"""Recordings by camera and in order, by the names that dashcams and recorders give them."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest
from support.tiny_videos import write_video

from pipeline.archive.batch.grouping import (
    GroupRule,
    Recording,
    group_recordings,
    seam_between,
)
from pipeline.archive.batch.names import Chapter, folder_name, read_name
from pipeline.core.errors import ConfigError, SourceError, UsageError
from pipeline.sources._file.probe import FileProbe
from pipeline.sources._file.recording_start import zone_of

UTC = zone_of("UTC")
FOLDER = GroupRule.of("folder")
PICTURE = np.zeros((48, 64, 3), np.uint8)


def group(*paths: Path, rule: GroupRule = FOLDER, leave_out: str = "nowhere"):
    return group_recordings([str(p) for p in paths], rule, leave_out=Path(leave_out), zone=UTC)


def names(grouping) -> dict[str, list[str]]:
    return {camera: [one.path.name for one in group] for camera, group in grouping.cameras.items()}


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A video of a second."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", [PICTURE] * 25)


def lay_out(folder: Path, clip: Path, *files: str) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(clip, path)


SCHEMES = {
    "Viofo": ["2024_0102_030405_0001F.MP4", "2024_0102_030505_0003F.MP4"],
    "Viofo, parking": ["2024_0102_030405_0001F.MP4", "2024_0102_030505_0002PF.MP4"],
    "70mai": ["NO20240102-030405-0001F.MP4", "EV20240102-030505-0002F.MP4"],
    "BlackVue": ["20240102_030405_NF.mp4", "20240102_030505_EF.mp4"],
    "Thinkware": ["REC_2024_01_02_03_04_05_F.MP4", "EVT_2024_01_02_03_05_05_F.MP4"],
    "Nextbase": ["240102_030405_001_FH.MP4", "240102_030505_002_FH.MP4"],
    "Novatek": ["FILE240102-030405F.MP4", "FILE240102-030505F.MP4"],
    "Rexing": ["20240102030405_000001A.MP4", "20240102030505_000002A.MP4"],
    "Tesla": ["2024-01-02_03-04-05-front.mp4", "2024-01-02_03-05-05-front.mp4"],
}


@pytest.mark.parametrize("files", SCHEMES.values(), ids=SCHEMES)
def test_a_dashcams_front_recordings_are_one_camera(files, tmp_path, clip):
    lay_out(tmp_path / "dash", clip, *files)
    found = group(tmp_path / "dash")
    assert names(found) == {"dash-front": files}
    first, second = found.cameras["dash-front"]
    assert second.start_utc - first.start_utc == 60


REAR = {
    "Viofo": "2024_0102_030405_0002R.MP4",
    "70mai": "NO20240102-030405-0001B.MP4",
    "BlackVue": "20240102_030405_NR.mp4",
    "Thinkware": "REC_2024_01_02_03_04_05_R.MP4",
    "Nextbase": "240102_030405_001_RH.MP4",
    "Novatek": "FILE240102-030405R.MP4",
    "Rexing": "20240102030405_000001B.MP4",
    "Tesla": "2024-01-02_03-04-05-back.mp4",
}


@pytest.mark.parametrize("scheme", REAR)
def test_front_and_rear_are_two_cameras(scheme, tmp_path, clip):
    lay_out(tmp_path / "dash", clip, *SCHEMES[scheme], REAR[scheme])
    rear = "dash-back" if scheme == "Tesla" else "dash-rear"
    assert names(group(tmp_path)) == {"dash-front": SCHEMES[scheme], rear: [REAR[scheme]]}


SAID_ONCE = {  # file -> its camera, below the folder "all"
    "front/2024_0102_030405_0001F.MP4": "front",
    "Front/20240102_030405_NF.mp4": "Front",
    "dash-front/20240102_030405_NF.mp4": "dash-front",
    "dash_rear/20240102_030405_NR.mp4": "dash_rear",
    "a/front/20240102_030405_NF.mp4": "a/front",
    "door/door_20240102_030405.mp4": "door",
    "front/20240102_030405_NR.mp4": "front-rear",
    "front/x/20240102_030405_NF.mp4": "front/x-front",
    "seafront/20240102_030405_NF.mp4": "seafront-front",
    "20240102_030405_NF.mp4": "all-front",
}


@pytest.mark.parametrize(("file", "camera"), SAID_ONCE.items())
def test_a_word_of_folder_and_name_is_said_once(file, camera, tmp_path, clip):
    """A folder `front` of files that end in F was the camera `front-front`."""
    lay_out(tmp_path / "all", clip, file)
    assert [*names(group(tmp_path / "all"))] == [camera]


ELSEWHERE = {  # name -> what of the camera the name tells
    "2024_0102_030405_0001.MP4": "",
    "2024_0102_030405_0001I.MP4": "inside",
    "20240102_030405_NI.mp4": "inside",
    "2024-01-02_03-04-05-left_repeater.mp4": "left-repeater",
    "cam_20240102_030405.mp4": "cam",
    "Cam_00_20240102030405.mp4": "Cam-00",
    "20240102_030405_driveway.mp4": "driveway",
    "RecM01_20240102_030405_030505_0_12345.mp4": "RecM01",
    "PXL_20240102_030405000.mp4": "",
    "VID_20240102_030405.mp4": "",
    "door-1706711101.0-abcdef.mp4": "door",
    "door-1706711101.5-k3x9q2.mp4": "door",
    "1706711101.ts": "",
    "street.mp4": "",
    "GX010001.MP4": "",
}


@pytest.mark.parametrize(("name", "view"), ELSEWHERE.items())
def test_what_a_file_name_says_of_the_camera(name, view):
    assert read_name(Path(name)).view == view


@pytest.mark.parametrize(
    ("name", "chapter"),
    [
        ("GX010001.MP4", (1, 1)), ("GX020001.MP4", (1, 2)), ("GH011234.mp4", (1234, 1)),
        ("GOPR0007.MP4", (7, 0)), ("GP010007.MP4", (7, 1)), ("GRMN0007.MP4", None),
    ],
)  # fmt: skip
def test_chapters_of_a_gopro(name, chapter):
    assert read_name(Path(name)).chapter == (chapter and Chapter(*chapter))


@pytest.mark.parametrize(
    ("folder", "camera"),
    [
        (".", "root"), ("door", "door"), ("a/door", "a/door"), ("2024-01-02", "root"),
        ("2024-01-02/03/door", "door"), ("2024/01/02/door", "door"), ("door/2024-01-02", "door"),
        ("SavedClips/2024-01-02_03-04-05", "SavedClips"), ("100GOPRO", "GOPRO"),
        ("DCIM/101MEDIA", "DCIM/MEDIA"), ("01", "01"), ("02", "02"), ("20240102", "root"),
    ],
)  # fmt: skip
def test_folders_of_dates_are_no_cameras(folder, camera):
    assert folder_name(Path("root") / folder, Path("root")) == camera


def test_a_recorders_tree_is_one_camera_per_name(tmp_path, clip):
    """Frigate: the hour's folder holds the cameras' folders, times are in UTC."""
    files = [
        f"2024-01-02/{hour}/{camera}/04.05.mp4" for hour in ("03", "04") for camera in ("a", "b")
    ]
    lay_out(tmp_path, clip, *files)
    found = group(tmp_path)
    assert names(found) == {"a": ["04.05.mp4"] * 2, "b": ["04.05.mp4"] * 2}
    first, second = found.cameras["a"]
    assert (first.start_utc, second.start_utc - first.start_utc) == (1704164645, 3600)


def test_chapters_go_on_one_after_the_other(tmp_path, clip):
    """Chapter 2 of the first recording sorts behind chapter 1 of the second by name alone."""
    folder = tmp_path / "100GOPRO"
    folder.mkdir()
    for name, created in (
        ("GX010001.MP4", "10:00:00"), ("GX020001.MP4", "10:00:00"), ("GX010002.MP4", "11:00:00"),
    ):  # fmt: skip
        with av.open(str(clip)) as source, av.open(str(folder / name), "w") as target:
            target.metadata["creation_time"] = f"2024-01-02T{created}Z"
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
    found = group(tmp_path)
    assert names(found) == {"GOPRO": ["GX010001.MP4", "GX020001.MP4", "GX010002.MP4"]}
    assert [one.continues for one in found.cameras["GOPRO"]] == [False, True, False]
    assert found.notes == []


def test_numbered_files_without_any_time_go_on(tmp_path, clip):
    lay_out(tmp_path / "cut", clip, "seg2.mp4", "seg10.mp4", "seg1.mp4", "other3.mp4")
    found = group(tmp_path / "cut")
    assert names(found) == {"cut": ["other3.mp4", "seg1.mp4", "seg2.mp4", "seg10.mp4"]}
    assert [one.continues for one in found.cameras["cut"]] == [False, False, True, False]


def test_a_pattern_names_camera_and_time(tmp_path, clip):
    files = ["x-door@2024.01.02.030405.mp4", "x-yard@2024.01.02.030405.mp4", "stray.mp4"]
    lay_out(tmp_path, clip, *files)
    rule = GroupRule.of(r"-(?P<camera>\w+)@(?P<time>[\d.]+)")
    found = group(tmp_path, rule=rule)
    assert names(found) == {"door": files[:1], "yard": files[1:2], "unmatched": files[2:]}
    assert found.cameras["door"][0].start_utc == 1704164645
    assert "does not match --group-by" in found.cameras["unmatched"][0].problem


@pytest.mark.parametrize(
    ("text", "why"), [("(", "not a regular expression"), (r"(\d+)", r"\(\?P<camera>")]
)
def test_a_useless_pattern_is_refused(text, why):
    with pytest.raises(ConfigError, match=why):
        GroupRule.of(text)


@pytest.mark.slow
def test_two_cameras_mixed_in_one_folder_are_noticed(tmp_path):
    for name, size in (("20240102_030405", 48), ("20240102_030415", 96)):
        long = [np.zeros((size, 64, 3), np.uint8)] * 25 * 30
        write_video(tmp_path / f"{name}.mp4", long)
    (note,) = group(tmp_path).notes
    assert "20240102_030405.mp4 and 20240102_030415.mp4 overlap by 20 s" in note
    assert "different picture sizes" in note
    assert "--group-by" in note


def test_what_cannot_be_read_keeps_its_place_and_its_reason(tmp_path, clip):
    lay_out(tmp_path, clip, "20240102_030405.mp4", "20240102_030605.mp4")
    (tmp_path / "20240102_030505.mp4").write_bytes(b"")
    (tmp_path / "20240102_030705.mp4").write_text("no video at all")
    cut = tmp_path / "20240102_030805.mp4"
    cut.write_bytes(clip.read_bytes()[:700])
    recordings = next(iter(group(tmp_path).cameras.values()))
    assert [bool(one.problem) for one in recordings] == [False, True, False, True, True]
    assert "empty" in recordings[1].problem
    assert "not a video" in recordings[3].problem


def test_sound_alone_and_a_wrong_suffix(tmp_path, clip):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    os.link(clip, tmp_path / "video.bin")
    (tmp_path / "notes.txt").write_text("x")
    found = group(tmp_path)
    by_name = {one.path.name: one.problem for one in next(iter(found.cameras.values()))}
    assert "no video stream" in by_name["sound.mp4"]
    assert by_name["video.bin"] == ""
    assert found.notes == [f"left out of {tmp_path}: 1 .txt"]


def test_the_dataset_is_never_its_own_input(tmp_path, clip):
    lay_out(tmp_path, clip, "a/1.mp4", "out/annotated/1.mp4")
    found = group(tmp_path, leave_out=str(tmp_path / "out"))
    assert names(found) == {"a": ["1.mp4"]}


def test_a_file_given_twice_is_there_once(tmp_path, clip):
    lay_out(tmp_path, clip, "a/1.mp4")
    assert names(group(tmp_path / "a", tmp_path / "a" / "1.mp4")) == {"a": ["1.mp4"]}


def test_two_folders_of_one_name_are_refused(tmp_path, clip):
    lay_out(tmp_path, clip, "x/DCIM/1.mp4", "y/DCIM/1.mp4")
    with pytest.raises(UsageError, match="both give the camera 'DCIM'"):
        group(tmp_path / "x" / "DCIM", tmp_path / "y" / "DCIM")
    assert set(names(group(tmp_path))) == {"x/DCIM", "y/DCIM"}


def test_nothing_there_is_the_users_mistake(tmp_path):
    with pytest.raises(SourceError, match="no videos there"):
        group(tmp_path)
    with pytest.raises(SourceError, match="no such file"):
        group(tmp_path / "nowhere")


def recording(start, duration=60.0, *, size=(640, 480), exact=False, problem="", continues=False):
    facts = FileProbe(1, 1, duration, *size, 25.0, "h264", "mp4", start, exact)
    there = None if problem else facts
    return Recording(Path("x.mp4"), "x", there, problem, start, continues)


SEAMS = {
    "to the second": (recording(0), recording(60), 0.0, ""),
    "half a second that rounding makes": (recording(0, 59.5), recording(60), 0.0, ""),
    "half a second, exactly": (recording(0, 59.5, exact=True), recording(60, exact=True), 0.5, ""),
    "two seconds": (recording(0), recording(62), 2.0, ""),
    "too long": (recording(0), recording(64), 4.0, "4.0 s are missing before 1970-01-01 00:01:04Z"),
    "a little overlap": (recording(0, 61.5), recording(60), 0.0, ""),
    "much overlap": (recording(0, 80), recording(60), 0.0, "they overlap by 20.0 s"),
    "another size": (recording(0), recording(60, size=(64, 48)), 0.0, "another picture size"),
    "no times": (recording(None), recording(None), 0.0, "the times are unknown"),
    "no times, counted": (recording(None), recording(None, continues=True), 0.0, ""),
    "broken": (recording(0, problem="x"), recording(60), 0.0, "a recording between could not be"),
}


@pytest.mark.parametrize(("before", "after", "gap_s", "reason"), SEAMS.values(), ids=SEAMS)
def test_where_tracks_go_on(before, after, gap_s, reason):
    seam = seam_between(before, after, 3.0)
    assert seam.gap_s == gap_s
    assert seam.reason.startswith(reason)
    assert seam.is_carried == (not reason)
