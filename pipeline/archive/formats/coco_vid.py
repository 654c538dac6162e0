"""COCO-VID: one JSON file of videos, their images (frames) and annotations with track ids.

COCO's keys, and besides them `frame_id` from 0 and `instance_id` (MMTracking), `frame_index` and
`track_id` (TAO): https://github.com/open-mmlab/mmtracking, https://github.com/TAO-Dataset/tao
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from pipeline.archive.formats._format import (
    Labels,
    Layout,
    counted_from_1,
    label_of,
    media_of,
    other_sizes,
    read_fps,
    rows_by_frame,
)
from pipeline.archive.formats._json import compact, head_of, member, read_json, write_array
from pipeline.core.coco_shapes import area_of_rle, joints_of_category, keypoints_of_annotation
from pipeline.core.errors import UsageError
from pipeline.core.options import OptionsModel
from pipeline.core.sequences import DEFAULT_SIZE, RecordedSequence, VideoInfo
from pipeline.core.track_files import BoxTable, RowShape, whole

MAX_IMAGES = 50_000_000
"""Images of one video: three weeks at 25 frames per second."""


class Options(OptionsModel):
    """Options of the JSON file."""

    empty_frames: bool = True
    """List frames without boxes as images, too, as frames without objects."""


def build(options: Options) -> CocoVidFormat:
    """Return the format."""
    return CocoVidFormat(options)


class CocoVidFormat:
    """Writes and reads one file of any number of videos; boxes keep the size of their frame."""

    layout: Layout = "file"
    suffix = ".json"
    one_size = False
    needs_size = True
    takes_shapes: Literal[True] = True

    def __init__(self, options: Options) -> None:
        self._empty_frames = options.empty_frames

    def write(self, sequences: Iterable[RecordedSequence], path: Path) -> None:
        """Write the file in one pass; raises OSError."""
        writer = _Writer(self._empty_frames)
        with (
            path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as images,
        ):
            file.write('{"info":{"description":"tracks of trackline"},\n"annotations":')
            write_array(file, writer.annotations(sequences, images))
            file.write(',\n"images":[')
            images.seek(0)
            shutil.copyfileobj(images, file)
            file.write(f'],\n"videos":{compact(writer.videos)},\n')
            names = writer.labels.names
            categories = [
                {
                    "id": place + 1,
                    "name": name,
                    **joints_of_category(writer.joints.get(place + 1, 0)),
                }
                for place, name in names.items()
            ]
            file.write(f'"categories":{compact(categories)}}}\n')

    def matches(self, path: Path) -> bool:
        """Return whether it is a JSON object that begins like COCO's."""
        head = head_of(path)
        return head.startswith("{") and any(
            f'"{key}"' in head for key in ("annotations", "categories", "images", "videos")
        )

    def read(self, path: Path) -> dict[str, RecordedSequence]:
        """Return the videos by name."""
        return _read(path)


