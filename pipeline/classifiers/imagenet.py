"""ImageNet-style image classifier: `.onnx` and OpenVINO on the CPU, `.pt` with torch.

The centre of a picture is resized to the network's input and normalised (RGB, minus mean, divided
by standard deviation); the output is one number per class. Options supply what the file does not.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from pipeline.classifiers._input import InputOptions, Interpolation, Three, network_input
from pipeline.classifiers._network import Facts, Network
from pipeline.core.data import ClassNames, Float32, Image
from pipeline.core.errors import ModelError
from pipeline.core.fork_check import check_not_forked, mark_used
from pipeline.core.options import OptionsModel, split_names
from pipeline.models.metadata import Metadata, check_task, read_metadata
from pipeline.models.registry import TAGS

TASK = "classify"
DEFAULT_SIZE = (224, 224)
MAX_SIDE = 4096

Scores = Literal["logits", "probabilities"]


class Options(OptionsModel):
    """Options of an ImageNet classifier: weights, device, preprocessing."""

    model: str = TAGS
    """Weights: a name, a .onnx or .pt file, an OpenVINO folder, a URL."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """auto, cpu or cuda:N (.pt). auto uses a GPU if the weights can run on one."""
    size: int | None = Field(default=None, ge=16, le=MAX_SIDE)
    """Side of the network's input in pixels, if it is not fixed; default: the file's, else 224."""
    mean: Three | None = None
    """Mean of the pixels, RGB from 0 to 1; default: the file's, else ImageNet's
    (0.485, 0.456, 0.406)."""
    std: Three | None = None
    """Standard deviation of the pixels, likewise; else ImageNet's (0.229, 0.224, 0.225)."""
    crop: float | None = Field(default=None, gt=0, le=1)
    """Side of the centre crop as a share of the shorter side; default: the file's, else 0.875."""
    interpolation: Interpolation | None = None
    """Interpolation for resizing: bilinear or bicubic; default: the file's, else bicubic."""
    names: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Class names in order, instead of those in the file; or a text file with one name per line.
    Without names, 1000 classes are taken for ImageNet's."""
    scores: Scores | None = None
    """Whether the network outputs logits or probabilities, if that cannot be detected."""
    temperature: float | None = Field(default=None, gt=0)
    """Divisor of the logits, to calibrate the scores; default: the file's, else 1."""

    @field_validator("names", mode="before")
    @classmethod
    def _names_from_text(cls, value: object) -> object:
        """Split `cat,dog`, as written on a command line."""
        return split_names(value) if isinstance(value, str) else value

    @field_validator("std")
    @classmethod
    def _not_zero(cls, value: Three | None) -> Three | None:
        if value is not None and min(value) <= 0:
            raise ValueError("want numbers above 0")
        return value


def build(options: Options) -> ImageNet:
    """Return the classifier, not yet open."""
    return ImageNet(options)


