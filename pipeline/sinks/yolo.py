"""Sink: boxes as YOLO labels, OUT/labels/<picture>.txt and OUT/data.yaml with the class names.

A line is `class cx cy width height`, in parts of the picture's width and height.
https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from pipeline.core.atomic_file import replacing, write_text
from pipeline.core.boxes import cxcywh_from_xyxy
from pipeline.core.data import Result
from pipeline.core.errors import WriteError, writing
from pipeline.core.options import OptionsModel
from pipeline.core.paths import safe_stem
from pipeline.core.run_info import RunInfo
from pipeline.core.yaml_file import dump
from pipeline.sinks._files import OutputFolder
from pipeline.sinks._picture_names import PictureNames, unused_path

FOLDER_NAME, CLASSES_NAME = "labels", "data.yaml"


class Options(OptionsModel):
    """Options of the label files."""

    scores: bool = False
    """Append the score to each box; training programs expect none."""


def build(options: Options) -> YoloSink:
    """Return the sink; nothing is opened yet."""
    return YoloSink(options)


class YoloSink:
    """Sink that writes a file for each picture, an empty one without objects.

    `a.png` beside `a.jpg` becomes `a.png.txt`. Predicted boxes of a tracker are left out.
    """

    own_thread = False

    def __init__(self, options: Options) -> None:
        self._scores = options.scores
        self._folder: OutputFolder | None = None
        self._names: PictureNames | None = None
        self._run: RunInfo | None = None
        self._taken: set[str] = set()
        self._began = False

    def open(self, run: RunInfo) -> None:
        """Check that the files can be written; raises OutputError and leaves nothing behind."""
        self._folder = OutputFolder(run)
        self._folder.make()
        self._folder.check(run.output / CLASSES_NAME)
        self._names, self._run = PictureNames(run), run
        self._taken, self._began = set(), False

    def write(self, result: Result) -> None:
        """Write the picture's labels; raises WriteError."""
        if self._folder is None or self._names is None or self._run is None:
            raise ValueError("YoloSink.write: open() comes first")
        if not self._began:
            self._began = True
            self._begin(self._folder, self._run)
        path = self._folder.path / FOLDER_NAME / self._free(self._names.of(result.frame))
        with writing(path, WriteError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial:
                partial.write_text("".join(self._lines(result)), "utf-8")

    def close(self) -> None:
        """Forget the folder; every file is complete already."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.drop_if_empty()

    @staticmethod
    def _begin(folder: OutputFolder, run: RunInfo) -> None:
        path = folder.path / CLASSES_NAME
        folder.claim(folder.path / FOLDER_NAME)
        folder.begin(path)
        with writing(path, WriteError):
            write_text(path, dump({"names": dict(run.class_names)}))

    def _lines(self, result: Result) -> list[str]:
        height, width = result.frame.shape[:2]
        tracks = result.tracks[~result.tracks.coasting]
        limit = np.array([width, height, width, height], np.float32)
        inside = np.clip(tracks.xyxy, 0, limit)
        parts = cxcywh_from_xyxy(inside) / limit
        lines = []
        for class_id, box, score in zip(
            tracks.class_id.tolist(), parts.tolist(), tracks.score.tolist(), strict=True
        ):
            numbers = [*box, score] if self._scores else box
            lines.append(f"{class_id} {' '.join(f'{number:.6f}' for number in numbers)}\n")
        return lines

    def _free(self, name: PurePosixPath) -> Path:
        """Return the path of a picture's labels in their folder, which no other picture has."""
        folder = Path(*map(safe_stem, name.parts[:-1]))
        return unused_path(folder, name, ".txt", self._taken)
