"""Rate limit by the frames' own times."""

from __future__ import annotations

import pytest

from pipeline.core.rate_limit import RateLimit


@pytest.mark.parametrize(
    ("fps", "max_fps", "count"),
    [(30, 30, 90), (30, 15, 45), (30, 10, 30), (29.97, 29.97, 90), (25, 10, 36), (30, 60, 90)],
)
def test_times_in_whole_milliseconds_lose_no_frame(fps: float, max_fps: float, count: int) -> None:
    """Matroska rounds: at 30 fps a frame of 0.033 s came before it was due, and half were lost."""
    limit, chosen = RateLimit(), []
    for n in range(90):
        seconds = round(n / fps, 3)
        if limit.is_due(seconds, max_fps):
            limit.take(seconds, max_fps)
            chosen.append(n)
    assert chosen[0] == 0
    assert len(chosen) == count


def test_what_was_missed_is_not_made_up() -> None:
    limit = RateLimit()
    limit.take(0.0, 10)
    assert not limit.is_due(0.05, 10)
    limit.take(5.0, 10)
    limit.take(5.06, 10)
    assert not limit.is_due(5.08, 10)
    assert limit.is_due(5.1, 10)
