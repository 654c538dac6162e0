"""Re-identification networks: how pictures are put in, which networks are taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_networks import brightness_classifier, colour_embedder, constant_network

from pipeline.core.errors import ModelError
from pipeline.embedders.reid import Options, build

PICTURE = np.empty((40, 60, 3), np.uint8)
PICTURE[:, :30] = (200, 100, 50)
PICTURE[:, 30:] = (10, 60, 250)
LEFT_AND_RIGHT = np.array([[0, 0, 30, 40], [30, 0, 60, 40]], np.float32)
MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


def embedded(path: Path, boxes: np.ndarray = LEFT_AND_RIGHT, **options: Any) -> np.ndarray:
    embedder = build(Options(model=str(path), **options))
    embedder.open()
    found = embedder.embed(PICTURE, boxes)
    embedder.close()
    return found


def unit(vector: Any) -> np.ndarray:
    return np.array(vector) / np.linalg.norm(vector)


def rgb(bgr: tuple[int, int, int], mean: Any = MEAN, std: Any = STD) -> np.ndarray:
    return unit((np.array(bgr[::-1]) / 255 - mean) / std)


@pytest.mark.parametrize(
    ("file", "options", "expected"),
    [
        ("osnet_x0_25.onnx", {}, [rgb((200, 100, 50)), rgb((10, 60, 250))]),
        ("net.onnx", {"mean": (0, 0, 0), "std": (1, 1, 1)}, [unit((50, 100, 200))]),
        ("net.onnx", {"pixels": "raw"}, [unit((200, 100, 50)), unit((10, 60, 250))]),
        ("person-reidentification-retail-0286.onnx", {}, [unit((200, 100, 50))]),
        (
            "person-reidentification-retail-0286.onnx",
            {"pixels": "imagenet"},
            [rgb((200, 100, 50))],
        ),
    ],
)
def test_colours_are_put_in_as_the_network_was_trained(
    tmp_path: Path, file: str, options: dict[str, Any], expected: list[np.ndarray]
) -> None:
    found = embedded(colour_embedder(tmp_path / file), **options)
    for row, want in zip(found, expected, strict=False):
        np.testing.assert_allclose(row, want, atol=1e-4)


@pytest.mark.parametrize(
    "network",
    [
        {"size": (256, 128)},
        {"size": ("height", "width")},
        {"channels_last": True},
        {"fixed_batch": 16},
        {"fixed_batch": 3, "channels_last": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [0, 1, 2, 5, 33])
def test_size_layout_and_number_of_pictures_are_read_from_the_network(
    tmp_path: Path, network: dict[str, Any], count: int
) -> None:
    """The published OSNet x0.25 takes 16 pictures at once, fixed in the middle of its graph."""
    boxes = LEFT_AND_RIGHT[np.arange(count) % 2]
    found = embedded(colour_embedder(tmp_path / "net.onnx", **network), boxes)
    want = np.stack([rgb((200, 100, 50)), rgb((10, 60, 250))])[np.arange(count) % 2]
    np.testing.assert_allclose(found, want, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda path: constant_network(path, np.zeros((1, 6, 4))),
            "want one .1,numbers. of a re-identification network",
        ),
        (lambda path: path, "no such file"),
        (lambda path: path.write_bytes(b"none") and path, "not a network that OpenVINO can read"),
        (lambda path: brightness_classifier(path).rename(path.with_suffix(".pt")), "suffix '.pt'"),
    ],
    ids=["a detector", "nothing", "no network", ".pt"],
)
def test_what_gives_no_vector_is_refused_in_one_line(tmp_path: Path, make: Any, says: str) -> None:
    embedder = build(Options(model=str(make(tmp_path / "net.onnx"))))
    with pytest.raises(ModelError, match=says) as raised:
        embedder.open()
    assert "\n" not in str(raised.value)


def test_a_deviation_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Options(model="net.onnx", std=(1, 0, 1))
