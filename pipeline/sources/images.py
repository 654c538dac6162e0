"""Source: pictures, given as one file, a folder, a glob, or a list; in natural order."""

from __future__ import annotations

import glob
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.core.data import Frame
from pipeline.core.errors import SourceBrokenError, SourceError
from pipeline.core.options import OptionsModel
from pipeline.core.paths import home_path
from pipeline.core.run_info import SourceInfo
from pipeline.sources._file.listing import PICTURE_SUFFIXES, list_files
from pipeline.sources._file.picture_size import MAX_MEGAPIXELS
from pipeline.sources._file.still_picture import load_picture

log = logging.getLogger("trackline")


class Options(OptionsModel):
    """Which pictures to read, and the time between them."""

    path: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)]
    """A picture, a folder, a pattern such as frames/*.png, or a list of pictures."""
    fps: float = Field(25.0, gt=0)
    """Pictures per second, for times and the tracker's thresholds in seconds. Setting it means that
    the pictures are the frames of a video."""
    sequence: bool | None = None
    """true: the pictures are the frames of a video, which are tracked and written as one. false:
    they have nothing to do with each other; none is tracked, annotated pictures are written. null:
    true where `fps`, a tracker or recorded detections are given."""
    max_megapixels: float = Field(MAX_MEGAPIXELS, gt=0)
    """Maximum size of a picture; larger ones are skipped."""
    name: str | None = Field(None, min_length=1)
    """Name in results and outputs (default: the picture's or folder's name)."""
    recursive: bool = False
    """Also read the pictures in subfolders."""


def build(options: Options) -> ImageSource:
    """Return the source, not yet open."""
    return ImageSource(options)


class ImageSource:
    """Source of pictures in natural order (2 before 10), which may differ in size.

    A picture that cannot be read is skipped; at the end SourceBrokenError names it. `on_unreadable`
    gets its path and the reason as it is found; without it they are logged. A frame's index is its
    picture's position in the listing, so it stays the same whichever of the others can be read;
    `left_out` counts those that cannot.
    """

    live = False

    def __init__(
        self, options: Options, on_unreadable: Callable[[Path, str], None] | None = None
    ) -> None:
        paths = [options.path] if isinstance(options.path, str) else options.path
        self._given = [str(home_path(each)) for each in paths]
        self._is_list = not isinstance(options.path, str)
        self._pattern = _shared_folder(self._given) if self._is_list else self._given[0]
        self._on_unreadable = on_unreadable
        self._fps = options.fps
        self._recursive = options.recursive
        self._unrelated = options.sequence is False
        self._max_megapixels = options.max_megapixels
        self.name = options.name or _name_of(Path(self._pattern))
        self._paths: list[Path] = []
        self._place = self.left_out = 0
        self._unreadable: list[tuple[Path, str]] = []
        self._in_part = 0
        self._first_in_part = ""
        self._next: Frame | None = None

    def open(self) -> SourceInfo:
        """Find the pictures; raises SourceError if there are none."""
        self.close()
        self._in_part = 0
        if self._is_list:
            self._paths = [Path(each) for each in dict.fromkeys(self._given)]
        else:
            self._paths = _find(self._pattern, recursive=self._recursive)
        # The sizes of the others are their own; the first stands for them.
        self._next = self._load()
        if self._next is None:
            path, why = self._unreadable[0]
            raise SourceError(f"{self._pattern}: no picture can be read (first: {path}: {why})")
        height, width = self._next.image.shape[:2]
        count = len(self._paths)
        return SourceInfo(
            width,
            height,
            self._fps,
            count,
            "images",
            file=self._pattern,
            unrelated=self._unrelated,
        )

    def read(self) -> Frame | None:
        """Return the next picture; None at the end, SourceBrokenError if any was unreadable."""
        frame, self._next = self._next or self._load(), None
        if frame is None and self._unreadable:
            shown, self._unreadable = self._unreadable, []
            path, why = shown[0]
            raise SourceBrokenError(f"{path}: not a readable picture: {why} ({len(shown)} such)")
        return frame

    def close(self) -> None:
        """Forget the pictures; safe to call twice and if never opened."""
        if self._paths and self._in_part > 1:
            log.warning("%s", self.notes[0])
        self._paths = []
        self._place = self.left_out = 0
        self._unreadable = []
        self._next = None

    @property
    def notes(self) -> list[str]:
        """Return the line for the report about files read only in part."""
        more = f" ({self._in_part} such)" if self._in_part > 1 else ""
        return [f"{self._first_in_part}{more}"] if self._in_part else []

    def _load(self) -> Frame | None:
        """Return the next readable picture, None after the last."""
        frame, first_skipped = None, len(self._unreadable)
        while frame is None and self._place < len(self._paths):
            place, path = self._place, self._paths[self._place]
            self._place += 1
            picture = load_picture(path, self._max_megapixels)
            if picture.image is None:
                self._unreadable.append((path, picture.why))
                if self._on_unreadable is not None:
                    self._on_unreadable(path, picture.why)
                continue
            if picture.pages != 1:
                self._note_pages(path, picture.pages)
            self.left_out = len(self._unreadable)
            pts_s, now = place / self._fps, time.monotonic()
            frame = Frame(picture.image, self.name, place, pts_s, now, file=str(path))
        if (
            self._on_unreadable is None and len(self._unreadable) < self._place
        ):  # otherwise `open` reports in one line that there is nothing to read
            for path, why in self._unreadable[first_skipped:]:
                log.warning("%s: not a readable picture: %s; skipped", path, why)
        return frame

    def _note_pages(self, path: Path, pages: int) -> None:
        """Note that only the first picture of a file is read."""
        self._in_part += 1
        if self._in_part == 1:
            several = f"{pages} pictures" if pages else "several pictures"
            self._first_in_part = f"{path}: holds {several}, of which the first is read"
            log.warning("%s", self._first_in_part)


def _shared_folder(paths: Sequence[str]) -> str:
    """Return the folder that contains all the pictures, directly or below; "" if there is none."""
    try:
        return os.path.commonpath([os.path.dirname(os.path.abspath(each)) for each in paths])
    except ValueError:  # on several drives
        return ""


def _find(pattern: str, *, recursive: bool) -> list[Path]:
    path = Path(pattern)
    if path.is_file():
        return [path]
    known = ", ".join(sorted(PICTURE_SUFFIXES))
    found = list_files(path, recursive=recursive)
    if found is None:
        raise SourceError(f"{pattern}: no such file or folder ({known})")
    if not found.pictures:
        what = "the folder holds no pictures" if path.is_dir() else "matches no pictures"
        raise SourceError(f"{pattern}: {what} ({known})")
    return list(found.pictures)


def _name_of(path: Path) -> str:
    """Return a picture's or folder's name; for a pattern that of the folder it searches."""
    # Existence is checked first: `shot[1].png` is a file name, too.
    if glob.has_magic(str(path)) and not os.path.exists(path):
        plain = [part for part in path.parts if not glob.has_magic(part)]
        return Path(*plain).name if plain else "images"
    return (path.stem if path.suffix.lower() in PICTURE_SUFFIXES else path.name) or "images"
