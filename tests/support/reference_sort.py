"""The SORT, the crowd and the endurance run of `benchmarks/`, for tests that compare with them."""

import sys

from support.paths import ROOT

sys.path.append(str(ROOT / "benchmarks"))

from filterpy_sort import ObjectSort, published_filter
from tracker_endurance import stretches
from tracker_speed import crowd

__all__ = ["ObjectSort", "crowd", "published_filter", "stretches"]