class _Writer:
    """Numbers videos, images, annotations and categories while sequences go by."""

    def __init__(self, empty_frames: bool) -> None:
        self.videos: list[dict[str, Any]] = []
        self.labels = Labels()
        self.joints: dict[int, int] = {}
        self._empty_frames = empty_frames
        self._images = 0
        self._annotations = 0

    def annotations(
        self, sequences: Iterable[RecordedSequence], images: IO[str]
    ) -> Iterator[dict[str, Any]]:
        """Yield the annotations; the images go to a file of their own."""
        for each in sequences:
            video = each.video
            video_id = len(self.videos) + 1
            self.videos.append(
                {
                    "id": video_id, "name": each.name, "file_name": media_of(each),
                    "width": video.width, "height": video.height, "fps": video.fps,
                    "length": video.length,
                }
            )  # fmt: skip
            image_id = self._write_images(each, video_id, images)
            for row in rows_by_frame(each.table):
                self._annotations += 1
                w, h = round(row.x2 - row.x1, 2), round(row.y2 - row.y1, 2)
                category = self.labels.id_of(label_of(each.class_names, row.class_id)) + 1
                found = {
                    "id": self._annotations,
                    "image_id": image_id(row.frame),
                    "video_id": video_id,
                    "category_id": category,
                    "bbox": [round(row.x1, 2), round(row.y1, 2), w, h],
                    "area": round(w * h, 2),
                    "iscrowd": 0,
                    "score": round(row.score, 4),
                }
                if row.track_id:
                    found |= {"track_id": row.track_id, "instance_id": row.track_id}
                if row.hidden:
                    found["occluded"] = True
                if row.shape is not None:
                    found |= self._shape(row.shape, category)
                yield found

    def _shape(self, shape: RowShape, category: int) -> dict[str, Any]:
        """Return an annotation's keys for its mask and keypoints."""
        found: dict[str, Any] = {}
        if shape.mask is not None:
            found["segmentation"] = {"size": [*shape.size], "counts": shape.mask}
            found["area"] = area_of_rle(shape.mask)
        if shape.keypoints is not None:
            found |= keypoints_of_annotation(shape.keypoints)
            self.joints[category] = len(shape.keypoints)
        return found

    def _write_images(
        self, each: RecordedSequence, video_id: int, images: IO[str]
    ) -> Callable[[int], int]:
        """Write the video's images; return a function from frame to image id."""
        boxed = np.unique(each.table.frame)
        frames: Iterable[int] = boxed.tolist()
        if self._empty_frames:
            if each.video.length > MAX_IMAGES:
                raise UsageError(
                    f"{each.name}: {each.video.length} frames are too many images; those with "
                    "boxes only: --set empty_frames=false"
                )
            frames = range(each.video.length)
        first, starts, sizes = self._images + 1, sorted(each.media), other_sizes(each)
        for frame in frames:
            self._images += 1
            width, height = sizes.get(frame, (each.video.width, each.video.height))
            image = {
                "id": self._images, "video_id": video_id, "frame_id": frame, "frame_index": frame,
                "width": width, "height": height, "file_name": _file_name(each, starts, frame),
            }  # fmt: skip
            images.write(("" if self._images == 1 else ",") + "\n" + compact(image))
        if self._empty_frames:
            return lambda frame: first + frame
        return lambda frame: first + int(boxed.searchsorted(frame))


def _file_name(each: RecordedSequence, starts: list[int], frame: int) -> str:
    """Return the picture's own file, for a video's frame the name a frame extractor gives it."""
    if len(starts) > 1:
        return each.media[starts[max(bisect_right(starts, frame) - 1, 0)]]
    return f"{each.name}/{frame + 1:06d}.jpg"


class _Image(NamedTuple):
    """What is needed of an image; `frame` is None where it does not say."""

    video: int
    frame: int | None
    file_name: str
    width: int
    height: int


class _Reader:
    """Takes images and annotations out of the JSON while it is read: objects would not fit."""

    def __init__(self) -> None:
        self.images: dict[int, _Image] = {}
        self.boxes: list[tuple[Any, ...]] = []
        self.counts_from_0 = False

    def take(self, found: dict[str, Any]) -> Any:
        """Keep an annotation or image and return nothing for it; return other objects."""
        if "bbox" in found and "image_id" in found:
            if not found.get("iscrowd"):
                self._add_box(found)
            return None
        if "id" in found and "file_name" in found and _is_image(found):
            frame = found.get("frame_index", found.get("frame_id"))
            self.counts_from_0 |= "frame_index" in found
            self.images[whole(found["id"])] = _Image(
                whole(found.get("video_id", _NO_VIDEO)),
                None if frame is None else whole(frame),
                str(found["file_name"]),
                whole(found.get("width") or 0),
                whole(found.get("height") or 0),
            )
            return None
        return found

    def _add_box(self, found: dict[str, Any]) -> None:
        x, y, w, h = map(float, found["bbox"])
        if not all(map(math.isfinite, (x, y, w, h))):
            raise ValueError(f"annotation {found.get('id')}: a number is not finite")
        track_id = whole(found.get("track_id", found.get("instance_id", -1)))
        class_id = whole(found.get("category_id", -1))
        self.boxes.append((whole(found["image_id"]), track_id, class_id, x, y, x + w, y + h))

    def frames(self) -> dict[int, int]:
        """Return {image id: frame from 0}; images that have no number are in order of their names,
        numbers in them by size.

        Some converters count `frame_id` from 1: then no image is 0 and the last is their number.
        """
        by_video: dict[int, list[tuple[int, _Image]]] = {}
        for image_id, image in self.images.items():
            by_video.setdefault(image.video, []).append((image_id, image))
        found = {}
        for images in by_video.values():
            numbers = [image.frame for _, image in images if image.frame is not None]
            if len(numbers) < len(images):
                images.sort(key=lambda one: _natural(one[1].file_name))
                numbers = [*range(len(images))]
            first = min(numbers)
            if first < 0:
                raise ValueError(f"an image has the frame {first}; they count from 0")
            from_1 = first == 1 and max(numbers) == len(numbers) and not self.counts_from_0
            for (image_id, _), number in zip(images, numbers, strict=True):
                found[image_id] = number - from_1
        return found


