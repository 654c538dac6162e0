"""Convert weights: .pt to ONNX or OpenVINO, .onnx to OpenVINO, and either to int8.

With --int8 the last fifth of every --calibrate video is held out; boxes and speed of the int8 copy
on it are compared with the original and printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from pipeline.tools.export.agreement import Agreement
    from pipeline.tools.export.comparison import Comparison

WORTH_IT = 1.1
"""Minimum speed-up at which an int8 copy is worth its loss of accuracy."""
HELP = "convert .pt or .onnx weights, optionally to int8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `models export`."""
    parser.add_argument("weights", metavar="NAME|PATH|URL", help=".pt, .onnx or OpenVINO weights")
    parser.add_argument("--format", choices=("onnx", "openvino"), help="default: onnx from .pt")
    parser.add_argument("--imgsz", type=int, default=640, metavar="PIXELS", help="long side, 640")
    parser.add_argument("--half", action="store_true", help="store OpenVINO weights as fp16")
    parser.add_argument("--int8", action="store_true", help="quantize; needs the extra quantize")
    parser.add_argument(
        "--calibrate", nargs="+", type=Path, metavar="VIDEO|FOLDER", default=[],
        help="footage similar to the network's later input, for --int8",
    )  # fmt: skip
    parser.add_argument(
        "--frames",
        type=int,
        default=300,
        metavar="N",
        help="most frames of the footage to use (300)",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="file or folder to write")


def execute(args: argparse.Namespace) -> int:
    """Convert and print the path of the result.

    With --int8 also the accuracy lost and speed gained.
    """
    from pipeline.models.resolve import find_weights

    _check(args)
    weights = find_weights(args.weights)
    from_pt = weights.suffix.lower() == ".pt"
    wanted = args.format or ("onnx" if from_pt and not args.int8 else "openvino")
    if wanted == "onnx" and not from_pt:
        raise UsageError(f"export: only .pt weights become ONNX, got {weights.name}")
    if weights.suffix.lower() == ".xml" and not args.int8:
        raise UsageError(f"export: {weights.name} is an OpenVINO network already; want --int8")
    kind = {"onnx": ".onnx", "openvino": "_int8_openvino" if args.int8 else "_openvino"}
    output = args.output or Path(f"{weights.stem}{kind[wanted]}")
    if wanted == "onnx":
        from pipeline.tools.export.formats import onnx_from_pt

        onnx_from_pt(weights, output, args.imgsz)
    else:
        with _as_graph(weights, args.imgsz) as graph:
            if args.int8:
                return _quantize(args, graph, output, weights.stem)
            from pipeline.tools.export.formats import openvino_from_onnx

            openvino_from_onnx(graph, output, weights.stem, half=args.half)
    sys.stdout.write(f"{output}\n")
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.int8 and not args.calibrate:
        raise UsageError("export: --int8 needs --calibrate VIDEO|FOLDER, footage of your own")
    if args.calibrate and not args.int8:
        raise UsageError("export: --calibrate is for --int8")
    if args.int8 and (args.half or args.format == "onnx"):
        raise UsageError("export: --int8 writes OpenVINO, so leave out --half and --format onnx")
    if args.half and args.format == "onnx":
        raise UsageError("export: --half is for --format openvino")
    if args.imgsz < 32 or args.frames < 10:
        raise UsageError("export: want --imgsz of 32 or more and --frames of 10 or more")


@contextmanager
def _as_graph(weights: Path, imgsz: int) -> Iterator[Path]:
    """Yield the weights as a file that OpenVINO reads: .pt is exported to a temporary ONNX file."""
    if weights.suffix.lower() != ".pt":
        yield weights
        return
    from pipeline.tools.export.formats import onnx_from_pt

    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder) / f"{weights.stem}.onnx"
        onnx_from_pt(weights, onnx, imgsz)
        yield onnx


def _quantize(args: argparse.Namespace, original: Path, output: Path, stem: str) -> int:
    from pipeline.tools.export.comparison import compare
    from pipeline.tools.export.footage import gather
    from pipeline.tools.export.int8 import Quantizer, import_nncf

    import_nncf()  # checked before minutes of work
    quantizer = Quantizer(original, args.imgsz)
    footage = gather(args.calibrate, args.frames, quantizer.shrink)
    quantizer.write(footage.calibration, output, stem)
    sys.stdout.write(f"{output}\n")
    result = compare(original, output, footage.held_out, args.imgsz)
    sys.stdout.write(_comparison_text(result, len(footage.calibration)))
    return 0


def _comparison_text(result: Comparison, calibrated: int) -> str:
    """Return the comparison as text."""
    frames = result.int8.frames
    gain = "" if result.faster_than_default > WORTH_IT else ": keep the original here"
    return (
        f"calibrated on {calibrated} frames; compared on {frames} that it has not seen, "
        f"against the original's {result.int8.boxes} boxes in fp32\n\n"
        f"{'':18}{'recall':>8}{'precision':>11}{'mean IoU':>10}{'score':>9}{'mAP50':>8}"
        f"{'ms/frame':>11}\n"
        f"{'original, fp32':18}{'1':>8}{'1':>11}{'1':>10}{'0':>9}{'1':>8}{result.fp32_ms:11.2f}\n"
        f"{'original, default':18}{_row(result.default)}{result.default_ms:11.2f}\n"
        f"{'int8':18}{_row(result.int8)}{result.int8_ms:11.2f}\n\n"
        f"int8 is {result.faster_than_fp32:.2f} times as fast as the original in fp32 and "
        f"{result.faster_than_default:.2f} times as fast as it runs by default{gain}\n"
    )


def _row(boxes: Agreement) -> str:
    return (
        f"{boxes.recall:8.3f}{boxes.precision:11.3f}{boxes.mean_iou:10.3f}"
        f"{boxes.score_shift:+9.4f}{boxes.map50:8.3f}"
    )
