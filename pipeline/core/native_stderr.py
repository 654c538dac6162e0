"""Keeps messages of native libraries about damaged pictures off standard error.

libjpeg, libpng and OpenCV write to the file descriptor itself, several lines for one picture,
besides the one line in which the program reports it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("trackline")


class _Descriptor:
    """File descriptor of stderr while Python writes to a copy of it; -1 otherwise."""

    def __init__(self) -> None:
        self.number = self.copy = -1
        self.lock = threading.Lock()
        self.muting = 0


_descriptor = _Descriptor()


@contextmanager
def own_stderr() -> Iterator[None]:
    """Make Python write to a copy of stderr, so that `muted` silences native libraries alone.

    No effect if stderr is not a file, or if everything is to be shown (DEBUG).
    """
    number = _number()
    if number is None or _descriptor.number >= 0:
        yield
        return
    sys.stderr.flush()
    original, copy = sys.stderr, os.dup(number)
    with open(
        copy, "w", encoding=original.encoding, errors=original.errors, buffering=1
    ) as copy_text:
        handlers = [
            each for each in log.handlers
            if isinstance(each, logging.StreamHandler) and each.stream is original
        ]  # fmt: skip
        try:
            sys.stderr = copy_text
            for handler in handlers:
                handler.setStream(copy_text)
            _descriptor.copy, _descriptor.number = copy, number
            yield
        finally:
            copy_text.flush()
            with _descriptor.lock:
                os.dup2(copy, number)
                _descriptor.number = -1
            sys.stderr = original
            for handler in handlers:
                handler.setStream(original)


@contextmanager
def muted() -> Iterator[None]:
    """Drop what native libraries print meanwhile, in any thread, if `own_stderr` is in force."""
    _mute(+1)
    try:
        yield
    finally:
        _mute(-1)


def _mute(change: int) -> None:
    with _descriptor.lock:
        _descriptor.muting += change
        if _descriptor.number < 0:
            return
        if change > 0 and _descriptor.muting == 1:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, _descriptor.number)
            os.close(nowhere)
        elif _descriptor.muting == 0:
            os.dup2(_descriptor.copy, _descriptor.number)


def _number() -> int | None:
    """Return the file descriptor of stderr; None if there is none, or nothing should be hidden."""
    if sys.stderr is None or log.isEnabledFor(logging.DEBUG):
        return None
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError):  # another stream has replaced it
        return None
