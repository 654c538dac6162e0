"""Uploaded pictures: decoded, looked at one at a time, forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pipeline.classifiers._loaded import LoadedClassifier
from pipeline.classifiers._tags.merge import (
    DEFAULT_THRESHOLD,
    DEFAULT_TOP,
    Seen,
    class_scores,
    merge,
)
from pipeline.classifiers._tags.words import load_words
from pipeline.core.data import Frame, Image
from pipeline.detectors.common.loaded_model import LoadedModel
from pipeline.server.schemas import PictureAnswer, PictureObject
from pipeline.sources._file.still_picture import read_picture

MAX_MEGAPIXELS = 64.0
"""Largest picture that is decoded, by its header: 192 MB once it is."""
MIN_CONF = 0.01
"""Lowest score that a request can ask for."""
MAX_UNDER_WAY = 8
"""Requests that may upload or wait at once; each may hold `MAX_UPLOAD_BYTES`."""
MAX_UPLOAD_BYTES = 32 * 2**20
MAX_PICTURES = 20
"""Most pictures in one request."""
TAG_CONF = 0.25
"""Objects above this score make tags, as in `trackline tag`."""


class BusyError(Exception):
    """As many requests as are allowed are under way."""


class PictureAnalyser:
    """Finds objects and tags in uploaded pictures with networks of its own, loaded when first used.

    Nothing of a picture is kept. One picture is decoded and looked at at a time, so that uploads
    take memory for one, and cameras keep their processor time. Any thread may call it.
    """

    def __init__(
        self,
        load_detector: Callable[[], LoadedModel],
        load_classifier: Callable[[], LoadedClassifier],
    ) -> None:
        self._load_detector = load_detector
        self._load_classifier = load_classifier
        self._detector: LoadedModel | None = None
        self._classifier: LoadedClassifier | None = None
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(MAX_UNDER_WAY)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Keep one of the requests' places for as long as the block; raises BusyError."""
        if not self._slots.acquire(blocking=False):
            raise BusyError
        try:
            yield
        finally:
            self._slots.release()

    def analyse(self, data: bytes, name: str, conf: float, *, tags: bool) -> PictureAnswer:
        """Return the objects with a score above `conf` in a picture's file, and its tags if wanted.

        Raises SourceError for what is no picture, ModelError and the like where there are no
        weights.
        """
        with self._lock:
            if self._detector is None:
                self._detector = self._load_detector()
            image = read_picture(data, MAX_MEGAPIXELS)
            frame = Frame(image, name or "picture", 0, 0.0, time.monotonic())
            [found] = self._detector.detector(min(conf, TAG_CONF)).detect([frame])
            names = self._detector.class_names
            rows = zip(
                found.class_id.tolist(), found.score.tolist(), found.xyxy.tolist(), strict=True
            )
            objects = [
                PictureObject(
                    class_name=names.get(number, str(number)),
                    class_id=number,
                    score=round(score, 4),
                    xyxy=tuple(round(each, 2) for each in xyxy),
                )
                for number, score, xyxy in rows
            ]
            words = self._tags(image, objects) if tags else None
        height, width = image.shape[:2]
        kept = [each for each in objects if each.score > conf]
        return PictureAnswer(name=name, width=width, height=height, objects=kept, tags=words)

    def _tags(self, image: Image, objects: Sequence[PictureObject]) -> dict[str, float]:
        if self._classifier is None:
            self._classifier = self._load_classifier()
        [scores] = self._classifier.classify([image])
        classes = class_scores(self._classifier.class_names, scores.tolist())
        sure = [(each.class_name, each.score) for each in objects if each.score > TAG_CONF]
        return merge(Seen(classes, sure), load_words(), DEFAULT_THRESHOLD, DEFAULT_TOP)

    def close(self) -> None:
        """Release the weights."""
        with self._lock:
            for loaded in (self._detector, self._classifier):
                if loaded is not None:
                    loaded.close()
            self._detector = self._classifier = None
