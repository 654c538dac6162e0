"""How long to wait for the next picture of a source that gives few."""

from __future__ import annotations

import pytest

from pipeline.core.usual_interval import UsualInterval


@pytest.mark.parametrize(
    ("pictures", "max_wait_s"),
    [
        ([], 5.0),
        ([(0, 0)], 5.0),
        ([(n / 25, 0) for n in range(9)], 5.0),
        ([(0, 0), (10, 0)], 25.0),
        ([(0, 0), (10, 0), (20, 0), (30, 0)], 25.0),
        ([(0, 0), (4, 0), (8, 0), (12, 0)], 10.0),
        # An outage of ten minutes, noticed (a new epoch) or not, is no interval.
        ([(0, 0), (600, 1)], 5.0),
        ([(0, 0), (1, 0), (2, 0), (602, 0), (603, 0)], 5.0),
        # Few pictures from now on.
        ([*((n, 0) for n in range(9)), *((10 * n, 0) for n in range(1, 6))], 25.0),
    ],
)
def test_the_wait_follows_the_usual_interval(
    pictures: list[tuple[float, int]], max_wait_s: float
) -> None:
    usual = UsualInterval()
    for at_s, epoch in pictures:
        usual.add(at_s, epoch)
    assert usual.max_wait_s(5.0) == pytest.approx(max_wait_s)
