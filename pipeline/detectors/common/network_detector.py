"""Detector that runs a network: the common implementation of `yolo`, `detr`, `rcnn` and `ssd`.

`.onnx` and `.pt` networks run on CUDA or CPU, OpenVINO and TensorFlow ones on the CPU, `.engine` on
CUDA.
`.pt` files are Python pickles and can run any code when they are loaded: open only weights from
people you trust. The others hold no code.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.data import ClassNames, Detections, Frame
from pipeline.core.errors import ModelError
from pipeline.core.fork_check import check_not_forked, mark_used
from pipeline.detectors.common.backend import (
    Backend,
    FamilyOptions,
    LayoutOverrides,
    PlanesBackend,
    Settings,
    SizedBackend,
    not_int8,
)
from pipeline.detectors.common.network_options import NetworkOptions, SuppressionOptions

if TYPE_CHECKING:
    from pipeline.detectors.common.decoding import Decode
    from pipeline.detectors.common.layouts import Layout

_log = logging.getLogger("trackline.detectors")

_ON_TORCH, _ONNX = (".pt", ".engine"), ".onnx"
INT8_SUFFIX = "_int8_openvino"
"""Suffix that the export adds to the name of a quantized network."""


class NetworkDetector:
    """An Overlapping detector (pipeline.core.interfaces) for one network.

    `kind` is the plug-in's name, `family` its options for the network, `forced_layout` the layout
    given by the user; `decode` reads boxes of a network that outputs offsets to anchors.
    """

    def __init__(
        self,
        kind: str,
        options: NetworkOptions,
        family: FamilyOptions,
        *,
        suppression: SuppressionOptions | None = None,
        forced_layout: str | None = None,
        decode: Decode | None = None,
    ) -> None:
        self._kind, self._options, self._family = kind, options, family
        self._suppression = suppression or SuppressionOptions()
        self._forced_layout, self._decode = forced_layout, decode
        self._backend: Backend | None = None
        self._takes_yuv = False
        self._sizes: Mapping[str, int] = {}
        self._shapes: tuple[tuple[int, int], ...] = ()
        self.batch_size = options.batch or 1
        self.in_flight = 1
        self.layout = ""  # in words, once it is open

    def expect(self, shapes: Sequence[tuple[int, int]]) -> None:
        """Set the (height, width) of the first pictures, for which it prepares when opened."""
        self._shapes = tuple(shapes)

    def open(self, *, prefer_latency: bool = False) -> ClassNames:
        """Load the weights and return {class id: name}; raises ModelError or MissingExtraError."""
        mark_used()
        from pipeline.core.class_ids import wanted_ids
        from pipeline.detectors.common.output_check import OutputCheck
        from pipeline.detectors.common.postprocess import Postprocess
        from pipeline.models.class_names import default_names, names_from

        options = self._options
        given = {} if options.names is None else names_from(options.names)
        backend = _backend(options, self._family, prefer_latency, self._shapes)
        network = backend.read()
        found = backend.recognise(
            LayoutOverrides(self._forced_layout, len(given) or None, self._family.input_scale)
        )
        for doubt in found.doubts:
            _log.warning("model: %s: %s", options.model, doubt)
        layout = self._decoding(found.layout)
        self._warn_of_unused(layout)
        self.layout = str(found.variant)
        if network.extra is not None:
            self.layout += f", {network.extra}"
        # Only families beyond YOLO count COCO's classes by their numbers, with gaps.
        names = given or network.names or default_names(layout.class_count, gaps=found.is_family)
        wanted = None if options.classes is None else wanted_ids(options.classes, names)
        rules = self._suppression
        postprocess = Postprocess(
            layout=layout,
            conf=options.conf,
            iou=rules.iou,
            max_det=options.max_det,
            by_class=not rules.agnostic_nms,
            wanted=None if wanted is None else np.array(wanted, np.int32),
            output_check=OutputCheck(options.model, names),
            nms=rules.nms,
            nms_sigma=rules.nms_sigma,
            extra=network.extra,
        )
        backend.start(postprocess)
        self._backend = backend
        # Looked up once: `isinstance` of a Protocol is slow.
        self._takes_yuv = isinstance(backend, PlanesBackend) and backend.takes_yuv
        self.batch_size = backend.batch_size
        self.in_flight = backend.in_flight
        return names

    def _warn_of_unused(self, layout: Layout) -> None:
        """Warn about options without effect, because this network suppresses duplicates itself."""
        names = ["iou", "nms", "nms_sigma"]
        if self._options.slice is None:  # fusion of tiles makes use of it
            names.append("agnostic_nms")
        unused = [name for name in names if name in self._suppression.model_fields_set]
        if layout.final and unused:
            _log.warning(
                "model: %s: %s: without effect, as it suppresses duplicates itself",
                self._options.model,
                ", ".join(unused),
            )

    def _decoding(self, layout: Layout) -> Layout:
        """Return the layout with the detector's own decoding, where boxes are offsets."""
        if layout.name != "anchors":
            return layout
        assert self._decode is not None
        return replace(layout, decode=self._decode)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return one Detections per frame, in the same order. Frames may differ in size."""
        check_not_forked()
        self.submit(frames)
        return self.collect()

    def submit(self, frames: Sequence[Frame]) -> None:
        """Submit a batch and return soon; the frames are held until it is collected."""
        check_not_forked()
        if self._backend is None:
            raise ModelError(f"detector {self._kind}: detect before open")
        images: list[Any] = [frame.picture if self._takes_yuv else frame.image for frame in frames]
        if self._sizes and isinstance(self._backend, SizedBackend):
            self._backend.submit(images, [self._sizes.get(frame.source) for frame in frames])
        else:
            self._backend.submit(images)
        self.in_flight = self._backend.in_flight  # with `slice` it depends on the pictures

    @property
    def takes_sizes(self) -> bool:
        """Return whether sources may have inputs of different sizes, once it is open.

        Networks of fixed size, `slice` and networks on a GPU have one size for all.
        """
        return isinstance(self._backend, SizedBackend) and self._backend.takes_sizes

    def set_sizes(self, sizes: Mapping[str, int]) -> None:
        """Set the longest side of the input for single sources; the others have `imgsz`."""
        can = self.takes_sizes
        if sizes and not can:
            names = ", ".join(sorted(sizes))
            _log.warning(
                "model: %s runs at one size: imgsz of %s is left out", self._options.model, names
            )
        self._sizes = dict(sizes) if can else {}

    def collect(self) -> list[Detections]:
        """Return what `detect` returns for the oldest batch submitted; waits for it."""
        check_not_forked()
        if self._backend is None:
            raise ModelError(f"detector {self._kind}: collect before open")
        return self._backend.collect()

    def close(self) -> None:
        """Release the network; safe to call twice and if never opened."""
        check_not_forked()
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    @property
    def stage_ms(self) -> Mapping[str, float]:
        """Return ms per frame of the last call: preprocess, infer (waiting), postprocess."""
        return {} if self._backend is None else self._backend.stage_ms


def _weights(options: NetworkOptions) -> Path:
    """Return the path of the weights; for int8 that of the quantized ones beside them, if any."""
    from pipeline.models.resolve import find_weights

    path = find_weights(options.model)
    if options.precision != "int8":
        return path
    quantized = path.with_name(f"{path.stem}{INT8_SUFFIX}")
    if quantized.is_dir():
        return find_weights(str(quantized))
    if path.suffix.lower() in _ON_TORCH:
        raise not_int8(path)
    return path


def _backend(
    options: NetworkOptions,
    family: FamilyOptions,
    prefer_latency: bool,
    shapes: tuple[tuple[int, int], ...],
) -> Backend:
    if options.slice is None:
        return _plain_backend(options, family, prefer_latency, shapes)
    from pipeline.detectors.common.sliced_backend import SlicedBackend

    # A picture is soonest done when all its tiles are computed at once, not one after the other.
    plain = _plain_backend(options, family, prefer_latency=False)
    return SlicedBackend(plain, options.slice, options.overlap, prefer_latency=prefer_latency)


def _plain_backend(
    options: NetworkOptions,
    family: FamilyOptions,
    prefer_latency: bool,
    shapes: tuple[tuple[int, int], ...] = (),
) -> Backend:
    devices = [options.device] if isinstance(options.device, str) else [*options.device]
    settings = Settings(
        path=_weights(options),
        device=devices[0],
        imgsz=family.imgsz,
        batch=options.batch,
        precision=options.precision,
        prefer_latency=prefer_latency,
        family=family,
        shapes=shapes,
    )
    several = [_device_backend(replace(settings, device=each)) for each in devices]
    if len(several) == 1:
        return several[0]
    from pipeline.detectors.common.multi_device import DeviceWorker, MultiDeviceBackend

    suffix = settings.path.suffix.lower()
    on_gpus = suffix == _ONNX and all(each.startswith("cuda") for each in devices)
    if suffix not in _ON_TORCH and not on_gpus:
        raise ModelError(
            f"device: {settings.path.name}: want one CPU, or GPUs for an .onnx file, got "
            f"{', '.join(devices)}"
        )
    ready = 0 if prefer_latency else 1
    pairs = zip(several, devices, strict=True)
    return MultiDeviceBackend([DeviceWorker(*each, ready=ready) for each in pairs])


def _device_backend(settings: Settings) -> Backend:
    """Return the backend for the settings' one device."""
    suffix = settings.path.suffix.lower()
    if suffix in _ON_TORCH:
        from pipeline.detectors.torch.backend import TorchBackend

        return TorchBackend(settings)
    if suffix == _ONNX and settings.device.startswith("cuda"):
        from pipeline.detectors.onnxruntime.backend import OnnxRuntimeBackend

        return OnnxRuntimeBackend(settings)
    from pipeline.detectors.openvino.backend import OpenVinoBackend

    return OpenVinoBackend(settings)
