"""Applies BoxMOT's Gaussian-smoothed interpolation; run by an interpreter that has BoxMOT.

    python _boxmot_gsi.py GIVEN.npz TAKEN.npz

Both hold a sequence per name, rows f64[N,9] as in MOTChallenge text (GIVEN: one column more).
"""

import sys

import numpy as np
from boxmot.postprocessing.gsi import GSIPostprocessor, gaussian_smooth, linear_interpolation


def main(given: str, taken: str) -> None:
    """Fill and smooth every sequence with BoxMOT's defaults."""
    defaults = GSIPostprocessor()
    with np.load(given) as sequences:
        filled = {
            name: linear_interpolation(sequences[name], defaults.interval)
            for name in sequences.files
        }
    np.savez(taken, **{name: gaussian_smooth(rows, defaults.tau) for name, rows in filled.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
