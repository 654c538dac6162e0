"""The dataset: what a segment's writer writes, and what readers see of it, also after kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import dataset_results
from support.dataset_results import FPS, START, moving, segment, with_masks, write_all

from pipeline.archive.dataset.header import dataset_job
from pipeline.archive.dataset.layout import (
    read_manifest,
    read_manifests,
    read_state,
    remove_orphans,
    remove_segment,
)
from pipeline.archive.dataset.reader import open_dataset
from pipeline.archive.dataset.schema import TABLES, Segment, partition_value, segment_name
from pipeline.archive.dataset.writer import SegmentWriter
from pipeline.core.data import Result
from pipeline.core.errors import OutputError, UsageError, WriteError

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of three segments of 30 frames, written without a break."""
    path = tmp_path_factory.mktemp("whole") / "set"
    assert len([*write_all(path, 3, 30)]) == 3 * 5
    return path


def rows(path: Path, name: str) -> list[dict[str, Any]]:
    return open_dataset(path).table(name).to_pylist()


# -- what is written ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_segment_has_a_row_per_track_and_frame(whole: Path) -> None:
    found = rows(whole, "tracks")
    assert len(found) == 3 * 30 * 3
    first, hidden = found[0], found[11]
    assert first == {
        "segment": segment(0, 30).name, "source": "cam", "frame": 0, "pts_s": 0.0,
        "utc": first["utc"], "track_id": 1, "class_id": 0, "class_name": "person", "score": 0.75,
        "x1": 10.0, "y1": 20.0, "x2": 20.0, "y2": 40.0, "state": "matched", "age_s": 0.0,
        "width": 640, "height": 48, "epoch": 0, "file": "v.mp4", "mask": None, "keypoints": None,
        "camera": "yard", "date": "2023-11-14",
    }  # fmt: skip
    assert first["utc"].timestamp() == START
    assert (hidden["state"], hidden["frame"], hidden["track_id"]) == ("coasting", 3, 3)


def test_a_track_over_two_seams_has_one_row_where_it_ended(whole: Path) -> None:
    found = {row["track_id"]: row for row in rows(whole, "trajectories")}
    assert len(found) == len(rows(whole, "trajectories")) == 3
    one = found[2]
    names = [segment(number, 30).name for number in range(3)]
    assert (one["segment"], one["first_segment"], one["last_segment"]) == (
        names[2],
        names[0],
        names[2],
    )
    assert (one["first_frame"], one["last_frame"], one["frames"]) == (0, 29, 90)
    assert one["duration_s"] == pytest.approx(89 / FPS)
    assert (one["class_name"], one["score"]) == ("car", 0.75)
    assert (one["path_x"], one["path_y"]) == ([65.0, 243.0], [40.0, 40.0])
    assert one["path_t_s"] == pytest.approx([0, 8.9])
    assert one["path_length_px"] == one["displacement_px"] == pytest.approx(178)
    assert one["direction_deg"] == 0
    assert (one["last_utc"] - one["first_utc"]).total_seconds() == pytest.approx(8.9)
    assert (found[3]["frames"], found[3]["coasting_frames"]) == (90 - 21, 21)


def test_events_and_videos_have_their_rows(whole: Path) -> None:
    events, videos = rows(whole, "events"), rows(whole, "videos")
    assert [(row["frame"], row["area"], row["direction"]) for row in events[:2]] == [
        (5, "gate", "in"), (15, "gate", "in"),
    ]  # fmt: skip
    assert [(row["frames"], row["tracks"], row["track_ids"], row["events"]) for row in videos] == [
        (30, 90, 3, 3)
    ] * 3
    assert [row["continues"] for row in videos] == ["", *(row["segment"] for row in videos[:2])]
    assert {row["status"] for row in videos} == {"ok"}


