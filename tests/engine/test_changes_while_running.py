"""Sources, detector, trackers and watchers that change while the run goes on, by any thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.fakes import (
    FakeDetector,
    FakeOverlapping,
    FakeSink,
    FakeSource,
    FakeTracker,
    Setup,
    frames,
)
from support.live_fakes import Camera, Live, until
from support.threads import Latch

from pipeline.core.data import ClassNames, Event, Frame, Result, Tracks
from pipeline.core.errors import ModelError, PipelineError, SourceBrokenError, SourceError
from pipeline.core.run_info import SourceInfo
from pipeline.trackers import bytetrack, sort

pytestmark = pytest.mark.timeout(60)


# -- sources ------------------------------------------------------------------------------------


def test_a_server_begins_empty_and_cameras_come_and_go() -> None:
    with Live() as live:
        assert live.pipeline.cameras() == {}
        live.pipeline.add_source(Camera("door"))
        live.wait_more("door")
        live.pipeline.add_source(Camera("yard"))
        live.wait_more("yard")
        assert list(live.pipeline.cameras()) == ["door", "yard"]
        live.pipeline.remove_source("door")
        assert list(live.pipeline.cameras()) == ["yard"]
        live.wait_more("yard")
        live.pipeline.remove_source("yard")
        assert live.pipeline.cameras() == {}
        live.pipeline.add_source(Camera("hall"))
        live.wait_more("hall")
    assert set(live.pipeline.stats.report()["sources"]) == {"door", "yard", "hall"}


def test_a_recording_that_is_added_keeps_its_own_time() -> None:
    """Its rows got the machine's clock, as if it were a camera: sinks knew the first sources only.

    It stays known after it was removed: results of it may still be on their way.
    """

    class Recording(FakeSource):
        def __init__(self, name: str, start_utc: float | None) -> None:
            super().__init__(name, frames(2))
            self._start_utc = start_utc

        def open(self) -> SourceInfo:
            return replace(super().open(), start_utc=self._start_utc)

    with Live(Camera("door")) as live:
        live.wait_more("door")
        live.pipeline.add_source(Recording("dated", 1000.0))
        live.pipeline.add_source(Recording("undated", None))
        until(lambda: live.count("dated") == 2)
        run = live.sink.run
        assert run is not None
        for _ in range(2):
            assert run.utc_of("dated", 2.5, 7.0) == 1002.5
            assert run.utc_of("undated", 2.5, 7.0) is None
            if "dated" in live.pipeline.cameras():
                live.pipeline.remove_source("dated")
        assert run.utc_of("door", 2.5, 7.0) == run.utc_at_monotonic_zero + 7.0
        live.pipeline.add_source(Camera("dated"))
        assert run.utc_of("dated", 2.5, 7.0) == run.utc_at_monotonic_zero + 7.0


def test_a_run_ends_with_its_last_source_unless_it_waits_for_others() -> None:
    live = Live(Camera("door"), wait_for_sources=False)
    with live:
        live.wait_more("door")
        live.pipeline.remove_source("door")
        until(lambda: not live.is_running)


def test_a_source_added_again_continues_its_counts_and_ids() -> None:
    """With ids and indices from the start again, one table would hold two tracks of one id."""
    trackers = lambda: sort.build(sort.Options(confirm_s=0))  # noqa: E731
    with Live(Camera("door"), new_tracker=trackers) as live:
        live.wait_more("door")
        live.pipeline.remove_source("door")
        live.pipeline.add_source(Camera("door"))
        until(lambda: any(result.frame.epoch for result in live.results["door"]))
    results = live.results["door"]
    assert [r.frame.index for r in results] == sorted({r.frame.index for r in results})
    # What was on its way when the source left still arrives: the epoch tells the two apart.
    ids = [(r.frame.epoch, i) for r in results for i in r.tracks.track_id.tolist()]
    assert set(ids) == {(0, 1), (1, 2)}


def test_names_stay_unique_and_unknown_ones_are_reported() -> None:
    with Live(Camera("door")) as live:
        with pytest.raises(ValueError, match="'door' is there"):
            live.pipeline.add_source(Camera("door"))
        with pytest.raises(ValueError, match=r"no source 'gate' \(there are: door\)"):
            live.pipeline.remove_source("gate")
        with pytest.raises(ValueError, match="no source 'gate'"):
            live.pipeline.set_watcher("gate", None)
        live.wait_more("door")


def test_a_file_that_comes_later_is_opened_at_once_or_not_taken() -> None:
    with Live(Camera("door")) as live:
        bad = FakeSource("clip", SourceError("clip.mp4: missing"))
        with pytest.raises(SourceError, match="missing"):
            live.pipeline.add_source(bad)
        assert bad.closed == 1
        assert list(live.pipeline.cameras()) == ["door"]
        live.pipeline.add_source(FakeSource("clip", frames(30)))
        until(lambda: live.count("clip") == 30)
        until(lambda: live.status("clip").state == "ended")


def test_what_comes_later_does_not_end_the_run_by_failing() -> None:
    with Live(Camera("door"), wait_for_sources=False) as live:
        live.pipeline.add_source(FakeSource("clip", [*frames(3), KeyError("x")]))
        until(lambda: live.status("clip").state == "ended")
        assert live.status("clip").error == "source clip: KeyError: 'x'"
        live.wait_more("door")


def test_a_camera_that_hangs_can_be_removed() -> None:
    door = Camera("door")
    with Live(door, Camera("yard"), patience_s=0.05) as live:
        live.wait_more("door")
        door.hung = True
        live.pipeline.remove_source("door")
        live.pipeline.add_source(Camera("door"))
        live.wait_more("door")
        door.hung = False
        until(lambda: door.closed)
        live.wait_more("door")


def test_a_broken_file_is_reported_after_its_removal() -> None:
    live = Live(FakeSource("clip", [*frames(3), SourceBrokenError("clip: breaks off")]))
    with live:
        until(lambda: live.status("clip").state == "ended")
        live.pipeline.remove_source("clip")
        live.pipeline.stop()
        until(lambda: live.error)
        assert isinstance(live.error, SourceBrokenError)
        live.error = None


def test_nothing_is_added_once_the_run_is_over() -> None:
    setup = Setup(FakeSource("a", frames(3)))
    setup.pipeline.run()
    with pytest.raises(PipelineError, match="the run is over"):
        setup.pipeline.add_source(FakeSource("b", frames(3)))
    late = FakeDetector()
    with pytest.raises(PipelineError, match="the run is over"):
        setup.pipeline.replace_detector(late)
    assert late.closed == 1


def test_the_thread_that_takes_the_results_may_change_sources() -> None:
    """Inference waits for that very thread when the queue of results is full."""
    setup = Setup(FakeSource("a", frames(400)))
    taken = []
    for result in setup.pipeline.results():
        taken.append(result.frame.source)
        if len(taken) == 50:
            time.sleep(0.02)  # for the queue to fill
            setup.pipeline.add_source(FakeSource("b", frames(40)))
        if len(taken) == 100:
            time.sleep(0.02)
            setup.pipeline.remove_source("a")
    setup.check_end()
    assert taken.count("b") == 40
    assert setup.stats("a").dropped["removed"] > 0


# -- detector -------------------------------------------------------------------------------------


class Naming(FakeDetector):
    """Calls what it finds by a name of its own."""

    def __init__(self, name: str, batch_size: int = 2) -> None:
        super().__init__(batch_size=batch_size)
        self._name = name

    def open(self, *, prefer_latency: bool = False) -> ClassNames:
        super().open(prefer_latency=prefer_latency)
        return {0: self._name}


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.slow
def test_a_detector_is_swapped_between_batches(overlap: bool) -> None:
    """With batches in flight, the old one answers those before it is closed."""
    first: FakeDetector = FakeOverlapping(3, batch_size=2) if overlap else Naming("person")
    second, third = Naming("car"), FakeOverlapping(2)
    setup = Setup(FakeSource("a", frames(300)), FakeSource("b", frames(300)), detector=first)
    seen: list[Result] = []
    for result in setup.pipeline.results():
        seen.append(result)
        if len(seen) == 100:
            setup.pipeline.replace_detector(second)
        if len(seen) == 300:
            setup.pipeline.replace_detector(third)
    setup.detector = third
    setup.check_end()
    assert first.closed == second.closed == 1
    names = [dict(result.class_names)[0] for result in seen]
    assert names == sorted(names, key=["person", "car", ""].index) or names[-1] == "person"
    assert "car" in names
    for result in seen:
        assert len(result.detections) == 1
    assert len(seen) == 600


class Large(FakeSource):
    """A file whose pictures are larger than what may be on its way in bytes."""

    def open(self) -> SourceInfo:
        return replace(super().open(), width=4000, height=3000)

    def read(self) -> Frame | None:
        frame = super().read()
        return frame and replace(frame, image=np.broadcast_to(frame.image[:1, :1], (3000, 4000, 3)))


@pytest.mark.parametrize("kind", ["batch", "in flight"])
def test_a_detector_that_takes_more_at_once_gets_more(kind: str) -> None:
    """Pictures of a file on their way stayed bounded by what the detector of the start took: a
    detector with batches of eight got two at a time."""

    def wait_for(grabbed: int) -> None:
        until(lambda: setup.stats("a").grabbed >= grabbed, "no more is grabbed")

    if kind == "batch":
        fresh: FakeDetector = FakeDetector(lambda _, __: wait_for(40), batch_size=8)
    else:  # of two that were grabbed since, one is in the queue
        fresh = FakeOverlapping(8, on_submit=lambda n: wait_for(min(33 + n, 40)))
    release = Latch()
    source = Large("a", [*frames(30), release, *frames(10)])
    setup = Setup(source, detector=FakeDetector(batch_size=1), ring_megabytes=2**10)
    for result in setup.pipeline.results():
        if result.frame.index == 29:
            setup.pipeline.replace_detector(fresh)
            release.open()
    setup.detector = fresh
    setup.check_end()
    assert sum(map(len, fresh.batches)) == 10


def test_a_detector_that_does_not_open_changes_nothing() -> None:
    bad = FakeDetector()
    bad.open_error = ModelError("no.onnx: missing")
    with Live(Camera("door")) as live:
        with pytest.raises(ModelError, match="missing"):
            live.pipeline.replace_detector(bad)
        live.wait_more("door")
    assert bad.closed == 1
    assert live.detector.closed == 1


def test_an_old_detector_that_cannot_close_does_not_end_the_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Live(Camera("door")) as live:
        live.detector.close_error = OSError("device lost")
        live.pipeline.replace_detector(FakeDetector())
        live.wait_more("door")
    assert "device lost" in caplog.text


def test_a_swap_never_waits_for_a_camera() -> None:
    door = Camera("door")
    with Live(door) as live:
        live.wait_more("door")
        door.hung = True
        live.pipeline.replace_detector(fresh := FakeDetector())
        until(lambda: live.detector.closed == 1)  # once its last batch is collected
        door.hung = False
        live.wait_more("door")
    assert fresh.batches
    assert fresh.closed == 1


# -- trackers and watchers ------------------------------------------------------------------------


def test_trackers_are_replaced_for_all_sources_also_those_to_come() -> None:
    made: list[object] = []

    def bytes_() -> object:
        made.append(bytetrack.build(bytetrack.Options(confirm_s=0)))
        return made[-1]

    new_tracker = lambda: sort.build(sort.Options(confirm_s=0))  # noqa: E731
    with Live(Camera("door"), Camera("yard"), new_tracker=new_tracker) as live:
        live.wait_more("door")
        live.wait_more("yard")
        live.pipeline.replace_tracker(bytes_)  # type: ignore[arg-type]
        live.wait_more("door")
        live.wait_more("yard")
        live.pipeline.add_source(Camera("hall"))
        live.wait_more("hall")
    for name, expected in (("door", [1, 2]), ("yard", [1, 2]), ("hall", [1])):
        ids = [i for r in live.results[name] for i in r.tracks.track_id.tolist()]
        assert sorted(set(ids)) == expected
        assert ids == sorted(ids)


def test_cameras_go_on_while_what_trackers_share_is_loaded() -> None:
    """A network to be downloaded held up every camera for as long as that took."""
    loaded: list[str] = []

    class Loading(FakeTracker):
        def open(self) -> None:
            if not loaded:
                live.wait_more("door")
            loaded.append("open")

        def close(self) -> None:
            loaded.append("close")

    with Live(Camera("door")) as live:
        live.wait_more("door")
        live.pipeline.replace_tracker(Loading)
        assert loaded == ["open", "open", "close"]
    assert loaded[3:] == ["close"]


class Counting:
    """An event for every frame."""

    def __init__(self) -> None:
        self.resets = 0

    def watch(self, frame: Frame, tracks: Tracks, class_names: ClassNames) -> Sequence[Event]:
        row = (0.0, 0.0, 1.0, 1.0)
        return [Event("enter", frame.source, "yard", "", 1, 0, "", frame.index, 0, 0, row)]

    def reset(self) -> None:
        self.resets += 1


def test_watchers_come_with_their_source_and_can_be_changed() -> None:
    watchers: dict[str, Counting] = {}

    def new_watcher(name: str) -> Counting | None:
        return None if name == "yard" else watchers.setdefault(name, Counting())

    door = Camera("door")
    with Live(door, Camera("yard"), new_watcher=new_watcher) as live:
        live.wait_more("door")
        live.wait_more("yard")
        door.plugged = False
        until(lambda: live.status("door").state == "lost")
        door.plugged = True
        live.wait_more("door")
        assert watchers["door"].resets == 1
        live.pipeline.set_watcher("door", None)
        live.pipeline.set_watcher("yard", Counting())
        live.wait_more("door", 10)
        live.wait_more("yard", 10)
    for name, first, last in (("door", 1, 0), ("yard", 0, 1)):
        assert len(live.results[name][0].events) == first
        assert len(live.results[name][-1].events) == last
    told = live.results["door"][0].events[0]
    assert (told.source, told.index) == ("door", live.results["door"][0].frame.index)
    assert "watch" in live.pipeline.stats.report()["stages"]


@pytest.mark.slow
def test_changes_under_load_keep_the_counts_and_the_run() -> None:
    """Everything at once, for as long as a few hundred frames take."""
    files = [FakeSource(f"file{i}", frames(300)) for i in range(2)]
    with Live(*files, Camera("door", 0.001)) as live:
        for count in range(25):
            live.pipeline.add_source(Camera(f"extra{count}", 0.001))
            detector = FakeOverlapping(3, batch_size=2) if count % 2 else FakeDetector()
            live.pipeline.replace_detector(detector)
            live.pipeline.replace_tracker(FakeTracker)
            live.pipeline.set_watcher("door", Counting() if count % 3 else None)
            if count >= 3:
                live.pipeline.remove_source(f"extra{count - 3}")
            live.wait_more("door", 1)
        until(lambda: all(live.count(each.name) == 300 for each in files))
    assert detector.closed == 1
    assert live.detector.closed == 1


# -- viewers --------------------------------------------------------------------------------------


class Viewer(FakeSink):
    may_drop = True


def test_a_slow_viewer_blocks_nothing_and_gets_the_newest() -> None:
    stuck = Latch()
    shown: list[Result] = []

    def show(result: Result) -> None:
        shown.append(result)
        stuck()

    viewer = Viewer(show, heavy=True)
    setup = Setup(FakeSource("a", frames(300)), sinks={"page": viewer, "table": FakeSink()})
    for result in setup.pipeline.results():
        if result.frame.index == 299:
            stuck.open()
    setup.check_end()
    assert setup.sinks["table"].written["a"] == list(range(300))
    assert shown[-1].frame.index == 299
    assert len(shown) <= 3
    replaced = sum(result.dropped_before.get("replaced", 0) for result in shown)
    assert len(shown) + replaced == 300


def test_a_viewer_is_shown_what_a_slow_disk_has_not_written() -> None:
    """Results for the page waited behind those for the video."""
    disk, shown = Latch(), Latch()
    viewer = Viewer(lambda result: shown.open() if result.frame.index >= 8 else None, heavy=True)
    setup = Setup(
        FakeSource("a", frames(300)),
        detector=FakeDetector(batch_size=1),
        sinks={"video": FakeSink(disk, heavy=True), "page": viewer},
    )
    runner = threading.Thread(target=setup.pipeline.run)
    runner.start()
    shown()
    assert not setup.sinks["video"].written
    disk.open()
    runner.join(15)
    setup.check_end()


def test_events_of_replaced_results_reach_the_viewer() -> None:
    stuck, shown = Latch(), []

    def show(result: Result) -> None:
        shown.extend(result.events)
        stuck()

    with Live(
        Camera("door", 0.001),
        sinks={"page": Viewer(show, heavy=True)},
        new_watcher=lambda _: Counting(),
    ) as live:
        live.wait_more("door", 40)
        stuck.open()
        live.wait_more("door")
    assert [e.index for e in shown] == [r.frame.index for r in live.results["door"]]


def test_a_viewer_that_fails_ends_the_run() -> None:
    def show(_: object) -> None:
        raise OSError("page gone")

    setup = Setup(FakeSource("a", frames(9000)), sinks={"page": Viewer(show, heavy=True)})
    with pytest.raises(PipelineError, match="sink page: OSError: page gone"):
        setup.pipeline.run()
    setup.check_end()
