"""The SORT and the crowd of `benchmarks/`, for tests that compare with them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from filterpy_sort import ObjectSort, published_filter
from tracker_speed import crowd

__all__ = ["ObjectSort", "crowd", "published_filter"]
