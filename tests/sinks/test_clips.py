"""Clips: what they show, how long they are, what they share, and what a kill leaves."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.event_results import UTC, event, result, run_info
from support.event_servers import eventually, webhook

from pipeline.events.store.store import EventStore
from pipeline.sinks import events as plugin
from pipeline.sinks.clips.pre_roll import ClipOptions, PreRollBuffer, PreRollFrame
from pipeline.sinks.clips.recorder import IDLE_S, ClipCallbacks, ClipRecorder

FIVE = {"before_s": 1.0, "after_s": 2.0}


class Run:
    """A sink that is open, with its store; for a file, whose end waits for the encoder."""

    def __init__(self, output: Path, **options: object) -> None:
        self.sink = plugin.build(plugin.Options(**{**FIVE, **options}))  # type: ignore[arg-type]
        self.sink.open(run_info(output, "gate", files=True))
        assert self.sink.store is not None
        self.store: EventStore = self.sink.store

    def frames(self, first: int, last: int, **values: object) -> None:
        for index in range(first, last):
            self.sink.write(result(index, **values))  # type: ignore[arg-type]

    def clips(self) -> list[Path]:
        """The clip of each event, the oldest first."""
        self.sink.close()
        found = [self.store.clip_path(one.id) for one in reversed(self.store.query())]
        assert None not in found, "an event without clip"
        return [path for path in found if path is not None]


def pictures(path: Path) -> tuple[list[float], list[np.ndarray], av.VideoCodecContext]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [float(f.pts * stream.time_base) for f in frames]
        return times, [f.to_ndarray(format="bgr24") for f in frames], stream.codec_context


def test_an_event_says_where_in_its_clip_it_is(tmp_path: Path) -> None:
    """Events that overlap share a clip: the later one was played from 25 s before it happened."""
    run = Run(tmp_path)
    run.frames(0, 30)
    for index in range(30, 70):
        run.sink.write(result(index, *([event(index)] if index in (30, 45, 60) else [])))
    run.frames(70, 100)
    assert len(set(run.clips())) == 1
    offsets = [one.clip_offset_s for one in reversed(run.store.query())]
    assert offsets == pytest.approx([1.0, 2.5, 4.0], abs=0.11)
    told = run.store.query()[0].as_dict()
    assert told["clip_offset_s"] == pytest.approx(4.0, abs=0.11)


def is_faststart(path: Path) -> bool:
    data = path.read_bytes()
    return 0 < data.find(b"moov") < data.find(b"mdat")


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_clips_and_database_are_their_owners_alone(tmp_path: Path) -> None:
    """They show who goes in and out of a house; with the usual umask everybody could read them."""
    before = os.umask(0o022)
    try:
        run = Run(tmp_path)
        run.frames(0, 5)
        run.sink.write(result(5, event(5)))
        run.frames(6, 40)
        rights = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.glob("events.db*")}
        assert rights["events.db"] == 0o600
        assert set(rights.values()) == {0o600}
        (path,) = run.clips()
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


@pytest.mark.slow
def test_a_clip_shows_the_seconds_before_and_after(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.frames(0, 50)
    run.sink.write(result(50, event(50)))
    run.frames(51, 100)
    (path,) = run.clips()
    times, images, context = pictures(path)
    assert context.name == "h264"
    assert context.pix_fmt == "yuv420p"
    assert is_faststart(path)
    assert len(times) == 31  # 4.0 s to 7.0 s
    np.testing.assert_allclose(times, np.arange(31) / 10, atol=1e-3)
    corner = [int(image[110, 150].mean()) for image in images]
    assert corner == pytest.approx([80 + n for n in range(31)], abs=4), "the very frames"


@pytest.mark.slow
def test_an_event_reported_late_is_in_the_middle_of_its_clip(tmp_path: Path) -> None:
    """Zones tell who vanished two seconds after it was last seen."""
    run = Run(tmp_path)
    run.frames(0, 50)
    run.sink.write(result(50, event(30), event(45)))
    run.frames(51, 100)
    first, second = run.clips()
    assert first == second
    times, images, _ = pictures(first)
    assert int(images[0][110, 150].mean()) == pytest.approx(60, abs=4), "from frame 20 on"
    assert times[-1] == pytest.approx(4.5, abs=0.01)  # 2.0 s to 6.5 s


def test_boxes_are_drawn_unless_they_are_not_wanted(tmp_path: Path) -> None:
    for boxes in (True, False):
        run = Run(tmp_path / str(boxes), clip_boxes=boxes)
        run.sink.write(result(0, event(0)))
        run.frames(1, 5)
        _, images, _ = pictures(run.clips()[0])
        edge = images[-1][50:80, 18:23].astype(int)
        coloured = (edge.max(axis=2) - edge.min(axis=2)).max() > 60
        assert coloured == boxes


@pytest.mark.slow
def test_events_that_overlap_share_a_longer_clip(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.frames(0, 50)
    run.sink.write(result(50, event(50), event(50, track_id=2)))
    run.frames(51, 60)
    run.sink.write(result(60, event(60, kind="leave")))
    run.frames(61, 120)
    run.sink.write(result(120, event(120)))
    run.frames(121, 160)
    first, second, third, other = run.clips()
    assert first == second == third != other
    assert pictures(first)[0][-1] == pytest.approx(4.0, abs=0.01)  # 4.0 s to 8.0 s
    assert pictures(other)[0][-1] == pytest.approx(3.0, abs=0.01)


@pytest.mark.slow
def test_events_without_end_make_clips_of_a_minute(tmp_path: Path) -> None:
    """A busy road must not make one file of a day, in which nobody finds anything."""
    run = Run(tmp_path, clip_fps=2.0)
    for index in range(400):
        events = [event(index, pts_s=index / 2)] if index % 4 == 0 else []
        run.sink.write(result(index, *events, fps=2.0))
    paths = list(dict.fromkeys(run.clips()))
    assert len(paths) == 4  # 200 s, each begins a second before its first event
    assert all(pictures(path)[0][-1] <= 60.1 for path in paths)


@pytest.mark.slow
def test_a_file_that_is_read_faster_than_encoded_loses_no_picture(tmp_path: Path) -> None:
    """Cameras lose pictures where the encoder is slow; of a file every one must be there."""
    run = Run(tmp_path, before_s=0, after_s=60, clip_fps=60.0)
    for index in range(1300):
        run.sink.write(result(index, *([event(index)] if index == 0 else []), fps=50.0))
    (path,) = run.clips()
    assert len(pictures(path)[0]) == 1300


def test_pictures_are_made_small_and_fewer(tmp_path: Path) -> None:
    run = Run(tmp_path, clip_width=100, clip_fps=5.0)
    for index in range(60):
        run.sink.write(result(index, *([event(index)] if index == 20 else []), fps=30.0))
    (path,) = run.clips()
    times, images, _ = pictures(path)
    assert images[0].shape[1] == 100
    assert images[0].shape[0] in (75, 76)
    assert np.diff(times).min() > 0.03
    assert len(times) < 15


@pytest.mark.slow
def test_the_memory_of_the_ring_is_bounded(tmp_path: Path) -> None:
    from pipeline.sinks.clips import pre_roll as pre_roll

    ring = pre_roll.PreRollBuffer(60.0, 60.0, 3840)
    noise = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8)
    for index in range(30):
        one = result(index, fps=30.0)
        noisy = type(one.frame)(noise, "gate", index, index / 30, index / 30)
        ring.add(type(one)(noisy, one.detections, one.tracks, {}), always=True)
    held = sum(len(shot.jpeg) for shot in ring.since(0))
    assert 0.5 * pre_roll.MAX_BUFFER_BYTES < held <= pre_roll.MAX_BUFFER_BYTES


@pytest.mark.slow
def test_a_camera_that_falls_silent_still_gets_its_clip(tmp_path: Path) -> None:
    """The after-part never comes when the camera dies: the clip ends by the clock."""
    run = Run(tmp_path)
    run.frames(0, 10)
    run.sink.write(result(10, event(10)))
    eventually(lambda: any(one.clip for one in run.store.query()), "the clip without the camera")
    run.sink.write(result(11, epoch=1))
    assert len(run.clips()) == 1


class Clock:
    """Stands for the module `time`; counts how often it was asked."""

    def __init__(self) -> None:
        self.now_s, self.asked = 0.0, 0

    def monotonic(self) -> float:
        self.asked += 1
        return self.now_s

    def time(self) -> float:
        return self.now_s


@pytest.mark.slow
def test_a_clip_waits_for_pictures_that_seldom_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `max_fps: 0.1` it ended five seconds after its event, before the next picture came."""
    clock = Clock()
    monkeypatch.setattr("pipeline.sinks.clips.recorder.time", clock)
    run = Run(tmp_path, after_s=15.0)
    for index in range(4):
        clock.now_s = 10.0 * index
        run.sink.write(result(index, *[event(index)] * (index == 3), fps=0.1))
    clock.now_s = 39.0
    asked = clock.asked
    eventually(lambda: clock.asked > asked + 1, "a look at the clock")
    run.sink.write(result(4, fps=0.1))
    clock.now_s = 70.0
    eventually(lambda: any(one.clip for one in run.store.query()), "the clip without the camera")
    [clip] = run.clips()
    assert len(pictures(clip)[0]) == 2


