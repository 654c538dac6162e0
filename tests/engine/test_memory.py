"""A run uses as much memory after an hour as after a minute."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import psutil
import pytest
from support.fakes import FRAME, FakeDetector, FakeSink, FakeSource, FakeTracker, Setup, frames
from support.live_fakes import until
from support.owners import WatchedPool
from support.tiny_videos import noise_picture, write_video

from pipeline.core.data import Result
from pipeline.core.errors import SourceLostError
from pipeline.engine import Pipeline, RunOptions
from pipeline.sources import file
from pipeline.trackers import trackline

FRAMES = 20_000


class LongSource(FakeSource):
    """Frames without a script, so that the script does not count."""

    def __init__(self, name: str) -> None:
        super().__init__(name, [FRAME])
        self.pool = self.watched = WatchedPool()

    def read(self):  # type: ignore[no-untyped-def]
        return self._frame() if self._index < FRAMES else None


class CountingSink(FakeSink):
    """Counts instead of listing."""

    count = 0

    def write(self, result):  # type: ignore[no-untyped-def]
        self.count += 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_memory_is_flat_over_a_long_run() -> None:
    source = LongSource("a")
    sinks = {"table": CountingSink(), "video": CountingSink(heavy=True)}
    setup = Setup(source, sinks=sinks)
    process = psutil.Process()
    rss, objects = [], []
    for result in setup.pipeline.results():
        if result.frame.index % 2000 == 1999:
            rss.append(process.memory_info().rss)
            objects.append(len(gc.get_objects()))
        setup.detector.batches.clear()
        setup.trackers[0].__init__()  # type: ignore[misc]  # forget what it noted
    assert {sink.count for sink in sinks.values()} == {FRAMES}
    assert source.watched.owners.count <= 64
    # One object kept per frame would be 18 000; half a kilobyte, 9 MB. The allocator has moods.
    assert objects[-1] - objects[0] < 1000
    # The first half may still grow: what other tests of this process freed is taken piecemeal.
    later = rss[len(rss) // 2 :]
    assert max(later) - later[0] < 4 * 2**20


@pytest.mark.timeout(60)
def test_full_queues_still_allocate_nothing_per_frame() -> None:
    """The pool kept 32 frames where the queues, batch and sinks of a run can hold more together:
    whenever a sink set the pace, every single frame was allocated afresh."""
    total, in_flight = 300, 1 + 4 + 1 + 8 + 1 + 24  # written, queued, in hand, results, batch, ring

    def write_when_full(result: Result) -> None:
        # One more is in the grabber's hand.
        wanted = min(total, result.frame.index + in_flight + 1)
        until(lambda: setup.stats("a").grabbed >= wanted)

    source = FakeSource("a", frames(total))
    source.pool = pool = WatchedPool()
    sinks = {"video": FakeSink(write_when_full, heavy=True)}
    setup = Setup(source, sinks=sinks, ring_frames=24)
    setup.pipeline.run()
    setup.check_end()
    assert in_flight <= pool.owners.count <= 64


class Flapping(FakeSource):
    """A camera that is lost after every third frame, and sends another size each time."""

    def __init__(self, name: str) -> None:
        super().__init__(name, live=True)

    def open(self):  # type: ignore[no-untyped-def]
        self.shape = (4, 6) if self.opened % 2 else (8, 6)
        self.connections.append([*frames(3), SourceLostError(f"{name_of(self)}: lost")])
        return super().open()


def name_of(source: FakeSource) -> str:
    """A new text each time, as of a camera that tells its own time."""
    return f"{source.name} {source.opened}"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_memory_is_flat_over_outages_and_changes(caplog: pytest.LogCaptureFixture) -> None:
    """A camera with a bad cable comes and goes some thousand times a day, and people edit."""
    caplog.set_level(logging.ERROR, "trackline")  # pytest keeps what is logged
    setup = Setup(Flapping("a"), Flapping("b"), sinks={}, stale_after_s=1)
    objects = []
    for count, _ in enumerate(setup.pipeline.results()):
        setup.detector.batches.clear()
        for tracker in setup.trackers:
            tracker.__init__()  # type: ignore[misc]
        if count % 100 == 0:
            setup.pipeline.add_source(Flapping("extra"))
            setup.pipeline.replace_tracker(FakeTracker)
        if count % 100 == 50:
            setup.pipeline.remove_source("extra")
            gc.collect()
            objects.append(len(gc.get_objects()))
        if count == 2000:
            setup.pipeline.stop()
    assert setup.stats("a").reconnects > 100
    # The windows of the last seconds fill up in the beginning; the least counts, since threads may
    # be in the middle of something whenever objects are counted. One kept a frame would be 1000.
    assert min(objects[15:]) - min(objects[5:10]) < 200, objects


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_memory_is_flat_over_many_files(tmp_path: Path) -> None:
    """A closed file kept the pool of its pictures: 47 MB a file of 1080p, 3.0 GB for 60 of them.

    Each of these clips leaves three pictures of 0.5 MB where it does: 75 MB after the first 30.
    """
    clip = write_video(tmp_path / "0.mkv", [noise_picture(n, 384, 480) for n in range(3)])
    sources = [file.build(file.Options(path=clip, name=f"clip{n}")) for n in range(80)]
    pipeline = Pipeline(
        sources,
        FakeDetector(),
        lambda: trackline.build(trackline.Options()),
        {"table": CountingSink()},
        options=RunOptions(output=tmp_path / "out", files_at_once=1),
    )
    process, rss = psutil.Process(), []
    for result in pipeline.results():
        if result.frame.index == 2:
            rss += [process.memory_info().rss]
    assert len(rss) == 80
    assert max(rss[30:]) - rss[30] < 40 * 2**20
