"""Refuses use in a forked process, where the parent's threads do not exist and calls would hang."""

from __future__ import annotations

import os

from pipeline.core.errors import PipelineError

_used_in: int | None = None


class ForkedError(PipelineError):
    """Trackline was used before this process was forked, so it cannot work in it."""


def is_forked() -> bool:
    """Return whether this process was forked after threads or a network had been started."""
    return _used_in is not None and _used_in != os.getpid()


def check_not_forked() -> None:
    """Raise ForkedError where `is_forked`."""
    if is_forked():
        raise ForkedError(
            "Trackline was in use when this process was forked, and its threads stayed behind: "
            "start processes with multiprocessing.get_context('spawn'), or before its first use"
        )


def mark_used() -> None:
    """Record that threads or a network were started in this process; raises ForkedError."""
    global _used_in
    check_not_forked()
    _used_in = os.getpid()
