"""Loaded classifier: loaded once, used for many pictures from any number of threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Self

from pipeline.core.data import ClassNames, Float32, Image
from pipeline.core.errors import ModelError
from pipeline.core.fork_check import check_not_forked
from pipeline.core.interfaces import Classifier


class LoadedClassifier:
    """Classifier whose weights stay loaded; `class_names` is {class id: name}.

    It is thread-safe: concurrent calls run one after the other. Close it when done, or use it in a
    `with` block.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.class_names: ClassNames = classifier.open()
        self._classifier: Classifier | None = classifier
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def classify(self, pictures: Sequence[Image]) -> Float32:
        """Return the scores f32[N,classes] of pictures BGR u8[H,W,3], which may differ in size.

        Raises ModelError after `close`.
        """
        check_not_forked()
        with self._lock:
            if self._classifier is None:
                raise ModelError("classifier: closed; load it again")
            return self._classifier.classify(pictures)

    def close(self) -> None:
        """Release the weights; safe to call twice."""
        check_not_forked()
        with self._lock:
            classifier, self._classifier = self._classifier, None
            if classifier is not None:
                classifier.close()