_NO_VIDEO = -1


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key by which `2.jpg` comes before `10.jpg`."""
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), "") if k % 2 else (0, 0, part) for k, part in enumerate(parts)]


def _is_image(found: Mapping[str, Any]) -> bool:
    """Return whether an object is an image, not a video, which may have all of COCO's keys too."""
    if found.keys() & {"frame_id", "frame_index", "video_id"}:
        return True
    return "height" in found and not found.keys() & {"name", "fps", "length"}


def _read(path: Path) -> dict[str, RecordedSequence]:
    reader = _Reader()
    tree = read_json(path, reader.take)
    member(tree, "annotations", list, path)
    member(tree, "images", list, path)
    try:
        names = {
            whole(each["id"]): str(each["name"]) for each in member(tree, "categories", list, path)
        }
        videos = {whole(each["id"]): each for each in tree.get("videos") or []}
        frame_of = reader.frames()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path}: {error}") from None
    used = {image.video for image in reader.images.values()}
    for video_id in sorted(used - videos.keys()):
        videos[video_id] = {"name": path.stem if video_id == _NO_VIDEO else str(video_id)}
    rows: dict[int, list[tuple[Any, ...]]] = {video_id: [] for video_id in videos}
    for image_id, *row in reader.boxes:
        if image_id not in frame_of:
            raise UsageError(f"{path}: annotations are of image {image_id}, which is not listed")
        image = reader.images[image_id]
        rows[image.video].append((frame_of[image_id], *row, image.width, image.height))
    lengths = dict.fromkeys(videos, 0)
    for image_id, image in reader.images.items():
        lengths[image.video] = max(lengths[image.video], frame_of[image_id] + 1)
    found: dict[str, RecordedSequence] = {}
    for video_id, video in videos.items():
        each = _sequence(path, video, rows.pop(video_id), names, lengths[video_id])
        if each.name in found:
            raise UsageError(f"{path}: two videos are called '{each.name}'")
        found[each.name] = each
    return found


def _sequence(
    path: Path,
    video: Mapping[str, Any],
    rows: list[tuple[Any, ...]],
    names: Mapping[int, str],
    length: int,
) -> RecordedSequence:
    frame, track_id, class_id, x1, y1, x2, y2, width, height = (
        zip(*rows, strict=True) if rows else [()] * 9
    )
    size = np.array((width, height), np.int32).T.reshape(-1, 2)
    table = BoxTable.of(
        frame,
        counted_from_1(np.array(track_id, np.int64)),
        np.array((x1, y1, x2, y2), np.float64).T,
        class_id=class_id,
        size=size,
    )
    try:
        fps = read_fps(video)
        known = whole(video.get("width") or 0), whole(video.get("height") or 0)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: video {video.get('id')}: {error}") from None
    if not all(known) and len(size):
        known = int(size[0, 0]), int(size[0, 1])
    there = {int(each) for each in np.unique(table.class_id)}
    file = str(video.get("file_name") or "")
    return RecordedSequence(
        str(video.get("name") or video.get("file_name") or video.get("id")),
        table,
        {number: name for number, name in names.items() if number in there},
        path,
        VideoInfo(fps, length, *(known if all(known) else DEFAULT_SIZE), has_known_size=all(known)),
        {0: file} if file else {},
    )
