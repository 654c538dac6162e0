"""The pictures of a report: a frame of the video, and the heat map over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.counting import Counted
from pipeline.archive.report.summary import SourceSummary
from pipeline.archive.single_frame import read_still
from pipeline.core.data import Image
from pipeline.core.errors import PipelineError, UsageError
from pipeline.core.heatmap import peak_of
from pipeline.core.scaling import averaged
from pipeline.events.zones.schema import CameraZones, Zone

MAX_WIDTH = 960
_QUALITY = 82
_NO_PICTURE = 96


@dataclass(frozen=True, slots=True)
class Shape:
    """A zone or line on the picture: its points in the picture's pixels."""

    name: str
    is_zone: bool
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Picture:
    """JPEG files of a frame and of the heat map over it; paths and shapes in pixels of `size`.

    `video` names the video, "" where none was found: the frame is grey then.
    """

    size: tuple[int, int]
    frame: bytes
    heat: bytes
    shapes: Sequence[Shape]
    paths: Sequence[NDArray[np.float64]]
    video: str


def picture_of(
    summary: SourceSummary, counted: Counted | None, given: Path | None, found: Sequence[str]
) -> Picture:
    """Return the pictures of a source, over a frame of the video that is `given`, or is `found`.

    Raises UsageError where a given video has another picture size.
    """
    image, video = _frame(summary, given, found)
    peak = peak_of(summary.heat.smooth())
    zones = counted.zones if counted is not None else None
    paths = [np.concatenate(pieces)[:, :2] for pieces in summary.longest_paths().values()]
    return Picture(
        summary.size,
        _jpeg(image),
        _jpeg(summary.heat.paint(image, peak)),
        _shapes(zones, summary.size),
        paths,
        video,
    )


def _frame(summary: SourceSummary, given: Path | None, found: Sequence[str]) -> tuple[Image, str]:
    width, height = summary.size
    if given is not None:
        image = read_still(str(given)).image
        if image.shape[:2] != (height, width):
            came = f"{image.shape[1]}x{image.shape[0]}"
            raise UsageError(f"--video {given}: has {came} pixels, the tracks {width}x{height}")
        return image, given.name
    for path in found[:3]:
        try:
            if Path(path).is_file():
                image = read_still(path).image
                if image.shape[:2] == (height, width):
                    return image, Path(path).name
        except PipelineError:
            continue  # tracks may be older than what is there now
    return np.full((height, width, 3), _NO_PICTURE, np.uint8), ""


def _shapes(zones: CameraZones | None, size: tuple[int, int]) -> list[Shape]:
    if zones is None:
        return []
    across, down = zones.size or size
    x, y = size[0] / across, size[1] / down
    return [
        Shape(one.name, isinstance(one, Zone), [(px * x, py * y) for px, py in one.points])
        for one in zones.zones_and_lines
    ]


def _jpeg(image: Image) -> bytes:
    import cv2

    height, width = image.shape[:2]
    if width > MAX_WIDTH:
        image = averaged(image, (max(round(height * MAX_WIDTH / width), 1), MAX_WIDTH))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
