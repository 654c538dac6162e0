"""The arguments that say where ground truth is; every command that reads some takes them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from pipeline.tools.evaluate.truth import Data


def add_truth_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --gt and --data."""
    parser.add_argument(
        "--gt", required=True, type=Path, metavar="DIR",
        help="<seq>/gt/gt.txt (mot) or label_02/<seq>.txt (kitti)",
    )  # fmt: skip
    parser.add_argument(
        "--data", choices=get_args(Data), default="mot", help="form and rules of the ground truth"
    )
