"""The engine when something fails: everything is closed once, the books balance, the first error
is what the caller gets, and what came before it is delivered."""

from __future__ import annotations

import pytest
from support.fakes import FakeDetector, FakeSink, FakeSource, Setup, boxes, camera, fails, frames
from support.threads import Latch

from pipeline.core.errors import ModelError, OutputError, StageError

pytestmark = pytest.mark.timeout(60)


def breaks(message: str = "out of memory") -> RuntimeError:
    return RuntimeError(message)


# -- sinks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("nth", [0, 7])
def test_a_sink_that_fails_to_write_ends_the_run(heavy: bool, nth: int) -> None:
    bad = FakeSink(heavy=heavy)

    def write(_: object) -> None:
        if len(bad.written["a"]) == nth:
            raise OSError("disk full")

    bad.on_write = write
    sinks = {"good": FakeSink(heavy=True), "bad": bad, "table": FakeSink()}
    setup = Setup(FakeSource("a", frames(5000)), sinks=sinks)
    error = fails(setup, StageError, "^sink bad: OSError: disk full$")
    assert isinstance(error.__cause__, OSError)
    assert bad.written["a"] == list(range(nth))
    assert setup.stats("a").grabbed < 5000
    # Sinks that work keep what they were handed, those with a queue too.
    assert sinks["good"].written["a"] == list(range(len(sinks["good"].written["a"])))
    assert len(sinks["good"].written["a"]) >= setup.stats("a").delivered


def test_a_failing_heavy_sink_is_reported_even_where_its_queue_blocked_the_run() -> None:
    """The caller waited for space in the failed sink's queue. It was let go before the error was
    known, and the result that did not fit counted as delivered."""
    full = Latch()
    ring_reached = 1 + 4 + 1 + 8 + 4

    def write(_: object) -> None:
        full()
        raise OSError("encoder gone")

    setup = Setup(
        FakeSource("a", [*frames(ring_reached), full.open, *frames(500)]),
        sinks={"video": FakeSink(write, heavy=True)},
    )
    fails(setup, StageError, "^sink video: OSError: encoder gone$")
    assert setup.stats("a").delivered <= 5


def test_a_heavy_sink_that_exits_is_not_taken_for_one_that_works() -> None:
    """Only errors raised on purpose left the thread of a sink: SystemExit ended it silently, its
    queue swallowed the rest of the run, and the run was a success."""

    def write(_: object) -> None:
        raise SystemExit(3)

    setup = Setup(FakeSource("a", frames(50)), sinks={"video": FakeSink(write, heavy=True)})
    with pytest.raises(SystemExit):
        setup.pipeline.run()
    setup.check_end()


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (OutputError("out: not a folder"), OutputError, "^out: not a folder$"),
        (PermissionError(13, "no"), StageError, "^sink bad: PermissionError:"),
    ],
)
def test_a_sink_that_cannot_open_stops_the_run_before_any_frame(
    heavy: bool, raised: Exception, kind: type[Exception], message: str
) -> None:
    """An error that was not raised on purpose came out without the name of the sink."""
    bad = FakeSink(heavy=heavy)
    bad.open_error = raised
    sinks = {"before": FakeSink(heavy=True), "bad": bad, "after": FakeSink()}
    source = FakeSource("a", frames(9))
    fails(Setup(source, sinks=sinks), kind, message)
    assert [sinks[name].closed for name in sinks] == [1, 1, 0]
    assert not sinks["before"].written


@pytest.mark.parametrize("heavy", [False, True])
def test_a_sink_that_cannot_close_fails_the_run_and_the_others_are_closed(heavy: bool) -> None:
    bad = FakeSink(heavy=heavy)
    bad.close_error = OSError("disk full")
    sinks = {"bad": bad, "good": FakeSink(), "video": FakeSink(heavy=True)}
    setup = Setup(FakeSource("a", frames(20)), sinks=sinks)
    fails(setup, StageError, "^sink bad: OSError: disk full$")
    assert {name: sink.written["a"] for name, sink in sinks.items()} == {
        name: list(range(20)) for name in sinks
    }


def test_breaking_off_still_raises_for_a_sink_that_cannot_close() -> None:
    sink = FakeSink()
    sink.close_error = OSError("disk full")
    setup = Setup(FakeSource("a", frames(20)), sinks={"table": sink})
    iterator = setup.pipeline.results()
    next(iterator)
    with pytest.raises(StageError, match="disk full"):
        iterator.close()
    setup.check_end()


