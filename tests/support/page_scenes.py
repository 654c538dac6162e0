"""Pictures with known boxes for the fake server: the synthetic source's and the sample's."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import av
import cv2
from support.paths import SAMPLES

from pipeline.sources.synthetic import Options, build


@dataclass(frozen=True)
class Scene:
    """A few seconds that repeat: a JPEG and tracks (as the API has them) per frame."""

    width: int
    height: int
    jpegs: list[bytes]
    tracks: list[list[dict[str, Any]]]


def track(
    track_id: int, class_name: str, xyxy: tuple[float, ...], *, coasting: bool = False
) -> dict[str, Any]:
    return {
        "id": track_id,
        "class_id": 0,
        "class_name": class_name,
        "score": 0.9,
        "xyxy": [float(value) for value in xyxy],
        "age_s": 1.0,
        "coasting": coasting,
    }


def synthetic(frames: int = 40, *, class_name: str = "car", **options: Any) -> Scene:
    """Moving rectangles with their exact boxes."""
    source = build(Options(frames=frames, fps=10, **options))
    info = source.open()
    jpegs, tracks = [], []
    while (frame := source.read()) is not None:
        truth = source.scene.at(frame.pts_s)
        jpegs.append(_jpeg(frame.image))
        rows = zip(truth.xyxy.tolist(), truth.track_id.tolist(), strict=True)
        tracks.append([track(track_id, class_name, box) for box, track_id in rows])
    return Scene(info.width, info.height, jpegs, tracks)


def street(crop: tuple[int, int, int, int] = (0, 0, 960, 540), shift: int = 0) -> Scene:
    """The sample clip, or a part of it (x, y, width, height), begun `shift` frames later."""
    left, top, width, height = crop
    boxes = defaultdict(list)
    with open(SAMPLES / "street_gt.txt", newline="") as file:
        for row in csv.reader(file):
            frame, track_id, x, y, w, h, _, class_id, seen = map(float, row)
            x1, y1 = max(x - 1 - left, 0), max(y - 1 - top, 0)
            x2, y2 = min(x - 1 + w - left, width), min(y - 1 + h - top, height)
            if x2 - x1 > 8 and y2 - y1 > 8 and seen > 0.1:
                name = "person" if class_id == 1 else "car"
                box = (x1, y1, x2, y2)
                boxes[int(frame)].append(track(int(track_id), name, box, coasting=seen < 0.3))
    jpegs = []
    with av.open(str(SAMPLES / "street.mp4")) as container:
        for frame in container.decode(video=0):
            image = frame.to_ndarray(format="bgr24")
            jpegs.append(_jpeg(image[top : top + height, left : left + width]))
    tracks = [boxes[number] for number in range(1, len(jpegs) + 1)]
    return Scene(width, height, jpegs[shift:] + jpegs[:shift], tracks[shift:] + tracks[:shift])


def _jpeg(image: Any) -> bytes:
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])