def test_masks_and_keypoints_are_in_the_dataset_after_a_kill_too(tmp_path: Path) -> None:
    path, name = tmp_path / "set", segment(0, 30)
    for begin, end in ((0, 12), (10, 30)):  # the second writer goes on behind frame 9
        with dataset_job(path, {}):
            writer = SegmentWriter(path, name)
            assert (writer.resumed.frame if writer.resumed else -1) == begin - 1
            for index in range(begin, end):
                writer.add(with_masks(moving(index)))
                if index == 9:
                    writer.checkpoint(None)
            if end == 30:
                writer.commit({})
            else:
                writer.close()
    found = rows(path, "tracks")
    assert len(found) == 90
    for row in found:
        if row["state"] == "coasting":
            assert (row["mask"], row["keypoints"]) == (None, None)
        else:
            assert row["keypoints"] == [7, 12, 0.5]
            assert len(row["mask"]) > 5
    assert len({row["mask"] for row in found}) == 2


def test_a_dataset_without_the_columns_of_today_is_read(tmp_path: Path) -> None:
    """Parts of schema 1 have no masks and keypoints."""
    import pyarrow.parquet as pq

    path = tmp_path / "set"
    [*write_all(path, 1, 3)]
    [part] = (path / "tracks").rglob("*.parquet")
    table = pq.ParquetFile(part).read().drop_columns(["mask", "keypoints"])
    pq.write_table(table, part)
    found = open_dataset(path).table("tracks", ["keypoints", "track_id", "mask"])
    assert found.column_names == ["keypoints", "track_id", "mask"]
    assert found["mask"].null_count == found.num_rows == 9
    assert open_dataset(path).table("tracks").column_names[-2:] == ["camera", "date"]


def test_every_part_has_the_schema_of_its_table(whole: Path) -> None:
    import pyarrow.parquet as pq

    for manifest in read_manifests(whole).values():
        assert set(manifest.parts) == set(TABLES)
        for name, part in manifest.parts.items():
            file = pq.ParquetFile(whole / part.path)
            assert tuple(file.schema_arrow.names) == TABLES[name].names
            assert file.metadata.num_rows == part.rows
            assert (whole / part.path).stat().st_size == part.bytes


@pytest.mark.parametrize(
    ("camera", "date"), [(None, "unknown"), ("x", "unknown")], ids=["no camera", "no date"]
)
def test_a_segment_without_rows_or_time_is_whole_too(
    tmp_path: Path, camera: str | None, date: str
) -> None:
    one = Segment("s", camera or "", "broken.mp4")
    with dataset_job(tmp_path / "set", {}) as path:
        SegmentWriter(path, one).commit({"status": "failed", "reason": "no video"})
    assert rows(path, "tracks") == rows(path, "trajectories") == rows(path, "events") == []
    (video,) = rows(path, "videos")
    assert (video["status"], video["reason"], video["utc"], video["date"]) == (
        "failed", "no video", None, date,
    )  # fmt: skip


# -- trajectories ---------------------------------------------------------------------------------


def walked(tmp_path: Path, points: list[tuple[float, float]]) -> dict[str, Any]:
    """Return the trajectory of one track whose feet are at the points, 10 a second."""

    with dataset_job(tmp_path / "set", {}) as path:
        writer = SegmentWriter(path, segment(0, len(points)))
        for index, (x, y) in enumerate(points):
            one = moving(index, tracks=1)
            box = np.array([[x - 20, y - 80, x + 20, y]], np.float32)
            writer.add(replace(one, tracks=replace(one.tracks, xyxy=box)))
        writer.commit({})
    (found,) = rows(path, "trajectories")
    return found


@pytest.mark.parametrize(
    ("step", "degrees"),
    [((5, 0), 0), ((0, -5), 90), ((-5, 0), 180), ((0, 5), 270), ((5, -5), 45), ((0, 0), None)],
)
def test_the_direction_is_as_on_the_picture(
    tmp_path: Path, step: tuple[float, float], degrees: float | None
) -> None:
    found = walked(tmp_path, [(300 + step[0] * n, 300 + step[1] * n) for n in range(20)])
    assert found["direction_deg"] == (None if degrees is None else pytest.approx(degrees))


