"""Arguments shared by several commands, with checks: tracks, paths, frame rate, picture size."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.archive.remote import is_address, place_of
from pipeline.core.errors import UsageError


def add_tracks_argument(parser: argparse.ArgumentParser, what: str = "") -> None:
    """Add the argument TRACKS, parsed by `place_of`.

    `what` describes inputs beyond the usual ones.
    """
    text = "CSV, JSONL, MOT text or Parquet, a run's folder, a dataset (of a store, too: s3://...)"
    parser.add_argument("tracks", type=place_of, metavar="TRACKS", help=text + what)


def local_path(text: str) -> Path:
    """Return the local path an argument names.

    Raises UsageError for an address in an object store.
    """
    if is_address(text):
        raise UsageError(f"{text}: want a file or folder on this machine; stores hold datasets")
    return Path(text)


def add_video_argument(parser: argparse.ArgumentParser) -> None:
    """Add VIDEO, which follows TRACKS; see `given_video`."""
    parser.add_argument(
        "video", nargs="?", type=local_path, metavar="VIDEO", help="the video of the tracks"
    )


def add_at_argument(parser: argparse.ArgumentParser) -> None:
    """Add --at: which frame of a video is shown."""
    parser.add_argument(
        "--at", type=float, default=0.0, metavar="S", help="time of the frame, in seconds"
    )


def given_video(args: argparse.Namespace) -> Path:
    """Return VIDEO of a command that takes TRACKS before it; raises UsageError if it is missing."""
    video: Path | None = args.video
    if video is None:
        raise UsageError(
            f"{args.tracks}: want tracks and the video they are of: "
            f"trackline {args.command} TRACKS VIDEO"
        )
    return video


def checked_fps(fps: float | None) -> float | None:
    """Return --fps; raises UsageError unless it is above 0."""
    if fps is not None and not 0 < fps < float("inf"):
        raise UsageError(f"--fps: want a number above 0, got {fps}")
    return fps


def parsed_size(text: str | None) -> tuple[int, int] | None:
    """Return (width, height) of --size "1920x1080"; raises UsageError."""
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--size: want WIDTHxHEIGHT in pixels, got '{text}'")
    return int(width), int(height)
