"""Ways to end early in order: stop, a sink that asks for it, a caller who breaks off."""

from __future__ import annotations

import pytest
from support.fakes import FakeSink, FakeSource, Setup, camera, frames

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("heavy", [False, True])
def test_a_sink_can_ask_for_the_end(heavy: bool) -> None:
    """Only light sinks were asked, though any sink may want the end."""
    sink = FakeSink(heavy=heavy)

    def ask(_: object) -> None:
        sink.stop_requested = len(sink.written["a"]) >= 4

    sink.on_write = ask
    setup = Setup(FakeSource("a", frames(5000)), sinks={"window": sink, "table": FakeSink()})
    report = setup.pipeline.run()
    setup.check_end()
    assert 5 <= report["frames"] < 5000
    assert sink.written["a"] == list(range(report["frames"]))
    assert setup.sinks["table"].written["a"] == sink.written["a"]


def test_stop_from_another_thread_ends_in_order() -> None:
    setup = Setup(FakeSource("a", [*frames(20), lambda: setup.pipeline.stop(), *frames(5000)]))
    seen = [result.frame.index for result in setup.pipeline.results()]
    setup.check_end()
    assert seen == setup.sinks["table"].written["a"] == list(range(len(seen)))
    assert setup.stats("a").grabbed == 20
    assert set(+setup.stats("a").dropped) <= {"stopped"}


def test_stop_before_the_start_processes_nothing() -> None:
    setup = Setup(FakeSource("a", frames(9)), camera("door", frames(9)))
    setup.pipeline.stop()
    assert setup.pipeline.run()["frames"] == 0
    setup.check_end()


def test_breaking_off_closes_everything_and_keeps_what_was_inferred() -> None:
    heavy = FakeSink(heavy=True)
    setup = Setup(
        FakeSource("a", frames(5000)),
        camera("door", frames(5000)),
        sinks={"table": FakeSink(), "video": heavy},
    )
    iterator = setup.pipeline.results()
    for count, _ in enumerate(iterator):
        if count == 30:
            break
    iterator.close()
    setup.check_end()
    total = sum(len(rows) for rows in setup.sinks["table"].written.values())
    assert total == setup.pipeline.stats.delivered >= 31
    assert heavy.written == setup.sinks["table"].written


def test_a_pipeline_runs_once() -> None:
    setup = Setup(FakeSource("a", frames(1)))
    setup.pipeline.run()
    with pytest.raises(ValueError, match="runs once"):
        setup.pipeline.run()
    setup.check_end()
