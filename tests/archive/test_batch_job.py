"""The batch job: ids over seams, nothing twice and nothing lost, whatever ends it and when."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from support.batch_jobs import FRAMES, Killed, job, lay_out, record, rows

from pipeline.archive.batch.options import BatchOptions
from pipeline.archive.dataset.reader import open_dataset
from pipeline.core.errors import ConfigError, OutputError, PipelineError, UsageError

pytest.importorskip("pyarrow")


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> Path:
    """Four recordings of one camera without a gap, two of another, and the dataset they give."""
    root = tmp_path_factory.mktemp("scene")
    lay_out(root, "door", count=4)
    lay_out(root, "yard", count=2)
    progress = job(root)
    assert (progress.files_done, progress.failures) == (6, {})
    return root


@pytest.fixture
def copy(scene: Path, tmp_path: Path) -> Path:
    """The same recordings without the dataset; times of change are kept."""
    for name in ("videos", "det"):
        shutil.copytree(scene / name, tmp_path / name)
    return tmp_path


def ids(found, camera: str = "door") -> list[set[int]]:
    """The track ids of each recording of a camera, in order."""
    by_segment: dict[str, set[int]] = {}
    for row in found["tracks"]:
        if row["camera"] == camera:
            by_segment.setdefault(row["segment"], set()).add(row["track_id"])
    return [by_segment[name] for name in sorted(by_segment)]


def portable(found, root: Path):
    """The rows without where the recordings lie, and the names that depend on it."""
    text = json.dumps(found, default=str).replace(str(root), "")
    for row in found["videos"]:
        stem = Path(row["path"]).stem
        text = text.replace(row["segment"], stem)
    return json.loads(text)


@pytest.mark.slow
def test_ids_go_on_over_seams(scene):
    found = rows(scene)
    assert ids(found) == [{1, 2}, {1, 2, 3}, {1, 2, 3}, {1, 2, 3}]
    assert ids(found, "yard") == [{1, 2}, {1, 2, 3}]
    videos = {row["path"]: row for row in found["videos"]}
    assert [row["status"] for row in videos.values()] == ["ok"] * 6
    assert [row["frames"] for row in videos.values()] == [FRAMES] * 6
    assert [bool(videos[path]["continues"]) for path in sorted(videos)] == [
        False, True, True, True, False, True,
    ]  # fmt: skip


def test_a_track_over_seams_is_one_trajectory(scene):
    trajectories = [row for row in rows(scene)["trajectories"] if row["camera"] == "door"]
    assert sorted(row["track_id"] for row in trajectories) == [1, 2, 3]
    first = next(row for row in trajectories if row["track_id"] == 1)
    assert first["frames"] + first["coasting_frames"] == 4 * FRAMES
    assert first["duration_s"] == pytest.approx(4 - 0.04, abs=0.01)
    assert first["first_segment"] != first["last_segment"]


def test_done_is_not_done_again(scene):
    before = {path: path.stat().st_mtime_ns for path in (scene / "dataset").rglob("*.parquet")}
    progress = job(scene)
    assert (progress.files_done, progress.files_kept, progress.frames) == (6, 6, 0)
    after = {path: path.stat().st_mtime_ns for path in (scene / "dataset").rglob("*.parquet")}
    assert after == before


@pytest.mark.slow
@pytest.mark.parametrize(("every", "checkpoint_s"), [(7, 0.0), (40, 1e9)])
def test_killed_and_resumed_it_is_the_same_dataset(scene, copy, every, checkpoint_s, monkeypatch):
    """Killed again and again, with a checkpoint at every frame and with none at all."""
    monkeypatch.setattr("pipeline.archive.batch.progress.UPDATE_EVERY_S", 0.0)
    kills = 0
    for attempt in range(1, 50):
        left = every * attempt

        def die(update) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise Killed

        try:
            job(copy, on_update=die, checkpoint_s=checkpoint_s)
        except Killed:
            kills += 1
        else:
            break
    assert kills >= 2
    assert portable(rows(copy), copy) == portable(rows(scene), scene)


@pytest.mark.slow
def test_stopped_in_the_middle_of_a_recording_it_goes_on_there(scene, copy, monkeypatch):
    """Ctrl-C makes a checkpoint, whatever the time since the last one."""
    frames: list[int] = []
    monkeypatch.setattr("pipeline.archive.batch.progress.UPDATE_EVERY_S", 0.0)

    def stopped() -> bool:
        return sum(frames) >= 30

    progress = job(copy, on_update=lambda update: frames.append(update.frames), is_stopped=stopped)
    assert 1 <= progress.files_done < 6
    rest = job(copy)
    assert rest.frames + progress.frames == 6 * FRAMES
    assert portable(rows(copy), copy) == portable(rows(scene), scene)


@pytest.mark.slow
def test_two_workers_give_the_same_dataset(scene, copy):
    assert job(copy, workers=2).files_done == 6
    assert portable(rows(copy), copy) == portable(rows(scene), scene)


@pytest.mark.slow
def test_a_recording_that_changed_is_done_anew_with_what_goes_on_from_it(tmp_path):
    """Behind the missing hour everything stays."""
    paths = lay_out(tmp_path, count=6, gap_after=2)
    job(tmp_path)
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "dataset/tracks").rglob("*.parquet")
    }
    record(tmp_path, "door", paths[1].stem, 3 * FRAMES)
    progress = job(tmp_path)
    assert progress.files_kept == 3 + 1
    after = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "dataset/tracks").rglob("*.parquet")
    }
    stayed = sorted(path.name for path in before if after[path] == before[path])
    assert len(stayed) == 4
    found = ids(rows(tmp_path))
    assert not (found[1] | found[2]) & (found[3] | found[4] | found[5])


@pytest.mark.slow
def test_touched_is_not_changed(copy):
    job(copy)
    for path in (copy / "videos").rglob("*.mp4"):
        os.utime(path)
    assert job(copy).files_kept == 6


@pytest.mark.slow
def test_what_is_added_later_goes_on(tmp_path):
    """The last recording is done once more, so that its tracks stay one trajectory."""
    lay_out(tmp_path, count=2)
    job(tmp_path)
    lay_out(tmp_path, count=4)  # the first two are written again, with the same content
    progress = job(tmp_path)
    assert progress.files_kept == 1
    found = rows(tmp_path)
    assert ids(found) == [{1, 2}, {1, 2, 3}, {1, 2, 3}, {1, 2, 3}]
    assert sorted(row["track_id"] for row in found["trajectories"]) == [1, 2, 3]


@pytest.mark.slow
def test_what_is_gone_keeps_its_rows_and_its_place(tmp_path):
    """A dashcam deletes its oldest recordings: the rest is not done anew, and new ones go on."""
    paths = lay_out(tmp_path, count=4)
    job(tmp_path)
    before = rows(tmp_path)
    for path in (paths[0], paths[2]):
        path.unlink()
    assert job(tmp_path).files_kept == 2
    assert rows(tmp_path) == before
    lay_out(tmp_path, count=6)
    for path in (paths[0], paths[2]):
        path.unlink()
    progress = job(tmp_path)
    assert (progress.files, progress.files_kept) == (4, 1)
    found = rows(tmp_path)
    assert ids(found) == [{1, 2}] + [{1, 2, 3}] * 5
    assert sorted(row["track_id"] for row in found["trajectories"]) == [1, 2, 3]


@pytest.mark.slow
def test_what_is_gone_before_a_carried_on_recording_was_done(tmp_path):
    """Only the last recording is left, and one more has come."""
    paths = lay_out(tmp_path, count=2)
    job(tmp_path)
    lay_out(tmp_path, count=3)
    for path in paths:
        path.unlink()
    assert job(tmp_path).frames == FRAMES
    found = ids(rows(tmp_path))
    assert found[:2] == [{1, 2}, {1, 2, 3}]
    assert min(found[2]) > 3, (
        "its state was not kept: tracks are new ones, and ids never come twice"
    )


@pytest.mark.slow
def test_what_was_moved_is_there_once(tmp_path):
    paths = lay_out(tmp_path, count=2)
    job(tmp_path)
    before = rows(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    paths[0].parent.rename(tmp_path / "elsewhere" / "door")
    progress = job(tmp_path, paths=(str(tmp_path / "elsewhere"),))
    assert (progress.files_kept, progress.frames) == (2, 0)
    assert rows(tmp_path) == before


def _renamed(root: Path) -> tuple[str, ...]:
    (root / "videos/door").rename(root / "videos/gate")
    return (str(root / "videos"),)


def _copied_over(root: Path) -> tuple[str, ...]:
    shutil.copytree(root / "videos/door", root / "copies/gate")
    return (str(root / "copies"),)


def _linked(root: Path) -> tuple[str, ...]:
    _renamed(root)
    (root / "videos/gate").rename(root / "gate")
    (root / "link").symlink_to(root / "gate")
    return (str(root / "link"),)


@pytest.mark.parametrize("change", [_renamed, _copied_over, _linked])
@pytest.mark.slow
def test_what_is_found_under_another_cameras_name_stays_under_the_first(change, tmp_path, caplog):
    """A renamed folder was tracked again, and its rows stood beside the old ones."""
    lay_out(tmp_path, count=2)
    job(tmp_path)
    before = rows(tmp_path)
    paths = change(tmp_path)
    for _ in range(2):
        caplog.clear()
        progress = job(tmp_path, paths=paths)
        assert (progress.files, progress.files_kept, progress.frames) == (2, 2, 0)
        assert "2 recordings are in the dataset already as camera door" in caplog.text
        assert "--fresh" in caplog.text
    assert rows(tmp_path) == before


@pytest.mark.slow
def test_cameras_whose_names_were_swapped_are_there_once(tmp_path):
    """Each path holds another content then, and each content has another path."""
    door, yard = lay_out(tmp_path, "door", count=2), lay_out(tmp_path, "yard", count=2)
    job(tmp_path)
    before = rows(tmp_path)
    aside = tmp_path / "aside"
    door[0].parent.rename(aside)
    yard[0].parent.rename(door[0].parent)
    aside.rename(yard[0].parent)
    assert job(tmp_path).frames == 0
    assert rows(tmp_path) == before


@pytest.mark.slow
def test_names_that_move_on_keep_their_rows(tmp_path):
    """The newest recording is always `latest`: its place has a new content, the old one moved."""
    (newest,) = lay_out(tmp_path, count=1)
    job(tmp_path)
    older = newest.with_name("older.mp4")
    newest.rename(older)
    record(tmp_path, "door", newest.stem, 7)
    for frames in (2 * FRAMES, 0):  # the old one's tracks go on in the new one
        assert job(tmp_path).frames == frames
    found = rows(tmp_path)
    assert len(found["videos"]) == 2
    assert len(ids(found)) == 2


@pytest.mark.slow
def test_another_file_of_the_same_size_and_time_is_another(tmp_path):
    """`cp -p` of a recording over another one of the same size was taken for the old one."""
    (path,) = lay_out(tmp_path, count=1)
    status = path.stat()
    job(tmp_path)
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 40
    data[at : at + 8] = bytes(8)
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert job(tmp_path).files_kept == 0


@pytest.mark.slow
def test_known_files_are_not_opened_again(tmp_path, monkeypatch):
    """Each start opened all files with FFmpeg, which a dataset of 100,000 has waited for."""
    lay_out(tmp_path, count=3)
    job(tmp_path)
    opened = []
    probe = "pipeline.archive.batch.grouping.probe"
    monkeypatch.setattr(probe, lambda path, _: opened.append(path))
    assert job(tmp_path).files_kept == 3
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "videos", moved)
    monkeypatch.undo()
    assert job(tmp_path, paths=(str(moved),)).files_kept == 3
    monkeypatch.setattr(probe, lambda path, _: opened.append(path))
    assert job(tmp_path, paths=(str(moved),)).files_kept == 3
    assert opened == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (Path.unlink, "is missing; its recording is tracked anew"),
        (lambda part: os.truncate(part, 100), "has 100 bytes of the "),
        (lambda part: os.truncate(part, part.stat().st_size + 9), "its recording is tracked anew"),
    ],
)
@pytest.mark.slow
def test_a_recording_whose_part_is_damaged_is_tracked_anew(damage, says, scene, copy, caplog):
    """A part that a full disk had cut short was kept, and no reader could open its table."""
    job(copy)
    damage(next(iter((copy / "dataset/tracks/camera=door").rglob("*030401*.parquet"))))
    progress = job(copy)
    assert says in caplog.text
    assert progress.files_kept < 6
    found = rows(copy)
    assert len(found["tracks"]) == len(rows(scene)["tracks"])


@pytest.mark.slow
def test_manifests_without_sizes_are_accepted(tmp_path, caplog):
    """Older ones have none."""
    lay_out(tmp_path, count=2)
    job(tmp_path)
    for path in (tmp_path / "dataset/manifest").iterdir():
        tree = json.loads(path.read_text())
        for part in tree["parts"].values():
            del part["bytes"]
        path.write_text(json.dumps(tree))
    assert job(tmp_path).files_kept == 2
    assert caplog.text == ""


@pytest.mark.slow
def test_a_damaged_part_is_made_anew_under_the_cameras_first_name(tmp_path, caplog):
    """The folder was renamed meanwhile: its rows were called lost, with the recording there."""
    lay_out(tmp_path, count=3)
    job(tmp_path)
    before = rows(tmp_path)
    paths = _renamed(tmp_path)
    next(iter((tmp_path / "dataset/tracks").rglob("*030401*.parquet"))).unlink()
    job(tmp_path, paths=paths)
    assert "its recording is tracked anew" in caplog.text
    assert "lost" not in caplog.text
    found = rows(tmp_path)
    assert len(found["tracks"]) == len(before["tracks"])
    assert {row["camera"] for row in found["tracks"]} == {"door"}
    assert [row["segment"] for row in found["videos"]] == [
        row["segment"] for row in before["videos"]
    ]
    assert job(tmp_path, paths=paths).files_kept == 3


@pytest.mark.slow
def test_a_missing_part_of_a_recording_that_is_gone_is_said(tmp_path, caplog):
    paths = lay_out(tmp_path, count=2)
    job(tmp_path)
    (next(iter((tmp_path / "dataset/events").rglob("*030400*.parquet")))).unlink()
    paths[0].unlink()
    job(tmp_path)
    assert "the rows are lost" in caplog.text
    assert len(open_dataset(tmp_path / "dataset").table("videos")) == 2


@pytest.mark.slow
def test_over_a_gap_ids_go_on_above(tmp_path):
    lay_out(tmp_path, count=4, gap_after=1)
    job(tmp_path)
    assert ids(rows(tmp_path)) == [{1, 2}, {1, 2, 3}, {4, 5, 6}, {4, 5, 6}]


@pytest.mark.parametrize(
    ("tree", "options", "what"),
    [
        ({"tracker": {"max_age_s": 2.0}}, {}, "tracker.max_age_s was 1.5 by default, is 2.0"),
        ({"tracker": "sort"}, {}, 'tracker.kind was "trackline" by default, is "sort" ('),
        ({"run": {"max_frames": 5}}, {}, "run.max_frames was not set, is 5"),
        ({}, {"max_seam_s": 9.0}, "max_seam was 3.0 by default, is 9.0"),
        ({}, {"timezone": "+01:00"}, 'timezone was "UTC", is "+01:00"'),
        ({}, {"group_by": "(?P<camera>door|yard)"}, 'group_by was "folder"'),
    ],
)
def test_other_options_are_refused_by_name(scene, tree, options, what):
    with pytest.raises(UsageError) as caught:
        job(scene, tree=tree, **options)
    assert what in str(caught.value)
    assert "--fresh" in str(caught.value)
    assert "\n" not in str(caught.value)
    # What follows from the tracker's choice was in it, as "detector.conf was 0.1".
    assert str(caught.value).count(" was ") == 2, "only what the user set"


@pytest.mark.slow
def test_defaults_that_an_update_changed_are_named(copy):
    """Nobody set any of them: all that differ are named, without a word about who set them."""
    job(copy)
    header = copy / "dataset/dataset.json"
    tree = json.loads(header.read_text())
    tree["options"]["tracker.max_age_s"] = 0.5
    header.write_text(json.dumps(tree))
    with pytest.raises(UsageError, match=r"max_age_s was 0\.5 by default, is 1\.5 by default"):
        job(copy)
    del tree["written"]  # an older version's
    header.write_text(json.dumps(tree))
    with pytest.raises(UsageError, match=r"max_age_s was 0\.5, is 1\.5 by default"):
        job(copy)


@pytest.mark.slow
def test_fresh_starts_over(copy):
    job(copy, tree={"tracker": "sort"})
    progress = job(copy, fresh=True)
    assert (progress.files_kept, progress.files_done) == (0, 6)
    assert job(copy).files_kept == 6


BAD = {
    "zero bytes": (b"", "empty"),
    "no video": (b"just text", "not a video"),
    "half of one": (None, "not a video"),
}


@pytest.mark.parametrize(("content", "why"), BAD.values(), ids=BAD)
@pytest.mark.slow
def test_what_cannot_be_read_is_set_aside(content, why, tmp_path):
    """The job goes on, says why, and does not try again; tracks end there."""
    paths = lay_out(tmp_path, count=4)
    paths[1].write_bytes(paths[1].read_bytes()[:400] if content is None else content)
    progress = job(tmp_path)
    assert progress.files_kept == 0
    assert [*progress.failures] == [str(paths[1])]
    assert why in progress.failures[str(paths[1])]
    assert str(paths[1]) not in progress.failures[str(paths[1])], "the path is said beside it"
    again = job(tmp_path)
    assert (again.files_kept, again.failures, again.failed_before) == (4, {}, 1)
    found = rows(tmp_path)
    assert [row["reason"] for row in found["videos"] if row["reason"]] == [
        *progress.failures.values()
    ]
    assert [row["status"] for row in sorted(found["videos"], key=lambda row: row["path"])] == [
        "ok", "failed", "ok", "ok",
    ]  # fmt: skip
    assert ids(found) == [{1, 2}, {3, 4, 5}, {3, 4, 5}]
    assert len(found["trajectories"]) == 5


@pytest.mark.slow
def test_a_recording_that_breaks_off_is_kept_up_to_there(tmp_path):
    """What it lost counts into the gap: tracks do not go on over it."""
    paths = lay_out(tmp_path, count=2)
    long = record(tmp_path, "door", paths[0].stem, 0, frames=200)
    paths[1].rename(paths[1].with_name("door_20240102_030408.mp4"))
    shutil.move(
        tmp_path / "det" / f"{paths[1].stem}.txt", tmp_path / "det/door_20240102_030408.txt"
    )
    data = bytearray(long.read_bytes())
    # The index stays, at the end, and most pictures are zeros.
    at = data.index(b"mdat")
    end = data.index(b"moov")
    data[at + (end - at) // 3 : end - 8] = bytes(end - 8 - at - (end - at) // 3)
    long.write_bytes(data)
    progress = job(tmp_path)
    (reason,) = progress.failures.values()
    assert "damaged" in reason or "missing" in reason
    videos = sorted(rows(tmp_path)["videos"], key=lambda row: row["path"])
    assert [row["status"] for row in videos] == ["partial", "ok"]
    assert videos[0]["reason"] == reason
    assert str(long) not in reason
    assert 0 < videos[0]["frames"] < 200
    assert videos[0]["duration_s"] < 2, "not the 8 s that the file says"
    assert videos[1]["continues"] == ""
    again = job(tmp_path)
    assert (again.failures, again.failed_before) == ({}, 1)


@pytest.mark.parametrize(
    ("copy", "kept"),
    [
        ("door/door_20240102_050000.mp4", "door/door_20240102_030400.mp4"),  # the first by name
        ("backup/a.mp4", "door/door_20240102_030400.mp4"),  # the one with a time
        ("again/copy of it.mp4", "door/door_20240102_030400.mp4"),
        ("backup/door_20240102_030400.mp4", "backup/door_20240102_030400.mp4"),
    ],
)
@pytest.mark.slow
def test_of_copies_the_one_with_a_time_is_taken(copy, kept, tmp_path, caplog):
    """Of equal files the first by name was taken, though its name has no time."""
    (original,) = lay_out(tmp_path, count=1)
    path = tmp_path / "videos" / copy
    path.parent.mkdir(exist_ok=True)
    shutil.copy(original, path)
    taken = tmp_path / "videos" / kept
    left = path if taken == original else original
    for _ in range(2):
        caplog.clear()
        assert job(tmp_path).files == 1
        assert f"{left}: has the same content as {taken}; left out as a copy" in caplog.text
    assert [row["path"] for row in rows(tmp_path)["videos"]] == [str(taken)]


@pytest.mark.slow
def test_of_copies_the_one_that_is_in_the_dataset_is_taken(tmp_path):
    (original,) = lay_out(tmp_path, count=1)
    unnamed = original.rename(original.with_name("street.mp4"))
    shutil.copy(tmp_path / "det" / f"{original.stem}.txt", tmp_path / "det/street.txt")
    job(tmp_path)
    before = rows(tmp_path)
    shutil.copy(unnamed, original)
    assert job(tmp_path).frames == 0
    assert rows(tmp_path) == before


def test_two_jobs_on_one_dataset_are_one_too_many(scene):
    """The second ends at once with a line that names the first."""

    def second(_) -> None:
        with pytest.raises(OutputError, match=f"process {os.getpid()}"):
            job(scene)
        seen.append(1)

    seen: list[int] = []
    job(scene, on_update=second)
    assert seen


@pytest.mark.slow
def test_a_newer_schema_is_not_touched(copy):
    job(copy)
    header = copy / "dataset/dataset.json"
    tree = json.loads(header.read_text())
    header.write_text(json.dumps({**tree, "schema": 99, "program": "trackline 9.9"}))
    before = header.read_bytes()
    with pytest.raises(UsageError, match=r"schema 99.*trackline 9\.9"):
        job(copy)
    assert header.read_bytes() == before


@pytest.mark.parametrize("place", ["/proc/nowhere/dataset", "a file"])
def test_where_nothing_can_be_written_is_one_line(place, scene, tmp_path):
    path = Path(place)
    if place == "a file":
        path = tmp_path / "file"
        path.write_text("x")
    with pytest.raises(PipelineError) as caught:
        job(scene, dataset=str(path))
    assert "\n" not in str(caught.value)
    assert str(path).rpartition("/")[0] in str(caught.value)


@pytest.mark.slow
def test_zones_give_events_over_seams(copy):
    """The line is crossed in the second recording; in front of it the walker was in the first."""
    zones = copy / "zones.yaml"
    zones.write_text(
        "cameras:\n  door:\n    size: [128, 96]\n"
        "    zones:\n    - name: all\n      points: [[1, 1], [127, 1], [127, 95], [1, 95]]\n"
        "    lines:\n    - name: gate\n      points: [[35, 0], [35, 96]]\n"
    )
    job(copy, tree={"zones": str(zones)})
    events = rows(copy)["events"]
    assert {event["camera"] for event in events} == {"door"}
    crossed = [event for event in events if event["kind"] == "cross" and event["track_id"] == 1]
    assert [event["segment"][:30] for event in crossed] == [crossed[0]["segment"][:30]]
    entered = [event["track_id"] for event in events if event["kind"] == "enter"]
    assert sorted(entered) == [1, 2, 3], "nobody enters again at a seam"


def test_zones_of_other_cameras_are_refused(scene, tmp_path):
    zones = tmp_path / "zones.yaml"
    zones.write_text("cameras:\n  gate:\n    lines:\n    - {name: a, points: [[0, 0], [9, 9]]}\n")
    with pytest.raises(ConfigError, match=r"want a camera of this job \(door, yard\)"):
        job(scene, "elsewhere", tree={"zones": str(zones)})


@pytest.mark.slow
def test_annotated_videos_lie_beside(copy):
    job(copy, save_video=True)
    videos = sorted((copy / "dataset/annotated").rglob("*.mp4"))
    assert len(videos) == 6
    segments = {row["segment"] for row in rows(copy)["videos"]}
    assert {path.stem for path in videos} == segments
    assert not [*(copy / "dataset/.work").glob("*.video")]


@pytest.mark.slow
def test_without_tracking_there_are_boxes_without_ids(copy):
    job(copy, tree={"tracker": "none"})
    found = rows(copy)
    assert {row["track_id"] for row in found["tracks"]} == {0}
    assert found["trajectories"] == []


@pytest.mark.slow
def test_skipped_detections_resume_at_the_recordings_beginning(scene, copy):
    tree = {"run": {"detect_every": 3}}
    job(copy, dataset="whole", tree=tree)

    def die(update) -> None:
        if update.kind == "done":
            raise Killed

    for _ in range(6):
        with pytest.raises(Killed):
            job(copy, on_update=die, tree=tree, checkpoint_s=0.0)
    job(copy, tree=tree)
    assert rows(copy) == rows(copy, "whole")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"paths": ()}, "want videos"),
        ({"max_seam_s": -1.0}, "--max-seam"),
        ({"workers": 0}, "--workers"),
        ({"timezone": "Mars"}, "--timezone"),
    ],
)
def test_useless_options_are_refused(options, why):
    with pytest.raises(UsageError, match=why):
        BatchOptions(**{"paths": ("x",), "dataset": Path("y"), **options})
