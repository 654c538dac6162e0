"""Sink: boxes as one COCO file, OUT/coco.json: images, annotations with `score`, categories.

For pictures above all; tracks of videos with their ids are `trackline convert --to coco_vid`.
https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.core.atomic_file import replacing
from pipeline.core.coco_shapes import joints_of_category, keypoints_of_annotation
from pipeline.core.data import Detections, Result, Tracks
from pipeline.core.errors import WriteError, writing
from pipeline.core.options import OptionsModel
from pipeline.core.output_columns import plain_keypoints
from pipeline.core.run_info import RunInfo
from pipeline.sinks._files import OutputFolder
from pipeline.sinks._picture_names import PictureNames

FILE_NAME = "coco.json"


class Options(OptionsModel):
    """The COCO file has no options."""


def build(options: Options) -> CocoSink:  # noqa: ARG001 - every plug-in takes its options
    """Return the sink; nothing is opened yet."""
    return CocoSink()


class CocoSink:
    """Sink that writes the file at the end, in one step, because unfinished JSON cannot be read.

    A category's id is the class id plus 1, because many readers take 0 for the background.
    Predicted boxes of a tracker are left out.
    """

    own_thread = False

    def __init__(self) -> None:
        self._folder: OutputFolder | None = None
        self._names: PictureNames | None = None
        self._classes: dict[int, str] = {}
        self._joints: dict[int, int] = {}
        self._images: list[str] = []
        self._annotations: list[str] = []

    def open(self, run: RunInfo) -> None:
        """Check that the file can be written; raises OutputError and leaves nothing behind."""
        self._folder = OutputFolder(run)
        self._folder.make()
        self._folder.check(run.output / FILE_NAME)
        self._names = PictureNames(run)
        self._classes = dict(run.class_names)
        self._images, self._annotations, self._joints = [], [], {}

    def write(self, result: Result) -> None:
        """Add the result's picture and its boxes."""
        if self._names is None:
            raise ValueError("CocoSink.write: open() comes first")
        height, width = result.frame.shape[:2]
        image_id = len(self._images) + 1
        name = str(self._names.of(result.frame))
        self._images.append(
            _compact({"id": image_id, "file_name": name, "width": width, "height": height})
        )
        tracks = result.tracks[~result.tracks.coasting]
        shapes = _shapes(tracks, result.detections)
        for (x1, y1, x2, y2), score, class_id, shape in zip(
            tracks.xyxy.tolist(),
            tracks.score.tolist(),
            tracks.class_id.tolist(),
            shapes,
            strict=True,
        ):
            self._classes.setdefault(class_id, str(class_id))
            wide, high = round(x2 - x1, 2), round(y2 - y1, 2)
            annotation = {
                "id": len(self._annotations) + 1,
                "image_id": image_id,
                "category_id": class_id + 1,
                "bbox": [round(x1, 2), round(y1, 2), wide, high],
                "area": round(wide * high, 2),
                "iscrowd": 0,
                "score": round(score, 4),
                **shape,
            }
            if "keypoints" in shape:
                self._joints[class_id] = len(shape["keypoints"]) // 3
            self._annotations.append(_compact(annotation))

    def close(self) -> None:
        """Write the file, if anything came; raises WriteError."""
        folder, self._folder = self._folder, None
        if folder is None:
            return
        try:
            if self._images:
                path = folder.path / FILE_NAME
                folder.begin(path)
                with writing(path, WriteError), replacing(path) as partial:
                    partial.write_text(self._text(), "utf-8", "backslashreplace")
        finally:
            folder.drop_if_empty()

    def _text(self) -> str:
        categories = [
            _compact({"id": n + 1, "name": name, **joints_of_category(self._joints.get(n, 0))})
            for n, name in self._classes.items()
        ]
        parts = (
            ("images", self._images), ("annotations", self._annotations), ("categories", categories)
        )  # fmt: skip
        arrays = [f'"{key}":[\n' + ",\n".join(rows) + "]" for key, rows in parts]
        return '{"info":{"description":"boxes of trackline"},\n' + ",\n".join(arrays) + "}\n"


def _shapes(tracks: Tracks, found: Detections) -> list[dict[str, Any]]:
    """Return COCO's fields for each track's mask and keypoints; {} without any.

    Outlines are polygons, as most readers expect for single objects; RLE if they are too small for
    one.
    """
    shapes: list[dict[str, Any]] = [{} for _ in range(len(tracks))]
    for shape, mask in zip(shapes, tracks.masks(found) or (), strict=False):
        if mask is not None:
            polygons = [polygon.ravel().tolist() for polygon in mask.polygons()]
            shape["segmentation"] = polygons or mask.rle()
            shape["area"] = mask.area
    keypoints = tracks.keypoints(found)
    for shape, points in zip(shapes, () if keypoints is None else keypoints, strict=False):
        plain = plain_keypoints(points)
        if plain is not None:
            shape |= keypoints_of_annotation(plain)
    return shapes


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
