"""Many files: as many are open at a time as the machine can decode, and sinks hear of each end."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import av
import psutil
import pytest
from support.fakes import FakeDetector, FakeSink, FakeSource, Setup, camera, fails, frames
from support.live_fakes import Camera, Live, until
from support.sink_results import run_info
from support.tiny_videos import noise_picture

from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.core.errors import SourceBrokenError, SourceError, StageError
from pipeline.core.run_info import SourceInfo
from pipeline.sinks import mot, video

pytestmark = pytest.mark.timeout(60)


class Hearing(FakeSink):
    """Notes which sources ended, and that nothing comes of them afterwards."""

    def __init__(self, *, heavy: bool = False) -> None:
        super().__init__(heavy=heavy)
        self.ended: list[str] = []

    def write(self, result: Result) -> None:
        assert result.frame.source not in self.ended, "a result after its source's end"
        super().write(result)

    def source_ended(self, name: str) -> None:
        assert not self.closed
        self.ended.append(name)


class Counted(FakeSource):
    """A file that counts how many like it are open, in `open_now`, and notes the most."""

    open_now: set[str]
    most: list[int]

    def open(self) -> SourceInfo:
        info = super().open()
        self.open_now.add(self.name)
        self.most.append(len(self.open_now))
        return info

    def close(self) -> None:
        self.open_now.discard(self.name)
        super().close()


def folder(files: int, each: int) -> list[Counted]:
    open_now: set[str] = set()
    most: list[int] = []
    sources = [Counted(f"file{i}", frames(each)) for i in range(files)]
    for source in sources:
        source.open_now, source.most = open_now, most
    return sources


@pytest.mark.parametrize("at_once", [1, 3, 99])
def test_so_many_files_are_open_at_a_time(at_once: int) -> None:
    """A folder of a thousand clips opened a thousand decoders, and as many encoders."""
    sources = folder(9, 20)
    sinks = {"table": Hearing(), "video": Hearing(heavy=True)}
    setup = Setup(*sources, camera("door", frames(3)), sinks=sinks, files_at_once=at_once)
    order: list[str] = []
    for result in setup.pipeline.results():
        if result.frame.source not in order:
            order.append(result.frame.source)
    setup.check_end()
    # One more while it is looked at before the start: is it there at all?
    assert max(sources[0].most) <= min(9, at_once + 1)
    assert max(sources[0].most[9:], default=0) <= at_once
    names = [source.name for source in sources]
    for sink in sinks.values():
        assert {n: sink.written[n] for n in names} == {n: list(range(20)) for n in names}
    if at_once == 1:
        assert [name for name in order if name != "door"] == names


@pytest.mark.slow
def test_short_files_are_not_all_decoded_ahead_of_a_slow_run() -> None:
    """Each file that fits its ring ended at once and started the next: 60 clips of three frames in
    1080p waited in memory together, 1.1 GB."""
    setup = Setup(*folder(60, 3), files_at_once=2, ring_frames=4)
    for result in setup.pipeline.results():
        if (result.frame.source, result.frame.index) == ("file0", 0):
            time.sleep(0.5)  # a caller in no hurry
            # Results, batches and rings hold 40 frames at most.
            assert setup.pipeline.files[0] <= 20
    setup.check_end()
    assert setup.pipeline.files == (60, 60)


def test_files_that_come_later_are_decoded_no_further_ahead() -> None:
    """A file added to a run kept a ring of 16 frames, whatever the detector takes at once."""
    sources = folder(3, 2)
    added = FakeSource("added", frames(2))
    for source in (*sources, added):
        source.shape = (1080, 1920)
    setup = Setup(*sources, files_at_once=1, detector=FakeDetector(batch_size=3))
    for result in setup.pipeline.results():
        if (result.frame.source, result.frame.index) == ("file0", 0):
            setup.pipeline.add_source(added)
    setup.check_end()
    assert [*setup.pipeline.queue_limits.values()] == [6, 6, 6, 6]


def test_sinks_are_notified_of_each_end_in_time_to_close_its_file() -> None:
    sinks = {"table": Hearing(), "video": Hearing(heavy=True)}
    Setup(*folder(9, 5), sinks=sinks, files_at_once=1).pipeline.run()
    for sink in sinks.values():
        # The last ones end with the run, which closes everything.
        assert len(set(sink.ended)) == len(sink.ended) >= 7


def test_a_missing_file_is_found_at_once_wherever_it_stands() -> None:
    sources = [*folder(5, 5), FakeSource("gone", SourceError("gone.mp4: missing"))]
    setup = Setup(*sources, files_at_once=1)
    fails(setup, SourceError, "gone.mp4: missing")
    assert setup.sinks["table"].run is None


def test_a_file_that_breaks_off_does_not_keep_the_next_from_its_turn() -> None:
    broken = FakeSource("broken", [*frames(3), SourceBrokenError("broken: breaks off")])
    setup = Setup(broken, *folder(3, 5), files_at_once=1)
    fails(setup, SourceBrokenError, "broken: breaks off")
    assert setup.sinks["table"].written["file2"] == list(range(5))


def test_a_failure_leaves_the_files_whose_turn_never_came() -> None:
    sources = folder(9, 500)
    bad = FakeSource("bad", [*frames(3), KeyError("x")])
    fails(Setup(bad, *sources, files_at_once=1), StageError, "source bad: KeyError: 'x'")
    assert not sources[0].open_now


def test_stopping_does_not_wait_for_files_whose_turn_never_came() -> None:
    setup = Setup(
        FakeSource("a", [*frames(5), lambda: setup.pipeline.stop(), *frames(5)]),
        *folder(5, 5),
        files_at_once=1,
    )
    setup.pipeline.run()
    setup.check_end()
    assert not setup.sinks["table"].written["file0"]


def test_a_removed_source_has_ended() -> None:
    sink = Hearing(heavy=True)
    with Live(Camera("door"), Camera("yard"), sinks={"video": sink}) as live:
        live.wait_more("door")
        live.pipeline.remove_source("door")
        until(lambda: sink.ended == ["door"])
        live.wait_more("yard")


def test_the_video_of_an_ended_source_can_be_played_before_the_run_is_over(tmp_path: Path) -> None:
    sink = video.build(video.Options())
    sink.open(run_info(tmp_path))
    encoders = threading.active_count()
    for name in "abc":
        for index in range(3):
            frame = Frame(noise_picture(index), name, index, index / 10, 0.0)
            sink.write(Result(frame, Detections.empty(), Tracks.empty(), {}))
        sink.source_ended(name)
        sink.source_ended(name)
        with av.open(str(tmp_path / f"{name}.mp4")) as playable:
            assert len(list(playable.decode(video=0))) == 3
    assert threading.active_count() <= encoders
    sink.close()


@pytest.mark.parametrize("at_once", [1, 3, 99])
def test_files_come_in_the_order_given(at_once: int) -> None:
    setup = Setup(*folder(7, 9), files_at_once=at_once, in_order=True)
    came = [(r.frame.source, r.frame.index) for r in setup.pipeline.results()]
    setup.check_end()
    assert came == [(f"file{file}", index) for file in range(7) for index in range(9)]


def open_tables(folder: Path) -> list[str]:
    """Return the names of the tables in `folder` that this process holds open."""
    found = [Path(each.path) for each in psutil.Process().open_files()]
    return sorted(path.name for path in found if path.parent == folder and path.suffix == ".txt")


def test_the_tables_of_many_files_are_not_all_open_at_once(tmp_path: Path) -> None:
    """A folder of 1,440 clips ended at the system's limit of 1,024 open files."""
    sink = mot.build(mot.Options())
    sink.open(replace(run_info(tmp_path), only_files=True))
    for name in "abc":
        frame = Frame(noise_picture(0), name, 0, 0.0, 0.0)
        sink.write(Result(frame, Detections.empty(), Tracks.empty(), {}))
        assert open_tables(tmp_path) == [f"{name}.txt"]
        sink.source_ended(name)
        assert open_tables(tmp_path) == []
    sink.close()
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "b.txt", "c.txt"}
