"""Reading network cameras: by address, and on a machine that may be busy with other things."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

from pipeline.core.data import Frame
from pipeline.core.errors import SourceLostError
from pipeline.core.interfaces import Source
from pipeline.sources import stream


@contextmanager
def opened(url: str, **options: Any) -> Iterator[stream.StreamSource]:
    """The source of this address, open inside the block."""
    source = stream.build(stream.Options(url=url, **options))
    try:
        source.open()
        yield source
    finally:
        source.close()


def read_frames(url: str, count: int, **options: Any) -> list[Frame]:
    """Open a camera and return its first frames."""
    with opened(url, **options) as source:
        return [source.read() for _ in range(count)]


def refusal(url: str, **options: Any) -> str:
    """Return the one line that says why this camera is not shown; never the password hunter2."""
    with pytest.raises(SourceLostError) as caught:
        read_frames(url, 1, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert "hunter2" not in message
    return message


def open_patiently(source: stream.StreamSource) -> stream.StreamSource:
    """Return the source open, after as many tries as a busy machine needs within its limits."""
    while True:
        try:
            source.open()
        except SourceLostError:
            continue
        return source


def read_until_lost(source: Source) -> NoReturn:
    """Read until the source raises."""
    while True:
        source.read()
