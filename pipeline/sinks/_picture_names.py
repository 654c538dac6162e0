"""Names of pictures in tables: their own, or those that extracted frames would have."""

from __future__ import annotations

import glob
import os
from pathlib import Path, PurePath, PurePosixPath

from pipeline.core.data import Frame
from pipeline.core.paths import folded, safe_stem
from pipeline.core.run_info import RunInfo


class PictureNames:
    """The name of each frame's picture, with `/` on every system.

    Unrelated pictures have the path of their file below the folder that they were read from. A
    frame of a video or camera is `<source>/<index from 1>.jpg`, as a frame extractor names it.
    """

    def __init__(self, run: RunInfo) -> None:
        self._roots = {
            source: folder_read_from(info.file)
            for source, info in run.sources.items()
            if info.unrelated
        }

    def of(self, frame: Frame) -> PurePosixPath:
        """Return the frame's name, in general with a folder."""
        if frame.source not in self._roots or not frame.file:
            return PurePosixPath(frame.source, f"{frame.index + 1:06d}.jpg")
        path = Path(frame.file)
        inside = path_below(self._roots[frame.source], path)
        return PurePosixPath(*(inside or Path(path.name)).parts)


def folder_read_from(text: str) -> Path | None:
    """Return the folder that contains a picture, a folder or a pattern of pictures."""
    if not text:
        return None
    path = Path(text)
    if path.is_dir():
        return path
    if glob.has_magic(text) and not os.path.exists(path):
        plain: list[str] = []
        for part in path.parts:
            if glob.has_magic(part):
                break
            plain.append(part)
        return Path(*plain)
    return path.parent


def path_below(folder: Path | None, path: Path) -> Path | None:
    """Return a path relative to a folder above it, None if it is not below."""
    if folder is None:
        return None
    absolute, above = Path(os.path.abspath(path)), os.path.abspath(folder)
    return absolute.relative_to(above) if absolute.is_relative_to(above) else None


def unused_path(folder: Path, read: PurePath, suffix: str, taken: set[str]) -> Path:
    """Return a path in `folder` for a picture that was read, and record it in `taken`.

    No other picture has it, ignoring case: if a.jpg exists, a.webp becomes a.webp.jpg, and the next
    one a-2.jpg.
    """
    stem = safe_stem(read.stem)
    names = [f"{stem}{suffix}", f"{safe_stem(read.name)}{suffix}"]
    count = 1
    while folded(str(folder / names[0])) in taken:
        names.pop(0)
        if not names:
            count += 1
            names.append(f"{stem}-{count}{suffix}")
    taken.add(folded(str(folder / names[0])))
    return folder / names[0]
