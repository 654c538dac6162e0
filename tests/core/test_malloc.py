"""Freed memory is given back now and then, not after each of many short files."""

from __future__ import annotations

from pipeline.core.malloc import SPARED_S, Trimmer


def test_memory_is_given_back_once_in_a_while() -> None:
    """Each clip of a folder took 40 ms for memory that went back and was asked for anew."""
    times = [0.1, 0.2, SPARED_S, SPARED_S + 0.2, SPARED_S + 0.3, 5 * SPARED_S]
    trimmed: list[float] = []
    now = iter(times)
    at = 0.0

    def clock() -> float:
        nonlocal at
        at = next(now)
        return at

    trimmer = Trimmer(lambda: trimmed.append(at), clock)
    for _ in times:
        trimmer.trim()
    assert trimmed == [0.1, SPARED_S + 0.2, 5 * SPARED_S]
