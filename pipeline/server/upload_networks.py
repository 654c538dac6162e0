"""The networks for uploads: a detector and a classifier, loaded when first used."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pipeline.classifiers._loaded import LoadedClassifier
from pipeline.detectors.common.loaded_model import LoadedModel

MIN_CONF = 0.01
"""Minimum score that a request can ask for."""
TAG_CONF = 0.25
"""Objects above this score become tags, as in `trackline tag`."""


class UploadNetworks:
    """Loads each network once, for the first upload that needs it; any thread may call it.

    They are not those of the cameras, which an upload must not keep waiting.
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

    def detector(self) -> LoadedModel:
        """Return the detector; raises ModelError, ConfigError or MissingExtraError."""
        with self._lock:
            if self._detector is None:
                self._detector = self._load_detector()
            return self._detector

    def classifier(self) -> LoadedClassifier:
        """Return the classifier; raises as `detector` does."""
        with self._lock:
            if self._classifier is None:
                self._classifier = self._load_classifier()
            return self._classifier

    def close(self) -> None:
        """Release the weights."""
        with self._lock:
            for loaded in (self._detector, self._classifier):
                if loaded is not None:
                    loaded.close()
            self._detector = self._classifier = None
