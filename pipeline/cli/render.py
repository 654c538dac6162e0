"""Draw recorded tracks on their video, without the model: boxes, blur, heat map.

TRACKS is the output of a run (tracks.csv, tracks.jsonl, MOTChallenge text, Parquet, or its folder),
or a dataset. VIDEO is the file the tracks belong to; any other is refused.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from pipeline.archive.render.render import RenderJob, render
from pipeline.cli._arguments import add_tracks_argument, add_video_argument, given_video, local_path
from pipeline.cli._file_progress import file_progress
from pipeline.core.drawing import ALL_LABELS, LabelPart
from pipeline.core.errors import UsageError
from pipeline.core.options import split_names, unknown

HELP = "draw recorded tracks on their video, blur, heat map"
FOLDER = "rendered"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_tracks_argument(parser)
    add_video_argument(parser)
    parser.add_argument(
        "-o", "--output", type=local_path, default=Path(FOLDER), metavar="OUT",
        help=f"folder, or .mp4 file (default: {FOLDER})",
    )  # fmt: skip
    parser.add_argument("--source", metavar="NAME", help="source in TRACKS that VIDEO is")
    parser.add_argument(
        "--blur", metavar="KIND,...", help="make unrecognisable: person,vehicle,face; all"
    )
    parser.add_argument(
        "--heatmap", action="store_true", help="draw where objects were, in the video and as a PNG"
    )
    parser.add_argument(
        "--no-video", action="store_true", help="with --heatmap: write its PNG only"
    )
    parser.add_argument("--no-boxes", action="store_true", help="draw no boxes, labels or trails")
    parser.add_argument(
        "--labels", metavar="PART,...",
        help=f"parts of a label: {','.join(ALL_LABELS)} (default: all); or none",
    )  # fmt: skip
    parser.add_argument("--trail", type=float, default=1.5, metavar="S", help="seconds of trail")


def execute(args: argparse.Namespace) -> int:
    """Write the files and print their paths; exit code 1 if the video is damaged."""
    video = given_video(args)
    if args.no_video and not args.heatmap:
        raise UsageError("--no-video: leaves nothing to write without --heatmap")
    if not 0 <= args.trail < float("inf"):
        raise UsageError(f"--trail: want 0 or more seconds, got {args.trail:g}")
    job = RenderJob(
        tracks=args.tracks,
        video=video,
        output=args.output,
        source=args.source,
        blur=tuple(split_names(args.blur)) if args.blur is not None else (),
        heatmap=args.heatmap,
        makes_video=not args.no_video,
        boxes=not args.no_boxes,
        labels=_labels(args.labels),
        trail_s=args.trail,
    )
    with file_progress(video.name) as progress:
        done = render(job, progress)
    for path in done.files:
        print(path)  # noqa: T201
    if done.broken:
        print(f"trackline: {done.broken}", file=sys.stderr)  # noqa: T201
    return 1 if done.broken else 0


def _labels(text: str | None) -> tuple[LabelPart, ...]:
    if text is None:
        return ALL_LABELS
    names = split_names(text)
    if names == ["none"]:
        return ()
    known: tuple[LabelPart, ...] = get_args(LabelPart)
    for name in names:
        if name not in known:
            raise UsageError(f"--labels: {unknown('part', name, [*known, 'none'])}")
    return tuple(part for part in known if part in names)