@pytest.mark.slow
def test_a_parked_car_that_jitters_has_gone_nowhere(tmp_path: Path) -> None:
    """The sum of the steps between boxes said kilometres after an hour in the car park."""
    jitter = np.random.default_rng(1).normal(0, 1.0, (3000, 2))
    found = walked(tmp_path, [(300 + x, 300 + y) for x, y in jitter])
    assert len(found["path_x"]) <= 4
    assert found["path_length_px"] < 10


def test_a_stop_stays_in_the_path(tmp_path: Path) -> None:
    points = [(100 + 5 * min(n, 20) + 5 * max(n - 120, 0), 300) for n in range(141)]
    found = walked(tmp_path, points)
    assert len(found["path_x"]) <= 6
    stood = np.interp([3, 7, 11], found["path_t_s"], found["path_x"])
    assert stood == pytest.approx([200] * 3, abs=5)
    assert found["path_length_px"] == pytest.approx(200)


@pytest.mark.parametrize(("every", "frames"), [(1, 20), (83, 700), (600, 700)])
@pytest.mark.slow
def test_checkpoints_change_no_trajectory(tmp_path: Path, every: int, frames: int) -> None:
    """Sums and simplification depend on the rows alone, not on where the work was cut."""
    found = []
    for interval in (10_000, every):
        with dataset_job(tmp_path / f"{interval}", {}) as path:
            writer = SegmentWriter(path, segment(0, 700))
            for index in range(frames):
                one = moving(index)
                one.tracks.xyxy[:] += np.sin(index / 9) * 7 + index % 5
                one.tracks.score[:] -= index % 7 / 31
                writer.add(one)
                if index % interval == interval - 1:
                    writer.checkpoint(None)
                    writer.close()
                    writer = SegmentWriter(path, segment(0, 700))
            writer.commit({})
        found.append((rows(path, "trajectories"), rows(path, "tracks"), rows(path, "events")))
    assert found[0] == found[1]


def test_a_track_long_gone_is_written_out_while_the_segment_goes_on(tmp_path: Path) -> None:
    with dataset_job(tmp_path / "set", {}) as path:
        writer = SegmentWriter(path, segment(0, 100), memory_s=2.0)
        for index in range(100):
            writer.add(moving(index, tracks=3 if index < 20 else 1))
        writer.checkpoint(None)
        progress = json.loads((path / ".work" / segment(0, 100).name / "progress.json").read_text())
        assert list(progress["open_tracks"]["tracks"]) == ["1"]
        writer.commit({})
    assert [row["track_id"] for row in rows(path, "trajectories")] == [1, 2, 3]


@pytest.mark.parametrize("checkpoint_at", [None, 20])
def test_rows_are_written_once_where_no_checkpoint_asks_for_them(
    checkpoint_at: int | None, tmp_path: Path
) -> None:
    """Short recordings were written as pieces first, and waited for the disk for each."""
    with dataset_job(tmp_path / "set", {}) as path:
        writer = SegmentWriter(path, segment(0, 40))
        for index in range(40):
            writer.add(moving(index, tracks=2))
            if index == checkpoint_at:
                writer.checkpoint(None)
        pieces = {each.name for each in (path / ".work").rglob("*.parquet")}
        assert pieces == (
            {"tracks-00001.parquet", "events-00001.parquet"} if checkpoint_at else set()
        )
        writer.commit({})
    assert len(rows(path, "tracks")) == 80
    assert len(rows(path, "trajectories")) == 2


# -- kills, resuming, readers ---------------------------------------------------------------------


def same(path: Path, whole: Path) -> None:
    for name in TABLES:
        assert rows(path, name) == rows(whole, name), name


