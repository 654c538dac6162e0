"""Environment variables that a library finds set for a while."""

from __future__ import annotations

import os
import threading

import pytest

from pipeline.core.environment import variables

NAME, OTHER = "TRACKLINE_TEST_VARIABLE", "TRACKLINE_TEST_OTHER"


@pytest.mark.parametrize("before", [None, "the user's"])
def test_variables_are_as_before_afterwards(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NAME, raising=False)
    if before is not None:
        monkeypatch.setenv(NAME, before)
    with variables({NAME: "ours"}, others=(OTHER,)):
        assert os.environ[NAME] == (before or "ours")
        os.environ[OTHER] = "the library's"
    assert (os.environ.get(NAME), os.environ.get(OTHER)) == (before, None)


def test_two_threads_at_once_leave_nothing_behind() -> None:
    """Each of two that loaded .pt weights took what the other had set for the user's."""
    inside, leaves = threading.Event(), threading.Event()

    def other() -> None:
        with variables({NAME: "ours"}):
            inside.set()
            leaves.wait(60)

    thread = threading.Thread(target=other)
    with variables({NAME: "ours"}):
        thread.start()
        inside.wait(0.2)  # it must not get there; if it does, it is the last to leave
    leaves.set()
    thread.join()
    assert NAME not in os.environ
