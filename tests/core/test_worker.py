"""A thread of the run: its failure is heard before its end is seen."""

from __future__ import annotations

import pytest
from support.threads import PATIENCE_S, Latch

from pipeline.core.worker import Worker

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_a_failure_is_recorded_before_waiting_threads_wake(error: BaseException) -> None:
    """A failed sink's queue was closed first: the caller, who waited for space, came back with
    "failed before" before the cause was known, and that became the error of the run."""
    events: list[object] = []

    def work() -> None:
        events.append("work")
        raise error

    worker = Worker("x", work, lambda: events.append("end"))
    worker.start(events.append)
    assert worker.join(PATIENCE_S)
    assert events == ["work", error, "end"]


def test_a_thread_that_runs_is_not_over() -> None:
    latch = Latch()
    worker = Worker("x", latch, lambda: None)
    worker.start(lambda _: None)
    assert worker.started
    assert not worker.join(0.01)
    latch.open()
    assert worker.join()


def test_what_never_began_is_over() -> None:
    worker = Worker("x", lambda: None, lambda: None)
    assert worker.join()
    assert not worker.started
