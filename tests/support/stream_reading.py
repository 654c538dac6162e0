"""Reading a network camera on a machine that may be busy with other things."""

from __future__ import annotations

from pipeline.core.errors import SourceLostError
from pipeline.sources import stream


def opened(source: stream.StreamSource) -> stream.StreamSource:
    """Return the source open, after as many tries as a busy machine needs within its limits."""
    while True:
        try:
            source.open()
        except SourceLostError:
            continue
        return source


def read_on(source: stream.StreamSource) -> None:
    while True:
        source.read()