class ImageNet:
    """A Classifier (pipeline.core.interfaces) for any network whose input is one picture."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._network: Network | None = None

    def open(self) -> ClassNames:
        """Load the weights and return {class id: name}; raises ModelError or MissingExtraError."""
        mark_used()
        from pipeline.models.resolve import find_weights

        options = self._options
        path = find_weights(options.model)
        network = _network(path, options.device)
        facts = network.facts
        said = read_metadata(facts.metadata)
        check_task(said, path, TASK)
        self._input = _input(options, facts, said)
        self._pixel_max = facts.pixel_max
        network.start(self._input.size)
        self._network = network
        try:
            self._temperature = options.temperature or _number(facts, "temperature") or 1.0
            probe = _probe(self._input)
            answer = network.run(self._planes(probe))
            self._logits = (
                _is_logits(answer) if options.scores is None else (options.scores == "logits")
            )
            self._class_count = answer.shape[1]
            return _class_names(options, said, self._class_count)
        except BaseException:
            self.close()
            raise

    def classify(self, pictures: Sequence[Image]) -> Float32:
        """Return the scores f32[N,classes] of pictures BGR u8[H,W,3], which may differ in size."""
        check_not_forked()
        if self._network is None:
            raise ModelError("classifier imagenet: classify before open")
        if not pictures:
            return np.empty((0, self._class_count), np.float32)
        answer = self._network.run(self._planes(pictures))
        if not np.isfinite(answer).all():
            raise ModelError(f"model: {self._options.model} answers numbers that are not finite")
        if not self._logits:
            return answer
        logits = answer / np.float32(self._temperature)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)

    def close(self) -> None:
        """Release the network; safe to call twice and when never opened."""
        if self._network is not None:
            self._network.close()
            self._network = None

    def _planes(self, pictures: Sequence[Image]) -> Float32:
        return np.stack([network_input(each, self._input) for each in pictures])


def _network(path: Path, device: str) -> Network:
    suffix = path.suffix.lower()
    if suffix == ".pt":
        from pipeline.classifiers._torch import TorchNetwork

        return TorchNetwork(path, device)
    if suffix not in (".onnx", ".xml"):
        raise ModelError(
            f"model: {path} has suffix {suffix!r}; classifiers are .onnx, .pt and OpenVINO folders"
        )
    if device not in ("auto", "cpu"):
        raise ModelError(
            f"device: {path.name} runs on the CPU, got {device!r}; "
            "allowed are auto and cpu (.pt weights run on CUDA)"
        )
    from pipeline.classifiers._openvino import OpenVinoNetwork

    return OpenVinoNetwork(path)


def _input(options: Options, facts: Facts, said: Metadata) -> InputOptions:
    """Return the input format: from the options, else the file, else the usual defaults."""
    size = facts.size or (options.size and (options.size, options.size)) or said.imgsz
    given: dict[str, Any] = {}
    if facts.pixel_max == 255:  # it takes bytes, and scales them itself
        given = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}
    elif said.task == TASK and "mean" not in facts.metadata:
        # ultralytics' classifiers: pixels from 0 to 1, the whole shorter side, bilinear.
        given = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "crop": 1.0, "interpolation": "bilinear"}
    for key in ("mean", "std"):
        if (three := _three(facts, key)) is not None:
            given[key] = three
    if (crop := _number(facts, "crop")) is not None and 0 < crop <= 1:
        given["crop"] = crop
    if (how := facts.metadata.get("interpolation")) in ("bilinear", "bicubic"):
        given["interpolation"] = how
    chosen = {"mean", "std", "crop", "interpolation"}
    given |= {key: value for key in chosen if (value := getattr(options, key)) is not None}
    return InputOptions(size=size or DEFAULT_SIZE, **given)


def _class_names(options: Options, said: Metadata, count: int) -> ClassNames:
    """Return {class id: name} of all classes; raises ModelError if there are too few names."""
    from pipeline.classifiers._tags.words import load_words
    from pipeline.models.class_names import names_from

    given = {} if options.names is None else names_from(options.names)
    imagenet = load_words().classes
    if given and len(given) != count:
        raise ModelError(f"names: got {len(given)} names, the network has {count} classes")
    if given or said.names:
        return given or said.names
    if count == len(imagenet):
        return dict(enumerate(imagenet))
    if count == len(imagenet) + 1:  # TensorFlow's networks begin with a background class
        return dict(enumerate(("background", *imagenet)))
    return {index: f"class_{index}" for index in range(count)}


def _probe(options: InputOptions) -> list[Image]:
    """Return pictures for detecting the kind of output: noise, black and white."""
    noise = np.random.default_rng(0).integers(0, 256, (*options.size, 3), np.uint8)
    return [noise, np.zeros_like(noise), np.full_like(noise, 255)]


def _is_logits(answer: Float32) -> bool:
    """Return whether any number is outside 0 to 1.

    The sum is not checked: scores of independent classes (sigmoids) are probabilities as well.
    """
    return bool(answer.min() < 0 or answer.max() > 1 + 1e-3)


def _three(facts: Facts, key: str) -> Three | None:
    """Parse three numbers from the metadata, a list in JSON or Python syntax."""
    value = facts.metadata.get(key)
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return None
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    first, second, third = (float(each) for each in value)
    return first, second, third


def _number(facts: Facts, key: str) -> float | None:
    try:
        return float(json.loads(str(facts.metadata[key])))
    except (KeyError, TypeError, ValueError):
        return None
