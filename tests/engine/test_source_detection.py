"""One detector, and sources that each keep their own of what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from support.fakes import FakeDetector, FakeSource, Setup, frames

from pipeline.core.data import Detections, Frame
from pipeline.core.errors import ConfigError
from pipeline.engine import DetectOptions
from pipeline.engine.source_detection import SourceDetection

pytestmark = pytest.mark.timeout(60)


def _three(batch: int, found: Sequence[Frame]) -> list[Detections]:
    """Boxes of scores 0.9, 0.5 and 0.2 of the classes 0, 1 and 1."""
    xyxy = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2]], np.float32)
    score, class_id = np.array([0.9, 0.5, 0.2], np.float32), np.array([0, 1, 1], np.int32)
    return [Detections(xyxy, score, class_id) for _ in found]


def _both() -> list[FakeSource]:
    return [FakeSource(name, frames(2)) for name in "ab"]


class Sized(FakeDetector):
    """Notes the sizes it is given."""

    takes_sizes = True

    def set_sizes(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)


@pytest.mark.parametrize(
    ("options", "scores"),
    [
        (None, [0.9, 0.5, 0.2]),
        (DetectOptions(conf=0.2), [0.9, 0.5]),
        (DetectOptions(classes=("car",)), [0.5, 0.2]),
        (DetectOptions(classes=(0,), conf=0.5), [0.9]),
        (DetectOptions(conf=0.95), []),
    ],
)
def test_a_source_keeps_what_it_wants(options: DetectOptions | None, scores: list[float]) -> None:
    own = {} if options is None else {"a": options}
    detector = Sized(_three, class_names={0: "person", 1: "car"})
    setup = Setup(*_both(), detector=detector, detect=own)
    for result in setup.pipeline.results():
        wanted = scores if result.frame.source == "a" else [0.9, 0.5, 0.2]
        np.testing.assert_allclose(result.detections.score, wanted)


def test_a_class_that_the_network_does_not_know_is_named() -> None:
    own = {"a": DetectOptions(classes=("cat",))}
    setup = Setup(FakeSource("a", frames(2)), detector=Sized(_three), detect=own)
    with pytest.raises(ConfigError, match=r"source a: detect.classes: .*'cat'"):
        setup.pipeline.run()


@pytest.mark.parametrize(("fps", "asked"), [(None, 50), (10.0, 20), (4.0, 8), (100.0, 50)])
def test_a_source_is_detected_on_as_often_as_it_says(fps: float | None, asked: int) -> None:
    """Frames come 25 times a second; every one is delivered."""
    detector = Sized(_three, class_names={0: "person", 1: "car"})
    own = {"a": DetectOptions(fps=fps)}
    setup = Setup(FakeSource("a", frames(50)), detector=detector, detect=own)
    setup.pipeline.run()
    assert setup.sinks["table"].written["a"] == list(range(50))
    assert abs(sum(len(batch) for batch in detector.batches) - asked) <= 1


def test_batches_of_the_detector_before_are_filtered_by_its_own_classes() -> None:
    detection = SourceDetection()
    detection.set("a", DetectOptions(classes=("car",)))
    before, after = {0: "car", 1: "person"}, {0: "person", 1: "car"}
    detection.use(before)
    detection.use(after)
    (found,) = _three(0, frames(1))
    for names, scores in ((before, [0.9]), (after, [0.5, 0.2]), ({0: "cat"}, [])):
        kept = detection.kept("a", found, names)
        np.testing.assert_allclose(kept.score, np.array(scores, np.float32))


def test_sizes_reach_a_detector_that_has_them() -> None:
    detector = Sized(_three, class_names={0: "person", 1: "car"})
    own = {"a": DetectOptions(imgsz=960), "b": DetectOptions(conf=0.5)}
    setup = Setup(*_both(), detector=detector, detect=own)
    setup.pipeline.run()
    assert detector.sizes == {"a": 960}
