"""Uploaded pictures: decoded, detected on one at a time, forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.core.data import Frame
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


class BusyError(Exception):
    """As many requests as are allowed are under way."""


class PictureAnalyser:
    """Detects objects in uploaded pictures with weights of its own, loaded by the first request.

    Nothing of a picture is kept. One picture is decoded and detected on at a time, so that uploads
    take memory for one, and cameras keep their processor time. Any thread may call it.
    """

    def __init__(self, load: Callable[[], LoadedModel]) -> None:
        self._load = load
        self._model: LoadedModel | None = None
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

    def analyse(self, data: bytes, name: str, conf: float) -> PictureAnswer:
        """Return the objects with a score above `conf` in a picture's file.

        Raises SourceError for what is no picture, ModelError and the like where there are no
        weights.
        """
        with self._lock:
            if self._model is None:
                self._model = self._load()
            image = read_picture(data, MAX_MEGAPIXELS)
            frame = Frame(image, name or "picture", 0, 0.0, time.monotonic())
            [found] = self._model.detector(conf).detect([frame])
            names = self._model.class_names
        height, width = image.shape[:2]
        rows = zip(found.class_id.tolist(), found.score.tolist(), found.xyxy.tolist(), strict=True)
        objects = [
            PictureObject(
                class_name=names.get(number, str(number)),
                class_id=number,
                score=round(score, 4),
                xyxy=tuple(round(each, 2) for each in xyxy),
            )
            for number, score, xyxy in rows
        ]
        return PictureAnswer(name=name, width=width, height=height, objects=objects)

    def close(self) -> None:
        """Release the weights."""
        with self._lock:
            if self._model is not None:
                self._model.close()
                self._model = None
