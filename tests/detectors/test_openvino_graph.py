"""A network's ends are written anew for speed; its answers stay what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.tiny_networks import colour_network

from pipeline.detectors.openvino.graph import find_best_class
from pipeline.detectors.openvino.model import PictureModel
from pipeline.models.openvino_library import import_openvino

FP32 = {"INFERENCE_PRECISION_HINT": "f32"}
PICTURE = np.random.default_rng(5).integers(0, 256, (96, 128, 3), np.uint8)
SIZE = (96, 128)


def answer(path: Path, size: tuple[int, int] | None, *, best: bool, raw: bool = False) -> Any:
    compiled = PictureModel(path).compile(size, FP32, raw_bgr=raw, best=best)
    return compiled(PICTURE[None])[0][0].copy()


def searches(path: Path) -> int:
    """In how many places the best class is looked for."""
    ov = import_openvino()
    model = find_best_class(ov, ov.Core().read_model(path))
    return sum(op.get_type_name() == "TopK" for op in model.get_ops())


def plain(path: Path) -> Path:
    return colour_network(path)


def as_exported(path: Path) -> Path:
    return colour_network(path, sigmoid=True)


def with_another_reshape(path: Path) -> Path:
    """[1,3,h,w] to [1,3,h*w] as before, but through a shape in which channels are not kept."""
    model = onnx.load(str(as_exported(path)))
    for node in model.graph.node:
        if node.op_type == "Reshape":
            node.input[0] = node.input[0] + "x"
    for stride in (8, 16, 32):
        transpose = onnx.helper.make_node(
            "Transpose", [f"mean{stride}"], [f"mean{stride}x"], perm=[0, 2, 3, 1]
        )
        places = [place for place, node in enumerate(model.graph.node)]
        at = next(p for p in places if model.graph.node[p].output[0] == f"mean{stride}")
        model.graph.node.insert(at + 1, transpose)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("network", "places"), [(plain, 1), (as_exported, 3), (with_another_reshape, 1)]
)
def test_the_best_class_is_what_all_classes_say(tmp_path: Path, network: Any, places: int) -> None:
    """Where the graph is not the known one, the class is looked for at its end."""
    path = network(tmp_path / "net.onnx")
    everything, best = (answer(path, SIZE, best=which) for which in (False, True))
    np.testing.assert_array_equal(best[:4], everything[:4])
    np.testing.assert_allclose(best[4], everything[4:].max(axis=0), atol=1e-6)
    np.testing.assert_array_equal(best[5], everything[4:].argmax(axis=0))
    assert len(np.unique(best[5])) == 3
    assert searches(path) == places


@pytest.mark.parametrize("raw", [False, True])
def test_pictures_of_a_known_size_are_seen_as_those_of_any(tmp_path: Path, raw: bool) -> None:
    path = as_exported(tmp_path / "net.onnx")
    known, any_size = (answer(path, size, best=True, raw=raw) for size in (SIZE, None))
    np.testing.assert_allclose(known, any_size, atol=1e-6)
    # The first cell's red is the mean of the picture's last channel there.
    red = PICTURE[:8, :8, 0 if raw else 2].mean() / (1 if raw else 255)
    channel = answer(path, SIZE, best=False, raw=raw)[4, 0]
    assert channel == pytest.approx(1 / (1 + np.exp(-red)), abs=1e-5)


@pytest.mark.slow
@pytest.mark.needs_shared
def test_ultralytics_own_export_is_the_known_graph(shared: Path) -> None:
    """Otherwise a twentieth of the network's time is lost and nobody notices."""
    path = shared / "models" / "yolo11n.onnx"
    everything, best = (answer(path, SIZE, best=which) for which in (False, True))
    np.testing.assert_allclose(best[:4], everything[:4], atol=1e-2)
    np.testing.assert_allclose(best[4], everything[4:].max(axis=0), atol=1e-4)
    assert searches(path) == 3