def seen_by_glob(path: Path) -> dict[str, int]:
    """Return frames per segment as a reader sees them that takes every Parquet file."""
    import pyarrow.parquet as pq

    counts: dict[str, int] = {}
    for part in (path / "tracks").rglob("*.parquet"):
        table = pq.ParquetFile(part).read(columns=["segment", "frame"])
        for name in set(table["segment"].to_pylist()):
            counts[name] = len(set(table["frame"].to_pylist()))
    return counts


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_whole_segments_and_goes_on(
    tmp_path: Path, whole: Path
) -> None:
    path, choose = tmp_path / "set", random.Random(13)
    kills = 0
    for _ in range(6):
        writing = subprocess.Popen(
            [sys.executable, dataset_results.__file__, path, "3", "30"],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        assert writing.stdout is not None
        line = writing.stdout.readline()  # it has got somewhere
        time.sleep(choose.uniform(0, 0.03))
        writing.send_signal(signal.SIGKILL)
        kills += writing.wait() == -signal.SIGKILL
        writing.stdout.close()
        for manifest in open_dataset(path).segments():
            assert manifest.parts["tracks"].rows == manifest.frames * 3 == 90
        assert len(rows(path, "tracks")) == 90 * len(open_dataset(path).segments())
        assert set(seen_by_glob(path).values()) <= {30}
        if not line:
            break
    assert kills > 1
    list(write_all(path, 3, 30))
    same(path, whole)


def test_work_of_another_video_or_of_damaged_files_is_begun_anew(
    tmp_path: Path, whole: Path
) -> None:

    with dataset_job(tmp_path / "set", {}) as path:
        one = segment(0, 30)
        for damage in ("hash", "piece", "progress", "previous"):
            writer = SegmentWriter(path, one)
            writer.add(moving(0))
            writer.checkpoint({"n": 1})
            writer.close()
            work = path / ".work" / one.name
            if damage == "piece":
                (work / "tracks-00001.parquet").unlink()
            elif damage == "progress":
                (work / "progress.json").write_text("{half")
            again = replace(one, hash="other") if damage == "hash" else one
            kept = SegmentWriter(path, again, previous="x" if damage == "previous" else "")
            assert kept.resumed is None, damage
            assert [*work.iterdir()] == [], damage
            kept.abort()
            assert not work.exists()


def test_rows_after_the_newest_checkpoint_are_forgotten(tmp_path: Path) -> None:
    with dataset_job(tmp_path / "set", {}) as path:
        writer = SegmentWriter(path, segment(0, 30))
        writer.add(moving(0))
        writer.checkpoint({"array": np.arange(3.0)})
        writer.add(moving(1))
        writer.close()
        writer = SegmentWriter(path, segment(0, 30))
        assert writer.resumed is not None
        assert (writer.resumed.frame, writer.resumed.frames) == (0, 1)
        assert writer.resumed.state["array"].tolist() == [0, 1, 2]
        writer.commit({})
    assert [row["frame"] for row in rows(path, "tracks")] == [0, 0, 0]


def test_orphans_of_a_crash_are_removed(tmp_path: Path, whole: Path) -> None:
    """A kill between the parts and the manifest left rows that no manifest knew, counted twice."""
    path = tmp_path / "set"
    assert [*write_all(path, 2, 30)]
    name = segment(1, 30).name
    (path / "manifest" / f"{name}.json").unlink()
    assert len(open_dataset(path).segments()) == 1
    assert len(rows(path, "tracks")) == 90
    remove_orphans(path)
    assert [*seen_by_glob(path)] == [segment(0, 30).name]
    assert not (path / ".state" / f"{name}.json").exists()


def test_videos_and_work_that_nothing_goes_on_from_are_removed(tmp_path: Path) -> None:
    """Annotated videos of a job killed before its commit, and work of deleted videos, stayed."""
    path = tmp_path / "set"
    assert [*write_all(path, 1, 5)]
    whole = segment(0, 5)
    videos = path / "annotated" / whole.folder
    videos.mkdir(parents=True)
    for name in (f"{whole.name}.mp4", f"{whole.name}.2.mp4", "gone-0123456789.mp4"):
        (videos / name).touch()
    here = tmp_path / "here.mp4"
    here.touch()
    for name, video in {
        "half": here,
        "gone": tmp_path / "gone.mp4",
        "relative": "clip.mp4",
    }.items():
        writer = SegmentWriter(path, Segment(name, "yard", str(video)))
        writer.add(moving(0))
        writer.checkpoint({})
        writer.close()
    for name in ("half.video", "without-checkpoint"):
        (path / ".work" / name).mkdir()
    (path / ".work/camera-1.lock").touch()
    remove_orphans(path)
    assert {each.name for each in videos.iterdir()} == {f"{whole.name}.mp4", f"{whole.name}.2.mp4"}
    left = {each.name for each in (path / ".work").iterdir()}
    assert left == {"half", "relative", "camera-1.lock"}


@pytest.mark.parametrize("table", ["tracks", "trajectories", "events", "videos"])
def test_a_missing_part_is_said_to_the_job_and_to_the_reader(table: str, tmp_path: Path) -> None:
    """A part that somebody deleted was noticed by nobody but the reader, who was misled."""
    path = tmp_path / "set"
    assert [*write_all(path, 2, 5)]
    lost = open_dataset(path).segments()[0]
    (path / lost.parts[table].path).unlink()
    seen = []
    with dataset_job(path, {"tracker": "sort"}, on_damage=lambda *each: seen.append(each)):
        pass
    assert seen == [(lost, f"{path / lost.parts[table].path}: is missing")]
    with pytest.raises(
        UsageError, match=r"is missing, though segment .* trackline batch"
    ) as caught:
        open_dataset(path).table(table)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_segment_can_be_taken_out_and_done_anew(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "set"
    assert [*write_all(path, 3, 30)]
    remove_segment(path, segment(2, 30).name)
    assert len(rows(path, "tracks")) == 180
    assert [*write_all(path, 3, 30)]
    same(path, whole)


def test_the_state_for_the_next_segment_is_kept(tmp_path: Path) -> None:
    with dataset_job(tmp_path / "set", {}) as path:
        writer = SegmentWriter(path, segment(0, 30))
        writer.add(moving(0))
        manifest = writer.commit({}, state={"tracker": np.eye(2)}, carry=True)
    kept = read_state(path, manifest.segment)
    assert (kept.state["tracker"] == np.eye(2)).all()
    assert set(kept.open_tracks["tracks"]) == {"1", "2", "3"}
    assert manifest.max_track_id == 3
    assert read_manifest(path, manifest.segment) == manifest


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('{"format": "trackline-dataset", "schema": 3, "program": "9.1"}', "has schema 3.*up to 2"),
        ('{"format": "trackline-dataset", "schema": "x"}', "is damaged: schema 'x'"),
        ('{"format": "other"}', "not the header of a dataset"),
        ("[]", "not the header of a dataset"),
        ("{half", "is damaged: not JSON"),
        (None, "is no dataset: has no dataset.json"),
    ],
)
def test_what_is_no_dataset_of_this_program_is_one_line(
    tmp_path: Path, header: str | None, message: str
) -> None:
    (tmp_path / "tracks").mkdir()
    if header is not None:
        (tmp_path / "dataset.json").write_text(header)
        with pytest.raises(UsageError), dataset_job(tmp_path, {}):
            pass
    with pytest.raises(UsageError, match=message) as caught:
        open_dataset(tmp_path)
    assert "\n" not in str(caught.value)


