"""Calibrate a camera's view of the ground from measured points or lengths: pixels to metres.

Writes homography.yaml, which speeds and maps need, and beside it a picture with a grid on the
ground: check it before you trust the numbers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from pipeline.archive.ground.calibration import Calibration, Errors
from pipeline.archive.ground.grid_picture import draw_grid, png_of
from pipeline.archive.ground.points_file import calibrated, measured_of_options
from pipeline.archive.single_frame import read_still
from pipeline.cli._arguments import add_at_argument, local_path
from pipeline.cli._console import output_console
from pipeline.core.atomic_file import replacing, write_text
from pipeline.core.data import Image
from pipeline.core.errors import OutputError, UsageError
from pipeline.core.homography import Homography
from pipeline.core.yaml_file import dump, read_yaml

HELP = "map pixels to metres on the ground, from measured points or lengths"
_STRANGE = 4.0
"""Misfit limit: residuals above it are twice what the stated errors explain."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("source", metavar="VIDEO", help="a video, picture or camera")
    parser.add_argument("--points", type=local_path, metavar="FILE", help="points.yaml")
    parser.add_argument(
        "--point", action="append", default=[], metavar="x,y=X,Y",
        help="a pixel and its position on the ground in metres (right, ahead); four or more",
    )  # fmt: skip
    parser.add_argument(
        "--degrees", action="store_true", help="--point gives latitude,longitude, not metres"
    )
    parser.add_argument(
        "--rectangle", metavar="CORNERS=WxL",
        help="'x,y;x,y;x,y;x,y=3.5x12m': near left, near right, far right, far left, and its "
        "width and length",
    )  # fmt: skip
    parser.add_argument(
        "--length", action="append", default=[], metavar="x1,y1,x2,y2=Lm",
        help="a known length on the ground; three or more, or as a check of the points",
    )  # fmt: skip
    parser.add_argument(
        "--origin", metavar="LAT,LON[,BEARING]",
        help="where (0, 0) is on the Earth, and the compass direction of the y axis",
    )  # fmt: skip
    parser.add_argument(
        "--pixel-error", type=float, default=Errors.pixel, metavar="PX",
        help="standard deviation of the pixels (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--ground-error", type=float, default=Errors.ground_m, metavar="M",
        help="standard deviation of the ground measurements (default: %(default)s; map or aerial "
        "picture 0.3, phone's GPS 4)",
    )  # fmt: skip
    add_at_argument(parser)
    parser.add_argument(
        "-o", "--output", type=local_path, default=Path("homography.yaml"), metavar="FILE",
        help="the file to write (default: %(default)s); the picture is beside it, as .png",
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Write the file and the picture, print the residuals."""
    errors = Errors(_positive("--pixel-error", args.pixel_error),
                    _positive("--ground-error", args.ground_error))  # fmt: skip
    tree, where = _tree(args)
    if args.output.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"{args.output}: want a file called .yaml")
    frame = read_still(args.source, args.at)
    height, width = frame.shape[:2]
    homography, calibration = calibrated(tree, (width, height), errors, where)
    try:
        write_text(args.output, _text(homography))
        _write_picture(args.output.with_suffix(".png"), draw_grid(frame.image, homography))
    except OSError as error:
        raise OutputError(f"{args.output}: cannot be written: {error.strerror}") from None
    _print(homography, calibration, args.output)
    return 0


def _tree(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Return the measurements in the form of points.yaml, and their origin."""
    given = measured_of_options(args.point, args.length, args.rectangle, degrees=args.degrees)
    if args.degrees and not args.point:
        raise UsageError("--degrees: needs --point")
    if args.origin is not None:
        given["origin"] = _origin(args.origin)
    if args.points is None:
        return given, "calibrate"
    tree = read_yaml(args.points)
    if twice := sorted(set(tree) & set(given)):
        raise UsageError(f"{args.points}: has '{twice[0]}', which is given as an option too")
    return {**tree, **given}, f"{args.points}:"


def _origin(text: str) -> dict[str, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3):
        raise UsageError(f"--origin: want LAT,LON or LAT,LON,BEARING, got '{text}'")
    return dict(zip(("lat", "lon", "bearing"), numbers, strict=False))


def _positive(option: str, number: float) -> float:
    if not 0 < number < float("inf"):
        raise UsageError(f"{option}: want a number above 0, got {number:g}")
    return number


def _text(homography: Homography) -> str:
    """Return the file's text; the matrix first, the covariance, meant for programs, last."""
    tree = homography.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return dump(tree)


def _write_picture(path: Path, image: Image) -> None:
    with replacing(path) as partial:
        partial.write_bytes(png_of(image))


def _print(homography: Homography, calibration: Calibration, path: Path) -> None:
    console = output_console()
    if homography.points:
        table = Table(box=None, pad_edge=False)
        for name in ("point", "pixel", "ground", "error", "in pixels", "left out"):
            table.add_column(name, justify="right")
        for number, each in enumerate(homography.points, 1):
            left = "" if each.left_out_m is None else f"{each.left_out_m:.2f} m"
            table.add_row(
                f"{number}", f"{each.pixel[0]:g},{each.pixel[1]:g}",
                f"{each.ground[0]:.2f},{each.ground[1]:.2f} m", f"{each.error_m:.2f} m",
                f"{each.error_px:.1f}", left,
            )  # fmt: skip
        console.print(table)
    for number, length in enumerate(homography.lengths, 1):
        shown = f"{length.metres + length.error_m:.2f} m, measured {length.metres:g} m"
        console.print(f"length {number}: {shown}")
    if homography.points and len(homography.points) == 4 and not homography.lengths:
        console.print(
            "four points always fit exactly: a fifth, or a --length, would reveal a mistake"
        )
    console.print(
        f"{path} and {path.with_suffix('.png').name}: check that the grid fits the ground"
    )
    if calibration.misfit > _STRANGE:
        worst = max(homography.points, key=lambda each: each.error_px, default=None)
        shown = f"; the worst is {worst.pixel[0]:g},{worst.pixel[1]:g}" if worst else ""
        print(  # noqa: T201
            f"trackline: residuals are {calibration.misfit**0.5:.1f} times what the stated errors "
            f"explain: a wrong point, uneven ground, or a wide lens{shown}",
            file=sys.stderr,
        )
