"""FiftyOne samples: a folder that `fo.Dataset.from_dir(..., fo.types.FiftyOneDataset)` loads.

metadata.json, samples.json with a sample for each video, and frames/<n>.json with its detections:
boxes as shares of the frame, frames from 1, `index` is the track id. No FiftyOne is needed to write
it. https://docs.voxel51.com/user_guide/import_datasets.html
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.archive.formats._format import Layout, label_of, media_of, other_sizes, rows_by_frame
from pipeline.archive.formats._json import compact
from pipeline.archive.formats._tree import TreeWriter
from pipeline.core.errors import UsageError
from pipeline.core.options import OptionsModel
from pipeline.core.sequences import RecordedSequence


class Options(OptionsModel):
    """Options of the samples."""

    field: str = "detections"
    """Name of the frames' field that holds the boxes."""


def build(options: Options) -> FiftyOneFormat:
    """Return the format."""
    return FiftyOneFormat(options)


class FiftyOneFormat:
    """Writes FiftyOne's own JSON layout for video; each box is a share of its own frame's size."""

    layout: Layout = "tree"
    suffix = ".zip"
    one_size = False
    needs_size = True

    def __init__(self, options: Options) -> None:
        self._field = options.field

    def write(self, sequences: Iterable[RecordedSequence], path: Path) -> None:
        """Write the folder; raises UsageError for a sequence whose video nothing names."""
        samples = []
        with TreeWriter(path) as tree:
            for number, each in enumerate(sequences, 1):
                frames = f"frames/{number:06d}.json"
                samples.append(_sample(each) | {"frames": frames})
                with tree.file(frames) as file:
                    file.write('{"frames":{')
                    separator = "\n"
                    for frame, detections in self._frames(each):
                        file.write(f'{separator}"{frame}":{compact(detections)}')
                        separator = ",\n"
                    file.write("}}\n")
            with tree.file("samples.json") as file:
                file.write(compact({"samples": samples}) + "\n")
            # Without a "version" FiftyOne reads the layout above, which needs no database ids.
            about = {"media_type": "video", "sample_fields": {}, "info": {"program": "trackline"}}
            with tree.file("metadata.json") as file:
                file.write(compact(about) + "\n")

    def _frames(self, each: RecordedSequence) -> Iterator[tuple[int, dict[str, Any]]]:
        sizes = other_sizes(each)
        for frame, rows in groupby(rows_by_frame(each.table), lambda row: row.frame):
            w, h = sizes.get(frame, (each.video.width, each.video.height))
            found: list[dict[str, Any]] = []
            for row in rows:
                x, y = round(row.x1 / w, 7), round(row.y1 / h, 7)
                box = [x, y, round((row.x2 - row.x1) / w, 7), round((row.y2 - row.y1) / h, 7)]
                detection: dict[str, Any] = {
                    "_cls": "Detection",
                    "label": label_of(each.class_names, row.class_id),
                    "bounding_box": box,
                    "confidence": round(row.score, 4),
                }
                if row.track_id:
                    detection["index"] = row.track_id
                if row.hidden:
                    detection["coasting"] = True
                found.append(detection)
            detections = {"_cls": "Detections", "detections": found}
            yield frame + 1, {"frame_number": frame + 1, self._field: detections}


def _sample(each: RecordedSequence) -> dict[str, Any]:
    media, video = media_of(each), each.video
    if not media:
        raise UsageError(f"{each.name}: FiftyOne's samples name their video: give --video FILE")
    return {
        "filepath": media if "://" in media else str(Path(media).absolute()),
        "tags": [],
        "source": each.name,
        "metadata": {
            "_cls": "VideoMetadata",
            "mime_type": mimetypes.guess_type(media)[0] or "video/mp4",
            "frame_width": video.width,
            "frame_height": video.height,
            "frame_rate": video.fps,
            "total_frame_count": video.length,
            "duration": round(video.length / video.fps, 6),
        },
    }
