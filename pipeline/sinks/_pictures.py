"""Annotated pictures: OUT/<source>/<name> in the picture's own size, never over an input."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from pipeline.core.atomic_file import replacing
from pipeline.core.data import Frame, Image
from pipeline.core.errors import OutputError, WriteError, writing
from pipeline.core.paths import safe_stem
from pipeline.sinks._files import OutputFolder, is_same_file
from pipeline.sinks._picture_names import folder_read_from, path_below, unused_path

log = logging.getLogger("trackline")

JPEG_QUALITY = 92
JPEG_SUFFIXES = frozenset({".jfif", ".jpe", ".jpeg", ".jpg"})
_MAX_JPEG_SIDE = 65_500  # of libjpeg


class PictureFolder:
    """Folder of one source's annotated pictures, created with the first of them.

    JPEG stays JPEG and PNG stays PNG, under the same names; other formats become JPEG. The
    structure of subfolders is kept. Raises OutputError if the pictures would be written among the
    input pictures.
    """

    def __init__(self, output: OutputFolder, source: str, read_from: str) -> None:
        self.path = output.path_of(source, "")
        self._output = output
        self._root = folder_read_from(read_from)
        self._taken: set[str] = set()
        self._began = self._has_replaced = False
        of_folder = bool(read_from) and Path(read_from).is_dir()
        for path in (self.path, *([output.path] if of_folder else [])):
            if self._root is not None and is_same_file(path, self._root):
                raise OutputError(
                    f"{path}: the pictures are read from there; choose another output folder"
                )
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path}: want a folder to write pictures to, there is a file")

    def write(self, frame: Frame, annotated: Image) -> None:
        """Write one annotated picture atomically; raises WriteError."""
        path = self._path_of(frame, annotated)
        if frame.file and is_same_file(path, Path(frame.file)):
            raise WriteError(f"{path}: is a picture of this run; choose another output folder")
        if not self._began:
            self._began = True
            self._output.claim(self.path)
        with writing(path, WriteError):
            if not self._has_replaced and path.exists():
                self._has_replaced = True
                log.warning("%s: replaces pictures of an earlier run", self.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial:
                partial.write_bytes(_encoded(annotated, path))

    def _path_of(self, frame: Frame, image: Image) -> Path:
        """Return a path that no other picture of the source has, ignoring case."""
        read = Path(frame.file or f"{frame.index}.jpg")
        folder = self.path
        inside = path_below(self._root, read.parent)
        if inside is not None:
            folder = folder.joinpath(*map(safe_stem, inside.parts))
        suffix = _written_suffix(read.suffix, image)
        return unused_path(folder, read, suffix, self._taken)


def _written_suffix(suffix: str, image: Image) -> str:
    """Return the suffix of the annotated picture: the input's if it is JPEG or PNG, else .jpg."""
    if max(image.shape[:2]) > _MAX_JPEG_SIDE:
        return suffix if suffix.lower() == ".png" else ".png"
    return suffix if suffix.lower() in JPEG_SUFFIXES | {".png"} else ".jpg"


def _encoded(image: Image, path: Path) -> bytes:
    """Return the file's bytes; raises WriteError for a picture that its format cannot hold."""
    import cv2

    is_png = path.suffix.lower() == ".png"
    options = [] if is_png else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    try:
        fine, data = cv2.imencode(".png" if is_png else ".jpg", image, options)
    except cv2.error:
        fine, data = False, np.empty(0, np.uint8)
    if not fine:
        height, width = image.shape[:2]
        raise WriteError(f"{path}: a picture of {width}x{height} cannot be encoded")
    return data.tobytes()
