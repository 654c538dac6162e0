"""Paths: `~` expansion, FFmpeg's special characters, file names that are valid on every system."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection
from pathlib import Path

_NAME_BYTES = 200  # file systems allow 255; a part number and a suffix must fit behind
_UNSAFE = re.compile(r"[^\w .()+=@-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # reserved on Windows


def ffmpeg_path(path: str | os.PathLike[str]) -> str:
    """Return the name under which FFmpeg opens exactly this file, for reading and for writing.

    FFmpeg takes the part before a colon for a protocol: `12:30.mp4` is not found and `concat:a|b`
    is two other files. After `file:` everything is the path.
    https://ffmpeg.org/ffmpeg-protocols.html#file
    """
    return f"file:{os.fspath(path)}"


def home_path(path: str | os.PathLike[str]) -> Path:
    """Return the path with a leading `~` or `~name` as that user's folder.

    A file or folder that is really called `~name` is that file, and `~name` of an unknown user
    stays as it is: `Path.expanduser` raises RuntimeError there.
    """
    plain = Path(path)
    first = plain.parts[0] if plain.parts else ""
    if not first.startswith("~") or (first != "~" and os.path.lexists(plain)):
        return plain
    try:
        return plain.expanduser()
    except RuntimeError:
        return plain


def safe_stem(name: str) -> str:
    """Return `name` as a file name, without suffix, that is valid on every system; never empty."""
    stem = _UNSAFE.sub("_", name).encode("utf-8", "ignore")[:_NAME_BYTES].decode("utf-8", "ignore")
    stem = stem.strip(" .") or "source"
    return f"_{stem}" if _DEVICES.fullmatch(stem) else stem


def folded(name: str) -> str:
    """Return a key that is equal for names that some file system treats as one file."""
    return unicodedata.normalize("NFC", name).casefold()


def unused_name(name: str, suffix: str, taken: Collection[str]) -> str:
    """Return a safe file name for `name`, numbered if its folded form is in `taken`."""
    stem = safe_stem(name)
    found, count = f"{stem}{suffix}", 1
    while folded(found) in taken:
        count += 1
        found = f"{stem}-{count}{suffix}"
    return found


def one_line(text: str) -> str:
    """Return the text with control characters, as a file's name may hold, as Python writes them."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
