"""Uploaded pictures: decoded, analysed one at a time, discarded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.classifiers._tags.merge import tags_of
from pipeline.config.uploads import UploadOptions
from pipeline.core.data import Detections
from pipeline.core.masks import Mask
from pipeline.core.native_stderr import muted
from pipeline.detectors.common.loaded_model import LoadedModel
from pipeline.server.schemas import PictureAnswer, PictureObject
from pipeline.server.upload_networks import TAG_CONF, UploadNetworks
from pipeline.sources._file.still_picture import read_picture

MAX_NAME = 100
"""Characters of an upload's name that are shown."""


def shown_name(name: str) -> str:
    """Return an upload's name for a message or a log line: one line, not too long."""
    text = "".join(each if each.isprintable() else "?" for each in name.strip())
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 3]}..."


class BusyError(Exception):
    """The limit of concurrent requests is reached."""


class PictureAnalyser:
    """Finds objects and tags in uploaded pictures.

    No part of a picture is kept. Pictures are decoded and analysed one at a time, so that uploads
    take memory for one, and cameras keep their CPU time. Any thread may call it.
    """

    def __init__(self, networks: UploadNetworks, limits: UploadOptions) -> None:
        self._networks = networks
        self._max_megapixels = limits.picture_megapixels
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(limits.picture_requests)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the request slots during the block; raises BusyError."""
        if not self._slots.acquire(blocking=False):
            raise BusyError
        try:
            yield
        finally:
            self._slots.release()

    def analyse(self, data: bytes, name: str, conf: float, *, tags: bool) -> PictureAnswer:
        """Return the objects with a score above `conf` in a picture's file, and its tags if wanted.

        Raises SourceError for anything but a picture, and ModelError or similar if there are no
        weights.
        """
        with self._lock:
            detector = self._networks.detector()
            with muted():
                image = read_picture(data, self._max_megapixels)
            [found] = detector.find([image], min(conf, TAG_CONF))
            words = None
            if tags:
                classifier = self._networks.classifier()
                [scores] = classifier.classify([image])
                sure = detector.named(found[found.score > TAG_CONF])
                words = tags_of(classifier.class_names, scores.tolist(), sure)
        height, width = image.shape[:2]
        objects = _objects(found[found.score > conf], detector)
        return PictureAnswer(name=name, width=width, height=height, objects=objects, tags=words)


def _objects(found: Detections, detector: LoadedModel) -> list[PictureObject]:
    """Return the boxes with their masks and keypoints, where the network gives them."""
    none = [None] * len(found)
    masks = none if found.masks is None else [_outlines(each) for each in found.masks]
    keypoints = none if found.keypoints is None else found.keypoints.round(3).tolist()
    return [
        PictureObject(
            class_name=each.class_name,
            class_id=each.class_id,
            score=round(each.score, 4),
            xyxy=tuple(round(side, 2) for side in each.xyxy),
            mask=mask,
            keypoints=points,
        )
        for each, mask, points in zip(detector.named(found), masks, keypoints, strict=True)
    ]


def _outlines(mask: Mask) -> list[list[tuple[float, float]]]:
    """Return the outlines of a mask, to a tenth of a pixel."""
    return [[tuple(point) for point in each.round(1).tolist()] for each in mask.polygons()]
