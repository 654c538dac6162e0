"""Ctrl-C and SIGTERM, wherever they strike: outputs are closed once, books balance, nothing hangs.

An interrupt is an exception in the caller's thread, so fakes that run there raise it themselves.
Where the caller only waits, another thread does it.
"""

from __future__ import annotations

import pytest
from support.fakes import FakeDetector, FakeSink, FakeSource, Setup, camera, frames
from support.threads import Latch, interrupt

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("ctrl_c")]


class Strikes:
    """Raises on the given calls, as an interrupt would that strikes during them."""

    def __init__(self, *calls: int, kind: type[BaseException] = KeyboardInterrupt) -> None:
        self.calls = calls
        self.kind = kind
        self.count = 0

    def __call__(self, *_: object) -> None:
        self.count += 1
        if self.count in self.calls:
            raise self.kind


@pytest.mark.parametrize("heavy", [False, True])
def test_ctrl_c_in_the_callers_loop(heavy: bool) -> None:
    sink = FakeSink(heavy=heavy)
    setup = Setup(FakeSource("a", frames(5000)), sinks={"sink": sink})

    def loop() -> None:
        for result in setup.pipeline.results():
            if result.frame.index == 20:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    setup.check_end()
    assert sink.written["a"] == list(range(setup.stats("a").delivered))
    assert setup.stats("a").delivered >= 21


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_during_a_write_still_delivers_what_was_inferred(
    kind: type[BaseException],
) -> None:
    """The result in hand was neither delivered nor dropped, so the books did not balance."""
    table = FakeSink(Strikes(10, kind=kind))
    video = FakeSink(heavy=True)
    setup = Setup(FakeSource("a", frames(5000)), sinks={"video": video, "table": table})
    with pytest.raises(kind):
        setup.pipeline.run()
    setup.check_end()
    assert setup.stats("a").dropped["interrupted"] == 1
    assert [i for i in range(len(table.written["a"]) + 1) if i != 9] == table.written["a"]
    assert video.written["a"] == list(range(len(table.written["a"]) + 1))


def test_a_second_ctrl_c_drops_what_waits_and_still_closes_everything() -> None:
    """A second Ctrl-C while the first was being served left the sinks open, so that the files had
    no end."""
    table = FakeSink(Strikes(10, 12))
    sinks = {"video": FakeSink(heavy=True), "table": table}
    setup = Setup(FakeSource("a", frames(5000)), camera("door", frames(5000)), sinks=sinks)
    with pytest.raises(KeyboardInterrupt):
        setup.pipeline.run()
    setup.check_end()
    dropped = sum(s.dropped["interrupted"] for s in setup.pipeline.stats.sources.values())
    assert dropped >= 2


@pytest.mark.parametrize("place", ["first", "last"])
def test_ctrl_c_while_a_sink_closes_still_closes_the_others(place: str) -> None:
    struck = FakeSink()
    struck.close_error = KeyboardInterrupt()
    others = {"table": FakeSink(), "video": FakeSink(heavy=True)}
    sinks = {"struck": struck, **others} if place == "first" else {**others, "struck": struck}
    setup = Setup(FakeSource("a", frames(20)), sinks=sinks)
    with pytest.raises(KeyboardInterrupt):
        setup.pipeline.run()
    setup.check_end()
    for sink in others.values():
        assert sink.written["a"] == list(range(20))


@pytest.mark.parametrize("stage", ["detector", "sink"])
def test_ctrl_c_while_opening_closes_what_is_open(stage: str) -> None:
    """Loading weights takes seconds, in which people change their minds."""
    setup = Setup(FakeSource("a", frames(20)), camera("door", frames(1)))
    (
        setup.detector if stage == "detector" else setup.sinks["table"]
    ).open_error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        setup.pipeline.run()
    setup.check_end()
    assert not setup.pipeline.started


def test_ctrl_c_is_what_the_caller_gets_even_where_closing_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error of the sink replaced the KeyboardInterrupt, and the command's exit code 130."""
    sink = FakeSink(Strikes(5))
    sink.close_error = OSError("disk full")
    setup = Setup(FakeSource("a", frames(5000)), sinks={"table": sink})
    with pytest.raises(KeyboardInterrupt):
        setup.pipeline.run()
    setup.check_end()
    assert "sink table: OSError: disk full" in caplog.text


def test_ctrl_c_while_the_caller_waits_for_a_frame(caplog: pytest.LogCaptureFixture) -> None:
    """A Ctrl-C that came just before a wait, or on Windows at any time, was only noticed when the
    wait was over, which is never where a camera is down."""
    written = Latch()
    sink = FakeSink(lambda _: written.open())
    setup = Setup(
        camera("door", [*frames(1), written, interrupt, sink.was_closed]), sinks={"table": sink}
    )
    with pytest.raises(KeyboardInterrupt):
        setup.pipeline.run()
    setup.check_end()
    assert "deadlock" not in caplog.text


def test_ctrl_c_while_the_caller_waits_for_a_heavy_sink() -> None:
    """All frames are handed over; the encoder is still busy with them."""
    table = FakeSink()
    setup = Setup(
        FakeSource("a", frames(200)),
        detector=FakeDetector(batch_size=1),
        sinks={
            "table": table,
            "video": FakeSink(lambda r: interrupt() if r.frame.index == 60 else None, heavy=True),
        },
    )
    with pytest.raises(KeyboardInterrupt):
        setup.pipeline.run()
    setup.check_end()
    assert setup.stats("a").delivered < 200


def test_ctrl_c_after_the_caller_broke_off() -> None:
    """The result in hand was in nobody's books, for only a Ctrl-C that came first was noted."""
    setup = Setup(FakeSource("a", frames(500)), sinks={"table": FakeSink(Strikes(4))})
    iterator = setup.pipeline.results()
    for _ in range(3):
        next(iterator)
    with pytest.raises(KeyboardInterrupt):
        iterator.close()
    setup.check_end()
