"""The engine when all goes well: order, completeness and pace."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.fakes import FakeDetector, FakeSink, FakeSource, Setup, boxes, camera, frames
from support.live_fakes import until
from support.threads import Latch

from pipeline.core.data import Frame, Result
from pipeline.core.frame_pool import FramePool
from pipeline.core.run_info import SourceInfo
from pipeline.engine import Pipeline, RunOptions
from pipeline.engine.read_ahead import max_moving

pytestmark = pytest.mark.timeout(60)


def test_every_frame_of_every_file_comes_once_and_in_order() -> None:
    lengths = {"short": 3, "long": 90, "empty": 0, "middle": 41}
    setup = Setup(
        *(FakeSource(name, frames(n)) for name, n in lengths.items()),
        sinks={"table": FakeSink(), "video": FakeSink(heavy=True)},
    )
    seen: dict[str, list[int]] = {name: [] for name in lengths}
    for result in setup.pipeline.results():
        seen[result.frame.source].append(result.frame.index)
        assert len(result.detections) == 1
        assert result.class_names == {0: "person"}
        assert {"decode", "infer", "track"} <= set(result.stage_ms)
    setup.check_end()
    assert seen == {name: list(range(n)) for name, n in lengths.items()}
    for sink in setup.sinks.values():
        assert sink.written == {name: list(range(n)) for name, n in lengths.items() if n}
    assert all(not stats.dropped.total() for stats in setup.pipeline.stats.sources.values())


def test_each_source_has_its_own_tracker_which_sees_every_frame() -> None:
    setup = Setup(FakeSource("a", frames(7)), FakeSource("b", frames(5)))
    setup.pipeline.run()
    assert [tracker.seen for tracker in setup.trackers] == [
        [("a", 0, i) for i in range(7)],
        [("b", 0, i) for i in range(5)],
    ]
    assert not any("reset" in tracker.calls for tracker in setup.trackers)


def test_a_single_file_fills_the_batch() -> None:
    all_read = Latch()
    detector = FakeDetector(lambda *_: all_read(), batch_size=4)
    setup = Setup(FakeSource("a", [*frames(13), all_read.open]), detector=detector)
    setup.pipeline.run()
    first, *rest = [len(batch) for batch in detector.batches]
    assert all(size == 4 for size in rest[:-1])
    assert first + sum(rest) == 13
    assert len(rest) == -(-(13 - first) // 4)


@pytest.mark.parametrize(
    ("sources", "lone"),
    [
        ([camera("door", frames(1))], True),
        ([FakeSource("file", frames(1))], False),
        ([camera("door", frames(1)), camera("yard", frames(1))], False),
    ],
)
def test_only_a_single_camera_prefers_latency(sources: list[FakeSource], lone: bool) -> None:
    setup = Setup(*sources)
    setup.pipeline.run()
    assert setup.detector.prefer_latency is lone


def test_light_sinks_are_written_on_the_callers_thread_and_heavy_ones_on_their_own() -> None:
    light, heavy = FakeSink(), FakeSink(heavy=True)
    setup = Setup(FakeSource("a", frames(6)), sinks={"window": light, "video": heavy})
    setup.pipeline.run()
    assert light.threads == {threading.current_thread().name}
    assert heavy.threads == {"sink video"}


def test_sinks_get_the_files_and_classes(tmp_path: Path) -> None:
    setup = Setup(FakeSource("a", frames(2)), camera("door", frames(1)), output=tmp_path)
    setup.pipeline.run()
    run = setup.sinks["table"].run
    assert run is not None
    assert (run.output, run.class_names) == (tmp_path, {0: "person"})
    assert run.sources["a"].frame_count == 2
    assert set(setup.pipeline.source_infos) == {"a", "door"}


def test_boxes_no_filter_can_digest_never_reach_the_tracker() -> None:
    inf, nan = np.inf, np.nan
    bad = boxes(
        (0, 0, 4, 4),
        (nan, 0, 4, 4),
        (0, 0, inf, 4),
        (-inf, 0, 4, 4),
        (2, 2, 2, 4),
        (0, 3, 4, 3),
        (4, 0, 0, 4),
        (1, 1, 3, 3),
        (0, 0, 2, 2),
    )
    bad.score[8] = nan
    setup = Setup(
        FakeSource("a", frames(2)),
        FakeSource("b", frames(1)),
        detector=FakeDetector(
            lambda _, batch: [bad if f.source == "a" else boxes((0, 0, 1, 1)) for f in batch]
        ),
    )
    results = list(setup.pipeline.results())
    expected = [[0, 0, 4, 4], [1, 1, 3, 3]]
    assert [rows.tolist() for rows in setup.trackers[0].rows] == [expected] * 2
    assert {len(r.detections) for r in results if r.frame.source == "a"} == {2}
    assert (setup.stats("a").rejected_boxes, setup.stats("b").rejected_boxes) == (14, 0)


@pytest.mark.parametrize("limit", [1, 7, 30, 31])
def test_max_frames_counts_for_each_source(limit: int) -> None:
    setup = Setup(FakeSource("a", frames(30)), FakeSource("b", frames(5)), max_frames=limit)
    setup.pipeline.run()
    setup.check_end()
    assert setup.sinks["table"].written == {
        "a": list(range(min(limit, 30))),
        "b": list(range(min(limit, 5))),
    }


def test_a_slow_heavy_sink_holds_the_run_back_and_loses_nothing() -> None:
    latch = Latch()
    slow = FakeSink(latch, heavy=True)
    source = FakeSource("a", [*frames(16), latch.open, *frames(80)])
    setup = Setup(source, sinks={"slow": slow, "table": FakeSink()})
    setup.pipeline.run()
    setup.check_end()
    assert slow.written["a"] == setup.sinks["table"].written["a"] == list(range(96))


def test_the_queues_of_a_run_are_bounded() -> None:
    """With its only sink blocked, a file is read only as far as the rings reach."""
    blocked = Latch()
    most = 1 + 4 + 1 + 8 + 2 + 4 + 1  # written, queued, in hand, results, batch, ring, grabbed

    def reach() -> None:
        assert blocked.is_open, "more frames are on their way than the queues may hold"

    setup = Setup(
        FakeSource("a", [*frames(most), reach, *frames(500 - most)]),
        sinks={"slow": FakeSink(blocked, heavy=True)},
        detector=FakeDetector(batch_size=2),
        ring_frames=4,
    )
    runner = threading.Thread(target=setup.pipeline.run)
    runner.start()
    # One frame less where the last batch was of one.
    until(lambda: setup.stats("a").grabbed >= most - 1)
    blocked.open()
    runner.join()
    setup.check_end()
    assert setup.stats("a").delivered == 500


@pytest.mark.parametrize(
    ("shape", "megabytes", "frames_", "capacity"),
    [
        ((4, 6), 64, 16, 16),
        ((4, 6), 64, 1, 1),
        ((1080, 1920), 64, 16, 8),  # what the detector takes in two goes
        ((576, 768), 64, 16, 8),
        ((2160, 3840), 64, 16, 2),
        ((2160, 3840), 1, 1, 1),
        ((0, 0), 64, 16, 16),
    ],
)
def test_large_frames_wait_in_smaller_numbers(
    shape: tuple[int, int], megabytes: int, frames_: int, capacity: int
) -> None:
    source = FakeSource("a", [])
    source.shape = shape
    setup = Setup(source, ring_frames=frames_, ring_megabytes=megabytes)
    setup.pipeline.run()
    assert setup.pipeline.queue_limits == {"a": capacity}


@pytest.mark.parametrize(("shape", "most"), [((1080, 1920), 5), ((2160, 3840), 2)])
def test_large_pictures_on_their_way_are_bounded_in_bytes(
    shape: tuple[int, int], most: int
) -> None:
    """Each queue was bounded by itself: before a slow encoder there were 11 pictures in 4K."""
    blocked = Latch()

    def reach() -> None:
        assert blocked.is_open, "more pictures are on their way than 32 MB"

    source = FakeSource("a", [*frames(most), reach, *frames(8 - most)])
    source.shape = shape
    sinks = {"slow": FakeSink(blocked, heavy=True)}
    setup = Setup(source, sinks=sinks, detector=FakeDetector(batch_size=1))
    runner = threading.Thread(target=setup.pipeline.run)
    runner.start()
    until(lambda: setup.stats("a").grabbed >= most)
    until(lambda: setup.pipeline.stats.held_up == most)
    blocked.open()
    runner.join()
    setup.check_end()
    assert setup.stats("a").delivered == 8
    assert setup.pipeline.stats.held_up == 0


def test_pictures_held_for_the_next_detection_do_not_stop_a_file() -> None:
    source = FakeSource("a", frames(24))
    source.shape = (1080, 1920)
    setup = Setup(source, detect_every=10)
    setup.pipeline.run()
    setup.check_end()
    assert setup.stats("a").delivered == 24


@pytest.mark.parametrize(
    ("frame_bytes", "batch_size", "in_flight", "frames_"),
    [
        (1, 1, 1, 2**25),
        (3_110_400, 1, 3, 10),  # 1080p as planes
        (12_441_600, 1, 3, 3),  # 4K, two processors
        (12_441_600, 1, 9, 11),  # eight
        (12_441_600, 8, 2, 20),  # a GPU
        (50_000_000, 1, 1, 2),
        (0, 1, 1, 2**25),
    ],
)
def test_a_detector_gets_all_pictures_it_can_work_on(
    frame_bytes: int, batch_size: int, in_flight: int, frames_: int
) -> None:
    assert max_moving(frame_bytes, batch_size, in_flight) == frames_


@pytest.mark.parametrize("live", [False, True])
def test_no_stage_keeps_a_picture_while_it_waits_for_the_next(live: bool) -> None:
    """Five did, each another one: 62 MB in 4K, and a picture of every camera."""
    pictures: list[weakref.ref[Frame]] = []
    idle = Latch()

    def note(result: Result) -> None:
        pictures.append(weakref.ref(result.frame))

    source = FakeSource("a", [*frames(1), idle], live=live)
    sinks = {"table": FakeSink(note), "video": FakeSink(note, heavy=True)}
    setup = Setup(source, sinks=sinks)
    runner = threading.Thread(target=setup.pipeline.run)
    runner.start()
    until(lambda: len(pictures) == 2)
    until(lambda: all(picture() is None for picture in pictures), "a picture is kept")
    idle.open()
    runner.join()
    setup.check_end()


class ExpectingDetector(FakeDetector):
    def expect(self, shapes: Sequence[tuple[int, int]]) -> None:
        self.expected = list(shapes)


def test_a_detector_gets_the_sizes_that_are_known_before_it_is_opened() -> None:
    """A third party's source did not know its own: the network was compiled for 0x0, which ended
    the start with a ZeroDivisionError."""

    class Unsized(FakeSource):
        def open(self) -> SourceInfo:
            return replace(super().open(), width=0, height=0)

    detector = ExpectingDetector()
    sources = FakeSource("a", frames(1)), Unsized("b", frames(1)), camera("c", frames(1))
    Setup(*sources, detector=detector).pipeline.run()
    assert detector.expected == [(4, 6)]


@pytest.mark.parametrize(
    ("sources", "message"),
    [([], "at least one source"), ([FakeSource("a"), FakeSource("a")], "names must differ")],
)
def test_a_pipeline_needs_sources_with_names_of_their_own(
    sources: list[FakeSource], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Pipeline(sources, FakeDetector(), lambda: None)  # type: ignore[arg-type,return-value]


def test_a_caller_may_keep_every_result() -> None:
    """Frames come from a pool: what a caller holds must never be written over."""
    source = FakeSource("a", frames(120))
    source.pool = FramePool(keep=8)
    setup = Setup(source)
    kept = list(setup.pipeline.results())
    assert [int(r.frame.image[0, 0, 0]) for r in kept] == [i % 251 for i in range(120)]
    assert all((r.frame.image == r.frame.index % 251).all() for r in kept)


def test_options_reject_what_makes_no_sense() -> None:
    for bad in ({"max_frames": 0}, {"ring_frames": 0}, {"retry_first_s": float("inf")}):
        with pytest.raises(ValueError, match="Input should be"):
            RunOptions(**bad)  # type: ignore[arg-type]
