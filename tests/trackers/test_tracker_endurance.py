"""Trackers run for weeks: what leaves must leave no trace."""

from __future__ import annotations

import pytest
from support import reference_sort  # noqa: F401 - puts the benchmarks on the path
from tracker_endurance import stretches

from pipeline.trackers import bytetrack, ocsort, sort, trackline


@pytest.mark.slow
@pytest.mark.parametrize("kind", [sort, bytetrack, ocsort, trackline])
def test_memory_does_not_grow_with_the_tracks_that_left(kind):
    """100 objects come and go; lists of lost tracks that are never pruned grow for ever. (The
    benchmark runs 100,000 frames with 10,000.)"""
    options = kind.Options(max_age_s=0.2)
    figures = stretches(kind.build(options), frames=1000, tracks=100)
    held = [kib for _, kib, _ in figures]
    assert figures[-1][2] >= 100
    assert max(held[5:]) < held[4] + 16
