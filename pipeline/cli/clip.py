"""Cut one track out of its video: a clip of its frames with the object highlighted.

TRACKS and VIDEO are as in `trackline render`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.archive.render.clip import ClipJob, clip
from pipeline.cli._arguments import add_tracks_argument, add_video_argument, given_video, local_path
from pipeline.cli._file_progress import file_progress
from pipeline.core.errors import UsageError

HELP = "cut one track out of its video"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_tracks_argument(parser)
    add_video_argument(parser)
    parser.add_argument("--track", type=int, required=True, metavar="ID", help="the track's id")
    parser.add_argument(
        "-o", "--output", type=local_path, default=Path(), metavar="OUT",
        help="an .mp4 file or a folder (default: VIDEO.trackID.mp4 here)",
    )  # fmt: skip
    parser.add_argument("--source", metavar="NAME", help="source in TRACKS that VIDEO is")
    parser.add_argument(
        "--pad", type=float, default=1.0, metavar="S", help="seconds before and after (default: 1)"
    )
    parser.add_argument("--crop", action="store_true", help="only the part around the object")


def execute(args: argparse.Namespace) -> int:
    """Write the clip and print its path; exit code 1 if the video is damaged before its end."""
    video = given_video(args)
    if not 0 <= args.pad < float("inf"):
        raise UsageError(f"--pad: want 0 or more seconds, got {args.pad:g}")
    job = ClipJob(args.tracks, video, args.track, args.output, args.source, args.pad, args.crop)
    with file_progress(video.name) as progress:
        done = clip(job, progress)
    print(done.files[0])  # noqa: T201
    if done.broken:
        print(f"trackline: {done.broken}", file=sys.stderr)  # noqa: T201
    return 1 if done.broken else 0