def test_other_options_are_refused_by_name_and_fresh_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "set"
    assert [*write_all(path, 1, 10)]
    with (
        pytest.raises(UsageError, match=r'tracker was "sort", is "ocsort" \(--fresh starts over\)'),
        dataset_job(path, {"tracker": "ocsort"}),
    ):
        pass
    with dataset_job(path, {"tracker": "ocsort"}, fresh=True):
        pass
    assert open_dataset(path).segments() == []
    assert open_dataset(path).options == {"tracker": "ocsort"}
    assert seen_by_glob(path) == {}


def test_an_option_that_came_with_an_update_counts_only_where_the_user_set_it(
    tmp_path: Path,
) -> None:
    """Each new option of the detector, at its default, ended all jobs begun before the update."""
    path = tmp_path / "set"
    assert [*write_all(path, 1, 10)]
    newer = {"tracker": "sort", "overlap": 0.2}
    with dataset_job(path, newer, written=()):
        pass
    with (
        pytest.raises(UsageError, match="overlap was not set"),
        dataset_job(path, newer, written=("overlap",)),
    ):
        pass


def test_two_jobs_on_one_dataset_the_second_says_who_has_it(tmp_path: Path) -> None:
    with (
        dataset_job(tmp_path / "set", {}),
        pytest.raises(OutputError, match=rf"another job \(process {os.getpid()} on \S+ since"),
        dataset_job(tmp_path / "set", {}),
    ):
        pass
    with dataset_job(tmp_path / "set", {}):
        pass


