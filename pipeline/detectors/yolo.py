"""YOLO detector: `.onnx` and OpenVINO on the CPU, `.pt` on CUDA or CPU, `.engine` on CUDA.

The layout of a network's output is found by a probe picture before the first frame: what fits none,
or several, is refused, and the options `layout`, `names` and `input_scale` decide.
`.pt` files are Python pickles and can run any code when they are loaded: open only weights from
people you trust. `.onnx` and OpenVINO files hold no code.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from pipeline.core.data import ClassNames, Detections, Frame
from pipeline.core.errors import ModelError
from pipeline.core.fork_check import check_not_forked, mark_used
from pipeline.core.options import OptionsModel, split_names
from pipeline.detectors.common.backend import (
    Backend,
    LayoutOverrides,
    NmsMethod,
    Precision,
    Settings,
    not_int8,
)
from pipeline.models.registry import BUILTIN

_log = logging.getLogger("trackline.detectors")

Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]

Layouts = Literal[
    "v8",
    "v5",
    "v6",
    "yolox",
    "yolox-decoded",
    "deepstream",
    "detr",
    "detr-best",
    "end-to-end",
    "class-first",
]

INT8_SUFFIX = "_int8_openvino"
"""What the export adds to the name of a network that it quantizes."""


class Options(OptionsModel):
    """Options of the YOLO detector: weights, device, thresholds, classes."""

    model: str = BUILTIN
    """Weights: a name (see `trackline models`), a .onnx, .pt or .engine file, an OpenVINO folder,
    a URL."""
    device: Device | Annotated[tuple[Device, ...], Field(min_length=1)] = "auto"
    """auto, cpu, cuda:N (.pt and .engine), or several: [cuda:0, cuda:1]. auto takes a GPU where
    the weights can use one."""
    imgsz: int = Field(default=640, ge=32, le=8192)
    """Longest side of the network's input in pixels. Networks of fixed size keep their own."""
    conf: float = Field(default=0.25, ge=0, lt=1)
    """Boxes with a score up to this are dropped. Unless it is set, trackers that make use of
    doubtful boxes get theirs from 0.1 on."""
    iou: float = Field(default=0.7, ge=0, le=1)
    """Of two boxes of a class that overlap by more than this, only the better one is kept."""
    classes: tuple[int | str, ...] | None = Field(default=None, min_length=1)
    """Names or ids of the classes to keep; all if not given."""
    max_det: int = Field(default=300, ge=1)
    """Most boxes kept per frame, best first."""
    agnostic_nms: bool = False
    """Let boxes of different classes suppress each other."""
    nms: NmsMethod = "greedy"
    """How duplicates are suppressed: greedy, diou (neighbours in a row stay), soft (they get lower
    scores, `iou` does not matter) or wbf (boxes are averaged)."""
    nms_sigma: float = Field(default=0.5, gt=0)
    """How far overlap lowers scores with nms: soft; the higher, the less."""
    batch: int | None = Field(default=None, ge=1)
    """Most frames taken at once; by default what suits the machine."""
    precision: Precision = "auto"
    """auto, fp32, bf16 (CPU), fp16 (CUDA) or int8. auto is bf16 on CPUs that have it and fp16 on
    CUDA. int8 takes what `trackline models export --int8` made, also from beside `model`."""

    layout: Layouts | None = None
    """What the network's output holds, where it is not found: v8, v5, v6, yolox, yolox-decoded,
    deepstream, detr, detr-best, end-to-end or class-first (see docs/networks.md)."""
    names: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Class names in order, in place of those in the weights; or a text file with one a line."""
    input_scale: Literal[1, 255] | None = None
    """The number that stands for white in the network's input, where it is not found."""

    @field_validator("names", mode="before")
    @classmethod
    def _names_from_text(cls, value: object) -> object:
        """Take `car,van` as it is written on a command line."""
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value

    @field_validator("input_scale", mode="before")
    @classmethod
    def _scale_from_text(cls, value: object) -> object:
        """Take a number that was written as text."""
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @field_validator("device", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        """Take `cuda:0,cuda:1` as it is written on a command line."""
        return value.split(",") if isinstance(value, str) and "," in value else value

    @field_validator("classes", mode="before")
    @classmethod
    def _from_one(cls, value: object) -> object:
        """Take `person,car` and a lone name or id as they are written on a command line."""
        if isinstance(value, str):
            return split_names(value)
        return [value] if isinstance(value, int) else value


def build(options: Options) -> Yolo:
    """Return the detector, not yet open."""
    return Yolo(options)


class Yolo:
    """An Overlapping detector (pipeline.core.interfaces) for every YOLO layout in common use."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._backend: Backend | None = None
        self.batch_size = options.batch or 1
        self.in_flight = 1
        self.layout = ""  # in words, once it is open

    def open(self, *, prefer_latency: bool = False) -> ClassNames:
        """Load the weights and return {class id: name}; raises ModelError or MissingExtraError."""
        mark_used()
        from pipeline.detectors.common.output_check import OutputCheck
        from pipeline.detectors.common.postprocess import Postprocess
        from pipeline.models.class_names import default_names, names_from, wanted_ids

        options = self._options
        given = {} if options.names is None else names_from(options.names)
        backend = _backend(options, prefer_latency)
        network = backend.read()
        found = backend.recognise(
            LayoutOverrides(options.layout, len(given) or None, options.input_scale)
        )
        for doubt in found.doubts:
            _log.warning("model: %s: %s", options.model, doubt)
        layout = found.layout
        self.layout = str(found.variant)
        names = given or network.names or default_names(layout.class_count)
        wanted = None if options.classes is None else wanted_ids(options.classes, names)
        postprocess = Postprocess(
            layout=layout,
            conf=options.conf,
            iou=options.iou,
            max_det=options.max_det,
            by_class=not options.agnostic_nms,
            wanted=None if wanted is None else np.array(wanted, np.int32),
            output_check=OutputCheck(options.model, names),
            nms=options.nms,
            nms_sigma=options.nms_sigma,
        )
        backend.start(postprocess)
        self._backend = backend
        self.batch_size = backend.batch_size
        self.in_flight = backend.in_flight
        return names

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return one Detections per frame, in the same order. Frames may differ in size."""
        check_not_forked()
        self.submit(frames)
        return self.collect()

    def submit(self, frames: Sequence[Frame]) -> None:
        """Begin with a batch and return soon; the frames are held until it is collected."""
        check_not_forked()
        if self._backend is None:
            raise ModelError("detector yolo: detect before open")
        self._backend.submit([frame.image for frame in frames])

    def collect(self) -> list[Detections]:
        """Return what `detect` returns for the oldest batch submitted; waits for it."""
        check_not_forked()
        if self._backend is None:
            raise ModelError("detector yolo: collect before open")
        return self._backend.collect()

    def close(self) -> None:
        """Release the network; safe to call twice and when never opened."""
        check_not_forked()
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    @property
    def stage_ms(self) -> Mapping[str, float]:
        """Return ms per frame of the last call: preprocess, infer (waiting), postprocess."""
        return {} if self._backend is None else self._backend.stage_ms


def _weights(options: Options) -> Path:
    """Return the path of the weights; for int8 that of the quantized ones beside them, if any."""
    from pipeline.models.resolve import find_weights

    path = find_weights(options.model)
    if options.precision != "int8":
        return path
    quantized = path.with_name(f"{path.stem}{INT8_SUFFIX}")
    if quantized.is_dir():
        return find_weights(str(quantized))
    if path.suffix.lower() in (".pt", ".engine"):
        raise not_int8(path)
    return path


def _backend(options: Options, prefer_latency: bool) -> Backend:
    devices = [options.device] if isinstance(options.device, str) else [*options.device]
    settings = Settings(
        path=_weights(options),
        device=devices[0],
        imgsz=options.imgsz,
        batch=options.batch,
        precision=options.precision,
        prefer_latency=prefer_latency,
    )
    if settings.path.suffix.lower() in (".pt", ".engine"):
        from pipeline.detectors.torch.backend import TorchBackend

        if len(devices) == 1:
            return TorchBackend(settings)
        from pipeline.detectors.common.multi_device import DeviceWorker, MultiDeviceBackend

        several = [(TorchBackend(replace(settings, device=each)), each) for each in devices]
        ready = 0 if prefer_latency else 1
        return MultiDeviceBackend([DeviceWorker(*each, ready=ready) for each in several])
    if len(devices) > 1:
        raise ModelError(
            f"device: {settings.path.name} runs on the CPU, got {len(devices)} devices"
        )
    from pipeline.detectors.openvino.backend import OpenVinoBackend

    return OpenVinoBackend(settings)
