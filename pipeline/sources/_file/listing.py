"""Listing of the pictures and videos in a folder or pattern, by suffix and by content."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pipeline.core.dataset_folder import holds_dataset
from pipeline.core.media_file import open_media
from pipeline.core.own_video import is_own_video
from pipeline.core.paths import home_path

PICTURE_SUFFIXES = frozenset(
    (
        ".avif", ".bmp", ".dib", ".heic", ".heif", ".hif", ".jfif", ".jp2", ".jpe",
        ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
    )
)  # fmt: skip
"""Suffixes taken as pictures without reading the file."""

VIDEO_SUFFIXES = frozenset(
    (
        ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".dav", ".divx", ".dv", ".f4v", ".flv",
        ".gif", ".gxf", ".h264", ".h265", ".hevc", ".insv", ".ivf", ".lrv",
        ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4",
        ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogv", ".qt", ".rmvb", ".trp",
        ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m",
    )
)  # fmt: skip
"""Suffixes taken as videos without reading the file; unreadable ones are reported."""

_OWN_SUFFIXES = (".mp4", ".mkv")
_HEAD_BYTES = 4096
_PROBE_BYTES = 1_000_000
_PICTURE_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  \r\n")
_HEIF_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1")
# Text-art formats that any file with their suffix passes for, and lists of other files.
_NOT_PROBED = frozenset(("adf", "bin", "concat", "dash", "hls", "idf", "sdp", "tty", "xbin"))
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_SPECIAL = (
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


@dataclass(frozen=True)
class Listing:
    """The readable files of a folder or pattern in natural order, and the files left out.

    `left_out` counts by type (".txt", "subfolder", "named pipe", "dataset", "hidden .mp4",
    "annotated video").
    """

    pictures: tuple[Path, ...]
    videos: tuple[Path, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def left_out_text(self) -> str:
        """Describe the files left out, for instance "10 .txt, 2 subfolder".

        "" if there are none.
        """
        most_first = sorted(self.left_out.items(), key=lambda one: (-one[1], one[0]))
        return ", ".join(f"{count} {what}" for what, count in most_first)


def list_files(path: Path, *, recursive: bool = False) -> Listing | None:
    """List the files of a folder or glob pattern; None if `path` is neither.

    Named pipes, devices and sockets are never opened. Hidden files are skipped: macOS leaves a
    `._clip.mp4` beside each file it copies. So are datasets of this program below the path, and
    annotated videos of other runs. A pattern that ends in a suffix takes all other files it
    matches. Raises OSError if the folder itself cannot be read.
    """
    named = None
    if path.is_dir():
        found = _walk(path) if recursive else path.iterdir()
        found = (each for each in found if not each.name.startswith(".") or _is_media(each))
    elif glob.has_magic(str(path)) and not os.path.exists(path):
        # Existence is checked first: `clip[1].mp4` is a file name, too.
        suffix = Path(path.name).suffix.lower()
        named = suffix if suffix and not glob.has_magic(suffix) else None
        found = map(Path, glob.iglob(str(path), recursive=True))
        if "**" in path.parts:  # which names the folders on its way, too
            found = (each for each in found if not each.is_dir())
        found = _outside_datasets(path, found)
    else:
        return None
    is_pattern = not path.is_dir()
    pictures, videos, left_out = [], [], Counter[str]()
    for each in sorted(set(found), key=natural):
        is_hidden = each.name.startswith(".") and not is_pattern  # a pattern says so itself
        kind = f"hidden {each.suffix.lower()}" if is_hidden else _kind(each)
        if kind not in ("picture", "video") and named is not None and kind == named:
            kind = "video"  # tried, and set aside with the reason if it is not a video
        if kind == "picture":
            pictures.append(each)
        elif kind == "video":
            videos.append(each)
        else:
            left_out[kind] += 1
    return Listing(tuple(pictures), tuple(videos), dict(left_out))


def picture_files(names: Iterable[str], *, recursive: bool = False) -> dict[Path, str]:
    """Return the pictures that files, folders and patterns name, in order, each once.

    Each comes with "", or with the reason if it is not a picture. GIFs count; their first picture
    is read.
    """
    found: dict[Path, str] = {}
    for name in names:
        path = home_path(name)
        try:
            listing = list_files(path, recursive=recursive)
        except OSError as error:
            found.setdefault(path, f"cannot be read: {error.strerror}")
            continue
        if listing is None:
            found.setdefault(path, "")
            continue
        gifs = [each for each in listing.videos if each.suffix.lower() == ".gif"]
        pictures = sorted((*listing.pictures, *gifs), key=natural)
        if not pictures:
            there = f"; there are: {listing.left_out_text}" if listing.left_out else ""
            what = "the folder holds" if path.is_dir() else "matches"
            found.setdefault(path, f"{what} no pictures ({_known()}){there}")
        found |= {each: "" for each in pictures if each not in found}
    return found


def _known() -> str:
    return ", ".join(sorted({*PICTURE_SUFFIXES, ".gif"}))


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Return a sort key that orders numbers by value: frame2 before frame10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdecimal() else (1, part.casefold()) for part in parts]


def _is_media(path: Path) -> bool:
    """Return whether a path has the suffix of a picture or video."""
    return path.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES


def _outside_datasets(pattern: Path, found: Iterator[Path]) -> Iterator[Path]:
    """Yield the files that match a pattern; a dataset is yielded as its folder, not its files.

    Folders named by the pattern without a wildcard are searched in any case.
    """
    fixed = next(n for n, part in enumerate(pattern.parts) if glob.has_magic(part))
    is_dataset = cache(holds_dataset)
    for each in found:
        below = reversed(each.parents[: len(each.parts) - 1 - fixed])
        yield next((folder for folder in below if is_dataset(folder)), each)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, following links, no folder twice: links may form a circle.

    Datasets are yielded, not entered.
    """
    if holds_dataset(folder):
        yield folder
        return
    seen: set[tuple[int, int]] = set()
    for inside, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for name in folders[:]:
            try:
                there = os.stat(os.path.join(inside, name))
                unreadable = not os.access(os.path.join(inside, name), os.R_OK | os.X_OK)
            except OSError:
                folders.remove(name)
                continue
            if (there.st_dev, there.st_ino) in seen:
                folders.remove(name)
            elif unreadable or holds_dataset(Path(inside, name)):
                folders.remove(name)
                yield Path(inside, name)
            seen.add((there.st_dev, there.st_ino))
        yield from (Path(inside, name) for name in files)