@pytest.mark.parametrize("name", ["videos", "events", "tracks", "manifest", "annotated"])
def test_a_folder_named_like_a_table_is_no_dataset(tmp_path: Path, name: str) -> None:
    """A dashcam's folder held only videos/, and its recordings were deleted without a word."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "trip.mp4").write_text("mine")
    for fresh in (False, True):
        with pytest.raises(OutputError, match=name), dataset_job(tmp_path, {}, fresh=fresh):
            pass
    assert (tmp_path / name / "trip.mp4").read_text() == "mine"


def test_starting_over_removes_only_what_jobs_wrote(tmp_path: Path) -> None:
    path = tmp_path / "set"
    assert [*write_all(path, 1, 10)]
    (path / "videos" / "trip.mp4").write_text("mine")
    annotated = path / "annotated" / "camera=a" / "date=unknown"
    annotated.mkdir(parents=True)
    (annotated / "a.mp4").write_text("drawn")
    with dataset_job(path, {}, fresh=True):
        pass
    assert sorted(each.name for each in path.iterdir() if each.name != ".lock") == [
        "dataset.json",
        "videos",
    ]
    assert (path / "videos" / "trip.mp4").read_text() == "mine"


def test_starting_over_does_not_take_another_programs_dataset_json(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"format": "another"}')
    (tmp_path / "videos").mkdir()
    with pytest.raises(UsageError, match="not the header"), dataset_job(tmp_path, {}, fresh=True):
        pass
    assert (tmp_path / "videos").is_dir()


def test_a_dataset_without_results_takes_other_options(tmp_path: Path) -> None:
    """A typo in a class left a folder that refused the corrected command."""
    path = tmp_path / "set"
    with dataset_job(path, {"classes": ["persn"]}):
        pass
    with dataset_job(path, {"classes": ["person"]}):
        pass
    assert open_dataset(path).options == {"classes": ["person"]}


def test_a_job_killed_while_it_started_over_can_start_again(tmp_path: Path) -> None:
    """Without the header, what was left looked like somebody's folder, and was refused for ever."""
    path = tmp_path / "set"
    assert [*write_all(path, 1, 10)]
    (path / "dataset.json").rename(path / ".dataset.json.begun")
    with dataset_job(path, {}):
        pass
    assert open_dataset(path).segments() == []
    assert seen_by_glob(path) == {}


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match=r"thesis\.tex"), dataset_job(tmp_path, {}, fresh=True):
        pass
    assert [*tmp_path.iterdir()] == [tmp_path / "thesis.tex"]
    with (
        pytest.raises(OutputError, match="there is a file"),
        dataset_job(tmp_path / "thesis.tex", {}),
    ):
        pass


