"""Sources that break off, fail, hang or lie: who else notices, and what is kept."""

from __future__ import annotations

import threading

import pytest
from support.fakes import FakeSource, Setup, camera, fails, frames
from support.live_fakes import until
from support.threads import PATIENCE_S, Latch

from pipeline.core.errors import SourceBrokenError, SourceError, StageError

pytestmark = pytest.mark.timeout(60)


def test_a_file_that_breaks_off_is_kept_up_to_the_break_and_raised_at_the_end() -> None:
    setup = Setup(
        FakeSource("a", [*frames(12), SourceBrokenError("a.mp4: breaks off at 0.48 s")]),
        FakeSource("b", frames(60)),
        FakeSource("c", [*frames(2), SourceBrokenError("c.mp4: breaks off at 0.08 s")]),
    )
    every = (
        "2 of 3 files could not be read: a.mp4: breaks off at 0.48 s; c.mp4: breaks off at 0.08 s"
    )
    fails(setup, SourceBrokenError, f"^{every}$")
    written = setup.sinks["table"].written
    assert {name: len(rows) for name, rows in written.items()} == {"a": 12, "b": 60, "c": 2}
    report = setup.pipeline.stats.report()
    assert report["sources"]["c"]["broken"] == "c.mp4: breaks off at 0.08 s"
    assert all(source["dropped"] == 0 for source in report["sources"].values())


def test_a_missing_file_is_found_before_anything_else_is_opened() -> None:
    setup = Setup(
        FakeSource("a", frames(9)), FakeSource("b", SourceError("b.mp4: missing")), camera("door")
    )
    fails(setup, SourceError, "^b.mp4: missing$")
    assert setup.detector.prefer_latency is None
    assert setup.sinks["table"].run is None
    assert [source.closed for source in setup.sources] == [1, 1, 1]


@pytest.mark.parametrize(
    ("sources", "waits", "only_files"),
    [
        ([FakeSource("a", frames(3)), FakeSource("b", frames(3))], False, True),
        ([FakeSource("a", frames(3)), camera("door", frames(3))], False, False),
        ([camera("door", frames(3))], False, False),
        ([FakeSource("a", frames(3))], True, False),
    ],
)
def test_sinks_know_whether_all_sources_are_files(
    sources: list[FakeSource], waits: bool, only_files: bool
) -> None:
    """Cameras open after sinks do: by what was open, a camera beside a file was none."""
    setup = Setup(*sources, wait_for_sources=waits)
    for each in setup.pipeline.results():
        if each.frame.index == 2:
            setup.pipeline.stop()
    run = setup.sinks["table"].run
    assert run is not None
    assert run.only_files is only_files


@pytest.mark.parametrize("live", [False, True])
def test_an_unexpected_error_is_named_and_ends_the_run(live: bool) -> None:
    setup = Setup(
        FakeSource("a", [*frames(3), KeyError("stream")], live=live), FakeSource("b", frames(9000))
    )
    error = fails(setup, StageError, "^source a: KeyError: 'stream'$")
    assert isinstance(error.__cause__, KeyError)
    assert setup.stats("b").grabbed < 9000


def test_a_camera_that_cannot_exist_ends_the_run() -> None:
    setup = Setup(camera("door", SourceError("rtps://x: unknown protocol")))
    fails(setup, SourceError, "unknown protocol")


def test_a_source_that_cannot_close_does_not_hang_the_run() -> None:
    """The ring was closed after the source, so that an error in `Source.close` left inference
    waiting for ever for frames of a thread that was gone."""
    source = FakeSource("a", frames(5))
    source.close_error = OSError("bad file descriptor")
    setup = Setup(source, FakeSource("b", frames(9)))
    fails(setup, StageError, "^source a: OSError: bad file descriptor$")


def test_sources_that_cannot_close_do_not_keep_the_others_open() -> None:
    """After a failed start an error in one `close` skipped those of the other sources, the sinks
    and the detector."""
    sources = [FakeSource(name, frames(5)) for name in "abc"]
    for source in sources[:2]:
        source.close_error = OSError(source.name)
    sources[2].connections = [SourceError("c.mp4: missing")]
    fails(Setup(*sources), SourceError, "^c.mp4: missing$")


def test_frames_must_carry_their_sources_name() -> None:
    """A wrong name was a KeyError where the failure itself was counted: the results were never
    closed and the run hung."""
    source = FakeSource("street-2", frames(5))
    source.frame_name = "street"
    fails(Setup(source), StageError, "source street-2: Frame.source: want its name, got 'street'")


@pytest.mark.timeout(10)
@pytest.mark.slow
def test_sources_that_hang_are_left_behind_all_at_once() -> None:
    """Each hanging camera was waited for in turn: a switch that was down delayed the end by five
    seconds for every camera behind it. The frame one brought afterwards counted as grabbed, in a
    report that had been made already."""
    hanging, all_there = Latch(), threading.Barrier(51, timeout=PATIENCE_S)
    hang = [*frames(2), all_there.wait, hanging, *frames(1)]
    cameras = [camera(f"cam{i}", hang) for i in range(50)]
    last = FakeSource("a", [*frames(3), all_there.wait, KeyError("end")])
    setup = Setup(*cameras, last, patience_s=0.5)
    with pytest.raises(StageError, match="KeyError: 'end'"):
        setup.pipeline.run()
    report = setup.pipeline.stats.report()
    assert setup.sinks["table"].closed == setup.detector.closed == 1
    hanging.open()
    until(lambda: all(source.closed for source in setup.sources))
    assert setup.pipeline.stats.report()["sources"] == report["sources"]
    setup.check_end()
