"""The classifier `imagenet`: what it finds out about networks, its options, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_networks import brightness_classifier, constant_network

from pipeline.classifiers.imagenet import Options, build
from pipeline.core.errors import ModelError

ZERO_TO_ONE: dict[str, Any] = {"mean": (0, 0, 0), "std": (1, 1, 1)}
GREY = np.full((20, 30, 3), 51, np.uint8)  # a fifth of white


def softmax(*logits: float) -> np.ndarray:
    powers = np.exp(np.array(logits))
    return powers / powers.sum()


def scores(path: Path, *pictures: np.ndarray, **options: Any) -> np.ndarray:
    classifier = build(Options(model=str(path), **options))
    try:
        classifier.open()
        return classifier.classify(pictures or [GREY])
    finally:
        classifier.close()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (6, 10), ("height", "width")])
@pytest.mark.slow
def test_any_size_and_order_of_axes(tmp_path: Path, size: Any, channels_last: bool) -> None:
    path = brightness_classifier(tmp_path / "n.onnx", size=size, channels_last=channels_last)
    found = scores(path, GREY, 2 * GREY, **ZERO_TO_ONE)
    want = [softmax(0.8, 0, -0.8), softmax(1.6, 0, -1.6)]
    np.testing.assert_allclose(found, want, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "metadata", "logit"),
    [
        ({}, {"mean": "[0.2, 0.2, 0.2]", "std": "[0.5, 0.5, 0.5]"}, 0.0),
        ({}, {"mean": "[0.0, 0.0, 0.0]", "std": "[0.5, 0.5, 0.5]"}, 1.6),
        ({"mean": (0.1, 0.1, 0.1)}, {"mean": "[0, 0, 0]", "std": "[1, 1, 1]"}, 0.4),
        ({}, {"task": "classify"}, 0.8),
        ({}, {"task": "classify", "temperature": "2.0"}, 0.4),
        ({"temperature": 4}, {"task": "classify", "temperature": "2.0"}, 0.2),
        ({}, {}, 4 * float(np.mean([(0.2 - m) / s for m, s in
                                    [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]]))),
    ],
    ids=["mean", "std", "option wins", "ultralytics", "temperature", "temperature given", "silent"],
)  # fmt: skip
def test_pictures_are_scaled_as_the_file_or_the_options_say(
    tmp_path: Path, options: Any, metadata: Any, logit: float
) -> None:
    path = brightness_classifier(tmp_path / "n.onnx", metadata=metadata)
    np.testing.assert_allclose(scores(path, **options)[0], softmax(logit, 0, -logit), atol=1e-4)


@pytest.mark.parametrize("in_network", [False, True])
def test_logits_and_probabilities_are_told_apart(tmp_path: Path, in_network: bool) -> None:
    path = brightness_classifier(tmp_path / "n.onnx", softmax=in_network)
    np.testing.assert_allclose(scores(path, **ZERO_TO_ONE)[0], softmax(0.8, 0, -0.8), atol=1e-5)


def test_the_option_scores_decides(tmp_path: Path) -> None:
    path = brightness_classifier(tmp_path / "n.onnx", factors=(1.0, 0.0))
    found = scores(path, scores="logits", **ZERO_TO_ONE)[0]
    np.testing.assert_allclose(found, softmax(0.2, 0), atol=1e-5)


def test_the_middle_is_looked_at(tmp_path: Path) -> None:
    picture = np.zeros((40, 120, 3), np.uint8)
    picture[:, 40:80] = 255
    path = brightness_classifier(tmp_path / "n.onnx", factors=(1.0, -1.0))
    found = scores(path, picture, crop=0.5, **ZERO_TO_ONE)
    np.testing.assert_allclose(found[0], softmax(1, -1), atol=1e-4)


@pytest.mark.parametrize(
    ("count", "options", "metadata", "expected"),
    [
        (3, {"names": "cat, dog, cow"}, {}, {0: "cat", 2: "cow"}),
        (3, {}, {"names": "['a', 'b', 'c']"}, {0: "a", 2: "c"}),
        (3, {}, {}, {0: "class_0", 2: "class_2"}),
        (80, {}, {}, {0: "class_0"}),
        (1000, {}, {}, {0: "tench", 999: "toilet paper"}),
        (1001, {}, {}, {0: "background", 1: "tench"}),
    ],
)
def test_class_names(
    tmp_path: Path, count: int, options: Any, metadata: Any, expected: dict[int, str]
) -> None:
    factors = tuple(np.linspace(-5, 5, count).tolist())
    path = brightness_classifier(tmp_path / "n.onnx", factors=factors, metadata=metadata)
    classifier = build(Options(model=str(path), **options))
    names = classifier.open()
    classifier.close()
    assert len(names) == count
    assert {place: names[place] for place in expected} == expected


def test_no_pictures_no_scores(tmp_path: Path) -> None:
    path = brightness_classifier(tmp_path / "n.onnx")
    classifier = build(Options(model=str(path)))
    classifier.open()
    assert len(classifier.classify([])) == 0
    classifier.close()
    with pytest.raises(ModelError, match="before open"):
        classifier.classify([GREY])


def detector(path: Path) -> Path:
    return constant_network(path, np.zeros((1, 6, 5), np.float32))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (detector, {}, r"outputs \[1,6,5\], want one \[1,classes\]"),
        (brightness_classifier, {"names": ("a", "b")}, "got 2 names, the network has 3 classes"),
        (brightness_classifier, {"device": "cuda:0"}, "runs on the CPU, got 'cuda:0'"),
        (lambda path: brightness_classifier(path, metadata={"task": "detect"}), {},
         "for the task detect, want classify"),
        (lambda path: path.write_bytes(b"no network") and path, {}, "OpenVINO can read"),
    ],
    ids=["detector", "names", "device", "task", "damaged"],
)  # fmt: skip
def test_what_is_refused_is_said_in_one_line(
    tmp_path: Path, network: Any, options: Any, message: str
) -> None:
    path = network(tmp_path / "n.onnx")
    with pytest.raises(ModelError, match=message) as caught:
        scores(path, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.needs_torch
@pytest.mark.slow
def test_torchscript_gives_the_same(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch and ultralytics")

    class Brightness(torch.nn.Module):
        def forward(self, images):
            return images.mean((1, 2, 3))[:, None] * torch.tensor([[4.0, 0.0, -4.0]])

    path = tmp_path / "n.pt"
    torch.jit.save(torch.jit.script(Brightness()), str(path))
    found = scores(path, size=16, device="cpu", **ZERO_TO_ONE)
    np.testing.assert_allclose(found[0], softmax(0.8, 0, -0.8), atol=1e-5)


@pytest.mark.needs_torch
@pytest.mark.slow
def test_yolo_cls_weights_give_what_ultralytics_gives(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch and ultralytics")
    ultralytics = pytest.importorskip("ultralytics", reason="needs torch and ultralytics")

    path = tmp_path / "cls.pt"
    yolo = ultralytics.YOLO("yolo11n-cls.yaml")
    yolo.save(path)
    picture = np.random.default_rng(2).integers(0, 256, (224, 224, 3), np.uint8)
    planes = torch.from_numpy(picture[..., ::-1].transpose(2, 0, 1)[None] / np.float32(255))
    with torch.inference_mode():
        want = yolo.model.eval()(planes)[0].numpy()
    found = scores(path, picture, size=224, device="cpu")
    assert found.shape == (1, 1000)
    np.testing.assert_allclose(found, want, atol=1e-5)