# -- detector and trackers ----------------------------------------------------------------------


def test_a_detector_that_cannot_open_leaves_no_output() -> None:
    detector = FakeDetector()
    detector.open_error = ModelError("no.onnx: missing")
    setup = Setup(FakeSource("a", frames(9)), detector=detector)
    fails(setup, ModelError, "^no.onnx: missing$")
    assert setup.sinks["table"].run is None


def test_a_detector_that_cannot_open_for_no_known_reason_is_named() -> None:
    detector = FakeDetector()
    detector.open_error = breaks()
    fails(Setup(FakeSource("a", frames(9)), detector=detector), StageError, "^detector FakeDet")


@pytest.mark.parametrize("batch_size", [1, 4])
def test_what_was_inferred_before_the_detector_failed_is_delivered(batch_size: int) -> None:
    """Results that waited when inference failed were thrown away, up to eight frames of them, and
    a heavy sink lost four more that counted as delivered."""

    def detect(count: int, _: object) -> None:
        if count == 9:
            raise breaks()

    sinks = {"table": FakeSink(), "video": FakeSink(heavy=True)}
    detector = FakeDetector(detect, batch_size=batch_size)
    setup = Setup(FakeSource("a", frames(500)), detector=detector, sinks=sinks)
    fails(setup, StageError, "^detector FakeDetector: RuntimeError: out of memory$")
    inferred = sum(len(batch) for batch in detector.batches[:9])
    assert setup.stats("a").delivered == inferred
    assert setup.stats("a").dropped["failed"] == len(detector.batches[9])
    for sink in sinks.values():
        assert sink.written["a"] == list(range(inferred))


@pytest.mark.parametrize("count", [0, 3])
def test_a_detector_that_returns_the_wrong_number_fails(count: int) -> None:
    detector = FakeDetector(lambda *_: [boxes()] * count, batch_size=2)
    fails(Setup(FakeSource("a", frames(9)), detector=detector), StageError, f"got {count}$")


def test_a_detector_that_returns_something_else_fails() -> None:
    setup = Setup(
        FakeSource("a", frames(3)),
        detector=FakeDetector(lambda _, batch: [object()] * len(batch)),  # type: ignore[list-item,return-value]
    )
    fails(setup, StageError, "^detector FakeDetector: AttributeError")


def test_a_detector_with_no_batch_size_fails_instead_of_finding_nothing() -> None:
    """`batch_size = 0` looked like the end of the stream: the run ended with no frame and no
    error."""
    setup = Setup(FakeSource("a", frames(9)), detector=FakeDetector(batch_size=0))
    with pytest.raises(ValueError, match="want at least 1, got 0"):
        setup.pipeline.run()
    setup.check_end()


def test_a_tracker_that_fails_is_named_with_its_source() -> None:
    def update(frame: object, _: object) -> None:
        if frame.source == "b" and frame.index == 3:  # type: ignore[attr-defined]
            raise ValueError("singular matrix")

    setup = Setup(FakeSource("a", frames(90)), FakeSource("b", frames(90)), on_update=update)
    fails(setup, StageError, "^tracker of b: ValueError: singular matrix$")
    assert setup.sinks["table"].written["b"] == [0, 1, 2]


def test_a_detector_that_cannot_close_does_not_hide_the_first_error() -> None:
    """An error in `Detector.close` replaced the one that ended the run."""
    detector = FakeDetector()
    detector.close_error = breaks("device lost")
    fails(Setup(FakeSource("a", frames(3)), detector=detector), StageError, "device lost")

    sink = FakeSink()
    sink.close_error = OSError("disk full")
    both = Setup(FakeSource("a", frames(3)), detector=FakeDetector(), sinks={"table": sink})
    both.detector.close_error = breaks("device lost")
    fails(both, StageError, "disk full")


# -- which error --------------------------------------------------------------------------------


def test_the_first_error_wins() -> None:
    """The write fails, and then whatever is closed because of that fails as well."""

    def write(_: object) -> None:
        raise OSError("first")

    sinks = {"table": FakeSink(write), "video": FakeSink(heavy=True)}
    # So many that neither ends, and fails in its close, before the sink does.
    endless = frames(10**6)
    setup = Setup(FakeSource("a", endless), camera("b", endless), sinks=sinks)
    for each in (*sinks.values(), *setup.sources, setup.detector):
        each.close_error = OSError("a consequence")
    fails(setup, StageError, "^sink table: OSError: first$")