@pytest.mark.parametrize("when", ["checkpoint", "commit", "manifest"])
def test_a_full_disk_is_one_line_and_the_work_is_kept(
    tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with dataset_job(tmp_path / "set", {}) as path:
        writer = SegmentWriter(path, segment(0, 30))
        writer.add(moving(0))
        writer.checkpoint({"n": 1})
        writer.add(moving(1))
        with monkeypatch.context() as patch:
            if when == "manifest":
                patch.setattr("pipeline.archive.dataset.writer.write_state", full)
            else:
                patch.setattr("os.fsync", full)
            with pytest.raises(WriteError, match="No space left on device") as caught:
                writer.checkpoint(None) if when == "checkpoint" else writer.commit({})
        assert "\n" not in str(caught.value)
        writer.close()
        assert read_manifests(path) == {}
        remove_orphans(path)
        writer = SegmentWriter(path, segment(0, 30))
        assert writer.resumed is not None
        assert writer.resumed.state == {"n": 1}
        writer.add(moving(1))
        writer.commit({})
    assert len(rows(path, "tracks")) == 6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: data.table("cars"), "no table 'cars'"),
        (lambda data: data.table("tracks", ["x"]), "tracks has no column 'x'"),
        (lambda data: data.table("tracks", camera="gate"), "has no camera 'gate'.*yard"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(whole: Path, call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call(open_dataset(whole))


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_part_that_cannot_be_read_is_one_line(tmp_path: Path, damage: str) -> None:
    assert [*write_all(tmp_path / "set", 1, 10)]
    data = open_dataset(tmp_path / "set")
    part = data.path / data.segments()[0].parts["tracks"].path
    part.unlink() if damage == "gone" else os.truncate(part, 100)
    with pytest.raises(UsageError, match=r"tracks.*parquet: (is missing|cannot be read)") as caught:
        data.table("tracks")
    assert "\n" not in str(caught.value)


def test_columns_of_videos_are_checked(tmp_path: Path) -> None:
    with dataset_job(tmp_path / "set", {}) as path:
        writer = SegmentWriter(path, segment(0, 1))
        with pytest.raises(ValueError, match="no such column of videos: colour"):
            writer.commit({"colour": 1})
        with pytest.raises(ValueError, match="status is one of ok, partial, failed"):
            writer.commit({"status": "great"})
        writer.abort()


# -- names ----------------------------------------------------------------------------------------

CAMERAS = [
    "yard", "Einfahrt Süd", "行人", "a/b", "a=b", "50%", "01", "-7", "1e3", "3.50", "true", "NULL",
    "nan", "2024-01-31", "", " ", ".hidden", "dot.", "x" * 300, "ü" * 300,
    "a?b*[c]", 'q"\n\\', "a+b&c",
    "\udcff",
]  # fmt: skip


def test_names_of_folders_are_apart_and_fit_every_file_system() -> None:
    values = [partition_value(camera) for camera in CAMERAS]
    assert all(0 < len(value) < 248 and value.isascii() and "/" not in value for value in values)
    assert len({*values}) == len(values)
    assert partition_value("01") == "cam01"


def test_a_segment_keeps_its_name_and_two_never_share_one() -> None:
    names = [segment_name(camera, "v.mp4", START) for camera in CAMERAS]
    assert len({*names}) == len(names)
    assert segment_name("yard", "v.mp4", START) == names[0]
    assert segment_name("yard", "w.mp4", START) != names[0]
    assert all(len(name) < 100 and Path(name).name == name for name in names)


def test_results_keep_no_picture(tmp_path: Path) -> None:
    """Frame memory is pooled: a slot is used again once nobody refers to its array."""
    with dataset_job(tmp_path / "set", {}) as path:
        writer = SegmentWriter(path, segment(0, 1))
        one: Result = moving(0)
        image = one.frame.image.base
        before = sys.getrefcount(image)
        writer.add(one)
        assert sys.getrefcount(image) == before
        writer.abort()