def _kind(path: Path) -> str:
    """Return "picture", "video", or the type of anything else."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "broken link" if path.is_symlink() else "unreadable"
    if stat.S_ISDIR(mode):
        return "dataset" if holds_dataset(path) else "subfolder"
    for is_one, what in _SPECIAL:
        if is_one(mode):
            return what
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        return "picture"
    if suffix in VIDEO_SUFFIXES:
        is_own = suffix in _OWN_SUFFIXES and is_own_video(path)
        return "annotated video" if is_own else "video"
    return _kind_by_content(path) or suffix or "without suffix"


def _kind_by_content(path: Path) -> str | None:
    """Return "picture" or "video" by the file's content, None if it is neither."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    if head.startswith(_PICTURE_HEADS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "picture"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "picture"
    if not head or _is_text(head):
        return None  # for instance labels beside thousands of pictures: FFmpeg would take a while
    return "video" if _is_video(path) else None


def _is_text(head: bytes) -> bool:
    if _CONTROL.search(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # a letter that the end of the head has cut
    return True


def _is_video(path: Path) -> bool:
    """Return whether FFmpeg finds moving pictures of a plausible size in the file."""
    import av

    from pipeline.sources._file.picture import picture_stream

    options = {
        "probesize": str(_PROBE_BYTES),
        "format_whitelist": _probed_formats(),
        "protocol_whitelist": "file",
    }
    try:
        with open_media(path, options=options) as container:
            stream = picture_stream(container)
            return stream is not None and stream.width > 0 and stream.height > 0
    except (av.FFmpegError, OSError, ValueError):
        return False


@cache
def _probed_formats() -> str:
    import av

    return ",".join(sorted(av.formats_available - _NOT_PROBED))