def test_a_program_that_was_stopped_for_long_goes_on_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-Z for over a minute while a picture was compressed: all that is kept of its camera was
    let go, but for an entry that ended the thread of clips, and so the run."""
    clock = Clock()
    monkeypatch.setattr("pipeline.sinks.clips.recorder.time", clock)
    failures: list[BaseException] = []
    callbacks = ClipCallbacks(lambda *_: None, lambda *_: None, lambda *_: None)
    recorder = ClipRecorder(ClipOptions(1.0, 2.0, 10.0, 160, boxes=False), tmp_path, callbacks)
    recorder.start(failures.append)
    compress = PreRollBuffer.add

    def stopped(self: PreRollBuffer, *values: Any, **named: Any) -> PreRollFrame | None:
        clock.now_s += 2 * IDLE_S
        return compress(self, *values, **named)

    monkeypatch.setattr(PreRollBuffer, "add", stopped)
    for index in range(2):
        recorder.add(result(index), (), 0.0)
        asked = clock.asked
        eventually(lambda asked=asked: failures or clock.asked > asked + 2, "a look at the clock")
    recorder.close(10)
    assert failures == []


def test_a_changed_picture_size_ends_the_clip_and_nothing_else(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.sink.write(result(0, event(0)))
    run.frames(1, 8)
    run.frames(8, 20, size=(160, 160))
    eventually(lambda: any(one.clip for one in run.store.query()), "the first clip")
    run.sink.write(result(20, event(20), size=(160, 160)))
    run.frames(21, 30, size=(160, 160))
    first, second = run.clips()
    assert pictures(first)[1][0].shape[:2] == (120, 160)
    assert pictures(second)[1][-1].shape[:2] == (160, 160)


def test_times_that_jump_back_at_a_reconnect_do_not_break_a_clip(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.frames(100, 120)
    run.sink.write(result(120, event(120)))
    for index in range(10):
        run.sink.write(result(index, epoch=1))
    (path,) = run.clips()
    times, _, _ = pictures(path)
    assert (np.diff(times) > 0).all()


def test_a_camera_name_makes_no_path(tmp_path: Path) -> None:
    name = "../../etc/pass wd"
    sink = plugin.build(plugin.Options(**FIVE))
    sink.open(run_info(tmp_path / "out", name, files=True))
    store = sink.store
    assert store is not None
    sink.write(result(0, event(0, source=name), source=name))
    sink.close()
    path = store.clip_path(store.query()[0].id)
    assert path is not None
    assert path.parent.parent == tmp_path / "out" / "clips"
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_without_clips_nothing_is_recorded(tmp_path: Path) -> None:
    run = Run(tmp_path, clips=False)
    run.sink.write(result(0, event(0)))
    run.sink.close()
    assert [one.clip for one in run.store.query()] == [False]
    assert not (tmp_path / "clips").exists()


@pytest.mark.slow
def test_targets_get_an_event_at_once_and_its_clip_when_that_is_ready(
    tmp_path: Path,
) -> None:
    """An alarm must not wait for the seconds that follow, and its picture must come by itself."""
    with webhook() as hook:
        hooks = [{"url": f"{hook.url}/a"}, {"url": f"{hook.url}/b", "clips": False}]
        run = Run(tmp_path, webhooks=hooks, public_url="https://cams.example/home/")
        run.sink.write(result(0, event(0)))
        eventually(lambda: len(hook.requests) == 2, "the event, while its clip is recorded")
        run.frames(1, 40)
        (path,) = run.clips()
    told = [json.loads(body) for _, body in hook.requests]
    assert [one["type"] for one in told] == ["event", "event", "clip"]
    assert told[2]["clip_url"] == "https://cams.example/home/api/events/1/clip.mp4"
    assert path == run.store.clip_path(told[2]["id"])


def test_a_disk_that_refuses_clips_costs_the_clip_and_not_the_event(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "clips").write_text("in the way")
    run = Run(tmp_path)
    with caplog.at_level(logging.WARNING, "trackline"):
        run.sink.write(result(0, event(0)))
        run.frames(1, 40)
        eventually(lambda: "clip lost" in caplog.text, "the warning")
    run.sink.close()
    assert [one.clip for one in run.store.query()] == [False]


def recorded(path: Path) -> int:
    """The number of pictures that can be read from a clip that is still being recorded."""
    try:
        return len(pictures(path)[0])
    except (av.FFmpegError, OSError):
        return 0


@pytest.mark.slow
def test_clips_a_kill_left_half_recorded_are_finished_at_the_next_start(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.frames(0, 10)
    run.sink.write(result(10, event(10)))
    run.frames(11, 15)
    eventually(
        lambda: any(
            recorded(tmp_path / "clips" / name) >= 12 for name in run.store.unfinished_clips()
        ),
        "recording",
    )
    # As a kill leaves it: the recording cut off, the row not finished; and one with nothing in it.
    (name,) = run.store.unfinished_clips()
    recording = (tmp_path / "clips" / name).read_bytes()
    run.sink.close()
    store = run.store
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE clips SET finished = 0, bytes = 0")
    (tmp_path / "clips" / name).write_bytes(recording)
    dead = event(99)
    from pipeline.events.store.records import EventRecord

    record = EventRecord.of(dead, UTC)
    store.add([record])
    store.link_clip("gate/dead.mp4", UTC, [record.uid])
    (tmp_path / "clips" / "gate" / "dead.mp4").write_bytes(recording[:300])

    again = Run(tmp_path)
    eventually(lambda: not again.store.unfinished_clips(), "rescued")
    again.sink.close()
    assert [one.clip for one in again.store.query()] == [False, True]
    path = tmp_path / "clips" / name
    assert is_faststart(path)
    assert len(pictures(path)[0]) >= 12
    assert not (tmp_path / "clips" / "gate" / "dead.mp4").exists()
