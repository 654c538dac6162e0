"""The `source` argument of `track` and `detect`: names, or pictures in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import ConfigError, SourceError
from pipeline.core.interfaces import Source
from pipeline.sources._frames import (
    DEFAULT_FPS,
    FrameSource,
    checked_image,
    describe,
    is_pair,
    is_picture,
    picture_of,
)

_WANT = (
    "want a path, a glob, an address, a camera number, a mapping with 'kind', a BGR picture as a "
    "numpy array, or a list or iterator of these"
)


def split_sources(
    source: Any, fps: float | None = None
) -> tuple[list[str | Mapping[str, Any]], list[Source]]:
    """Return (sources for the configuration, sources of frames); one of the two is empty.

    Takes the first item of an iterator. Raises SourceError for an invalid source and ConfigError
    for a bad `fps`.
    """
    if fps is not None and not (_is_number(fps) and 0 < fps < float("inf")):
        raise ConfigError(f"fps: want a number above 0, got {describe(fps)}")
    rate = DEFAULT_FPS if fps is None else float(fps)
    named, frames = _split(source, rate)
    if named and fps is not None:
        raise ConfigError(
            "fps: applies to pictures in memory; files and cameras have their own times"
        )
    return named, frames


def _split(source: Any, fps: float) -> tuple[list[str | Mapping[str, Any]], list[Source]]:
    if _is_named(source):
        return [_named(source)], []
    if is_picture(source):
        return [], [_one_array(source, fps)]
    if isinstance(source, bytes | bytearray | memoryview):
        raise SourceError(
            f"source: {_WANT}; got {describe(source)}. read_picture decodes a picture from "
            "a file's bytes"
        )
    if not _is_iterable(source):
        raise SourceError(f"source: {_WANT}; got {describe(source)}")
    if isinstance(source, list | tuple):
        return _of_list(source, fps)
    items = iter(source)
    first = list(islice(items, 1))
    if not first:
        raise SourceError(f"source: {_WANT}; got {describe(source)} that holds nothing")
    if _is_named(first[0]):
        return [_named(each) for each in chain(first, items)], []
    checked_image(picture_of(first[0]), "source: item 0")
    return [], [FrameSource(_Resumed(first, items), fps=fps)]


def _of_list(items: list[Any] | tuple[Any, ...], fps: float) -> tuple[list[Any], list[Source]]:
    """Return the content of a list: names of sources, pictures of one source, or iterators."""
    if not items:
        raise SourceError(f"source: {_WANT}; got an empty {describe(items)}")
    if all(map(_is_named, items)):
        return [_named(each) for each in items], []
    if all(map(is_picture, items)):
        for number, item in enumerate(items):
            checked_image(picture_of(item), f"source: item {number}")
        return [], [FrameSource(items, fps=fps)]
    kinds = [_is_named(item) or 2 * is_picture(item) or 3 * _is_iterable(item) for item in items]
    odd = [number for number, kind in enumerate(kinds) if kind != kinds[0] or not kind]
    if odd:
        number = odd[0]
        beside = f" beside {describe(items[0])}" if number else ""
        raise SourceError(
            f"source: item {number}: want all items of one kind (names of sources, pictures, or "
            f"iterators of pictures); got {describe(items[number])}{beside}"
        )
    frames: list[Source] = []
    for item in items:
        frames += _split(item, fps)[1]
    for number, each in enumerate(frames[1:], 2):
        each.name = f"{each.name}-{number}"
    if len(frames) < len(items):
        raise SourceError("source: a list of lists of names; want one list")
    return [], frames


class _Resumed:
    """Iterator with the items already taken put back in front; closing it closes the original."""

    def __init__(self, first: list[Any], rest: Any) -> None:
        self._rest = rest
        self._chained = chain(first, rest)

    def __iter__(self) -> _Resumed:
        return self

    def __next__(self) -> Any:
        return next(self._chained)

    def close(self) -> None:
        """Close the original, if it can be closed."""
        if callable(close := getattr(self._rest, "close", None)):
            close()


def _one_array(source: Any, fps: float) -> FrameSource:
    """Return the source of one picture u8[H,W,3], or of N in one array u8[N,H,W,3]."""
    if is_pair(source) or source.ndim != 4:
        checked_image(picture_of(source), "source")
        return FrameSource([source], fps=fps)
    if not len(source):
        raise SourceError(f"source: {_WANT}; got {describe(source)}")
    checked_image(source[0], f"source: {describe(source)}: item 0")
    return FrameSource(source, fps=fps)


def _is_named(source: Any) -> bool:
    return isinstance(source, str | Path | Mapping) or (
        isinstance(source, int | np.integer) and not isinstance(source, bool)
    )


def _named(source: Any) -> str | Mapping[str, Any]:
    if not _is_named(source):
        raise SourceError(f"source: {_WANT}; got {describe(source)}")
    return source if isinstance(source, Mapping) else str(source)


def _is_iterable(source: Any) -> bool:
    """Return whether it is an iterable of pictures; tensors of other libraries are not.

    Nor is an open file, which would yield its lines.
    """
    return isinstance(source, Iterable) and not (
        hasattr(source, "__array__") or hasattr(source, "read")
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
