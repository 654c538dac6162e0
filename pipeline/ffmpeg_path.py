"""Paths of files as FFmpeg takes them, whatever characters are in their names."""

from __future__ import annotations

import os


def ffmpeg_path(path: str | os.PathLike[str]) -> str:
    """Return the name under which FFmpeg opens this very file, for reading and for writing.

    FFmpeg takes what stands before a colon for a protocol: `12:30.mp4` is not found and
    `concat:a|b` is two other files. Behind `file:` everything is the path.
    https://ffmpeg.org/ffmpeg-protocols.html#file
    """
    return f"file:{os.fspath(path)}"
