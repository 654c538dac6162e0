"""Average two exports of the network, weight by weight: `python -m training.average A B OUT`.

A training that goes on from A to B can gain on pictures of new sources and lose on those of old
ones; a point on the line between keeps most of both ("Robust fine-tuning of zero-shot models",
Wortsman et al. 2022). Exports hold convolutions with a bias, so both files compute with the same
few tensors; the scores are calibrated anew.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from training.export import calibrate, check, export
from training.network import Detector
from training.weights import load_average


def main() -> None:
    """Average, export, calibrate, compare with the network, say how large the file is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second file, 0 to 1")
    parser.add_argument("--data", type=Path, required=True, help="folder with val.tar")
    options = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    network = Detector(frozen=0)
    load_average(network, options.first, options.second, options.share)
    network.eval()
    export(network, options.out)
    calibration = calibrate(options.out, options.data)
    export(network, options.out, calibration)
    print(check(network, options.out, calibration))


if __name__ == "__main__":
    main()
