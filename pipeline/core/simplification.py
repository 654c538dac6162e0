"""Simplification of a path in time: which points to keep so that the rest can be interpolated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def simplified(
    times: NDArray[np.floating] | NDArray[np.integer],
    values: NDArray[np.float64],
    tolerance: float,
    *,
    norm: float = 2,
) -> NDArray[np.intp]:
    """Return the rows to keep of `values` f64[N,D] at `times` [N], including the first and last.

    Each value is at most `tolerance` from the linear interpolation between kept rows at its time:
    by Euclidean distance, or with `norm=inf` per column. `times` must not decrease; without
    tolerance all rows are kept. This is the top-down time-ratio algorithm (Meratnia and de By,
    "Spatiotemporal Compression Techniques for Moving Point Objects", EDBT 2004): Douglas and
    Peucker (1973) with distances at equal times, so that stops stay in the path.
    """
    if tolerance <= 0 or len(times) < 3:
        return np.arange(len(times))
    keep = np.zeros(len(times), bool)
    keep[[0, -1]] = True
    open_spans = [(0, len(times) - 1)]
    while open_spans:
        first, last = open_spans.pop()
        if last - first < 2:
            continue
        inner = slice(first + 1, last)
        length = times[last] - times[first]
        share = (times[inner] - times[first]) / length if length > 0 else np.zeros(last - first - 1)
        line = values[first] + share[:, None] * (values[last] - values[first])
        far = np.linalg.norm(values[inner] - line, ord=norm, axis=1)
        worst = int(far.argmax())
        if far[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            open_spans += [(first, middle), (middle, last)]
    return np.flatnonzero(keep)
