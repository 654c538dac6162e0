"""ONNX Runtime backend: `.onnx` networks of every family on CUDA, several pictures at a time.

What a file holds is found by OpenVINO on the CPU, as for runs there; the answers are read by the
same code. Only the network runs on the GPU: pictures are prepared and boxes suppressed on the CPU,
so `.pt` weights and TensorRT engines of YOLO are faster. All of it but the GPU itself runs on the
CPU, which is how it is tested.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import Detections, Float32, Image
from pipeline.core.errors import MissingExtraError, ModelError
from pipeline.core.install_hints import install_command
from pipeline.core.yuv import YuvImage
from pipeline.detectors.common.backend import (
    LayoutOverrides,
    Network,
    Settings,
    stage_milliseconds,
)
from pipeline.detectors.common.families import Reading, check_table
from pipeline.detectors.common.layouts import Layout
from pipeline.detectors.common.letterbox import PADDING, Letterbox, paste, place
from pipeline.detectors.common.network_graph import Port
from pipeline.detectors.common.postprocess import Postprocess
from pipeline.detectors.common.probe import RecognisedLayout
from pipeline.detectors.onnxruntime.outputs import masks_of, table_of
from pipeline.detectors.openvino.family_model import FamilyModel
from pipeline.detectors.openvino.model import PictureModel, open_network

IN_FLIGHT = 3
"""Pictures: one on the GPU, one on its way there or back, one being prepared."""

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"

Answer = tuple[Float32, Float32 | None]
"""The table f32[rows,columns] of a picture, and its prototypes or masks f32[C,h,w]."""


@dataclass(slots=True)
class _Batch:
    """Batch in flight: its pictures' letterboxes and answers, and the seconds spent before."""

    pictures: list[tuple[Letterbox, Future[Answer]]] = field(default_factory=list)
    before_s: float = 0.0


class OnnxRuntimeBackend:
    """Backend for one `.onnx` network on one GPU; with `on_cpu` on the CPU, for tests."""

    takes_yuv = True  # see PlanesBackend

    def __init__(self, settings: Settings, *, on_cpu: bool = False) -> None:
        if settings.precision not in ("auto", "fp32"):
            raise ModelError(
                f"precision: {settings.path.name} on CUDA, got {settings.precision!r}; allowed are "
                "auto and fp32"
            )
        self._settings, self._on_cpu = settings, on_cpu
        self._threads: ThreadPoolExecutor | None = None
        self._session: Any = None
        self._batches: deque[_Batch] = deque()
        self.batch_size = settings.batch or 1
        self.in_flight = 1 if settings.prefer_latency else max(IN_FLIGHT // self.batch_size, 2)
        self.stage_ms: Mapping[str, float] = {}

    def read(self) -> Network:
        """Read the weights; raises ModelError, or MissingExtraError without the library."""
        self._session = self._open_session()
        settings = self._settings
        self._model: PictureModel | FamilyModel = open_network(settings.path, settings.family)
        network = self._model.network
        fixed = self._model.fixed_size
        self._target = fixed or settings.input_size(network.imgsz, network.stride)
        self._stride = network.stride if fixed is None else None
        return network

    def recognise(self, forced: LayoutOverrides) -> RecognisedLayout:
        """Return the layout of the answer to a probe picture; raises ModelError."""
        found = self._model.recognise(forced)
        if self._model.family is None:
            found = check_table(self._settings.path, found, self._settings.family)
        return found

    def start(self, postprocess: Postprocess) -> None:
        """Make ready to run."""
        self._postprocess = postprocess
        layout = postprocess.layout
        self._placing = layout.placing
        self._network: _FamilyNetwork | _TableNetwork
        if isinstance(self._model, FamilyModel):
            self._network = _FamilyNetwork(self._session, self._model.reading)
        else:
            self._network = _TableNetwork(self._session, self._model, layout)
        workers = 1 if self._settings.prefer_latency else 2
        self._threads = ThreadPoolExecutor(workers, "run a network")

    def submit(self, images: Sequence[Image | YuvImage]) -> None:
        """Begin with pictures; their pixels are copied, so they may go at once."""
        assert self._threads is not None
        began = perf_counter()
        batch = _Batch()
        self._batches.append(batch)
        try:
            for image in images:
                box = place(image.shape[:2], self._target, self._stride, self._placing)
                canvas = np.full((*box.input_size, 3), PADDING, np.uint8)
                paste(image, box, canvas)
                batch.pictures.append((box, self._threads.submit(self._run, canvas)))
        except BaseException:
            self._drop_in_flight()
            raise
        batch.before_s = perf_counter() - began

    def collect(self) -> list[Detections]:
        """Return the detections of each picture of the oldest batch, in order; waits for them."""
        batch = self._batches[0]
        began, waited_s = perf_counter(), 0.0
        found = []
        try:
            for box, future in batch.pictures:
                asked = perf_counter()
                table, masks = future.result()
                waited_s += perf_counter() - asked
                found.append(self._postprocess(table, box, masks))
        except BaseException:
            self._drop_in_flight()
            raise
        self._batches.popleft()
        took_s = perf_counter() - began
        self.stage_ms = stage_milliseconds(
            max(len(found), 1), batch.before_s + took_s, batch.before_s, took_s - waited_s
        )
        return found

    def close(self) -> None:
        """Release the network; safe to call twice."""
        self._drop_in_flight()
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
        self._session = None

    def _drop_in_flight(self) -> None:
        """Wait for what is in flight and forget it; the next batch can start afresh."""
        while self._batches:
            for _, future in self._batches.popleft().pictures:
                if not future.cancel():
                    future.exception()

    def _run(self, canvas: Image) -> Answer:
        try:
            return self._network(canvas)
        except ModelError:
            raise
        except Exception as error:  # ONNX Runtime has a class of its own for each kind
            raise self._error("cannot be run", error) from error

    def _open_session(self) -> Any:
        device = self._settings.device
        try:
            import onnxruntime
        except ImportError:
            onnxruntime = None
        if onnxruntime is None or not (
            self._on_cpu or _CUDA in onnxruntime.get_available_providers()
        ):
            raise MissingExtraError(
                f"device: {device}: .onnx on CUDA needs {install_command('onnx-cuda')}; device: "
                "cpu runs it without"
            )
        providers: list[Any] = [_CPU]
        if not self._on_cpu:
            onnxruntime.preload_dlls()  # of CUDA, where torch or NVIDIA's wheels brought it
            index = int(device.partition(":")[2] or 0)
            exact = {"use_tf32": "0"} if self._settings.precision == "fp32" else {}
            # Sizes of pictures vary, and a search for the fastest way takes seconds for each.
            search = {"cudnn_conv_algo_search": "HEURISTIC"}
            providers.insert(0, (_CUDA, {"device_id": str(index), **search, **exact}))
        quiet = onnxruntime.SessionOptions()
        quiet.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(str(self._settings.path), quiet, providers)
        except Exception as error:  # as above
            raise self._error("is not a network that ONNX Runtime can read", error) from error
        if not self._on_cpu and session.get_providers()[0] != _CUDA:
            raise ModelError(
                f"device: {device}: ONNX Runtime cannot use it: no such GPU, or its driver, CUDA "
                "or cuDNN is missing; allowed is cpu"
            )
        return session

    def _error(self, what: str, error: Exception) -> ModelError:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        return ModelError(f"model: {self._settings.path} {what}: {reason}")


class _TableNetwork:
    """Network with one table of boxes, and perhaps prototypes of masks."""

    def __init__(self, session: Any, model: PictureModel, layout: Layout) -> None:
        self._session, self._raw_bgr = session, layout.raw_bgr
        [given] = session.get_inputs()
        self._input, self._type = given.name, _TYPES[given.type]
        self._scale = np.float32(layout.pixel_max / 255)
        names = [output.name for output in session.get_outputs()]
        places = [model.output, *([] if model.prototypes is None else [model.prototypes])]
        self._outputs = [names[each] for each in places]

    def __call__(self, canvas: Image) -> Answer:
        """Return the answer to a canvas u8[H,W,3] BGR."""
        picture = canvas if self._raw_bgr else canvas[..., ::-1]
        planes: NDArray[Any] = picture.transpose(2, 0, 1)[None]
        if self._type != np.uint8:
            planes = planes * self._scale
        feed = {self._input: np.ascontiguousarray(planes, self._type)}
        table, *more = self._session.run(self._outputs, feed)
        prototypes = np.asarray(more[0][0], np.float32) if more else None
        return np.asarray(table[0], np.float32), prototypes


class _FamilyNetwork:
    """Network of a family beyond YOLO, whose outputs are joined into a table."""

    def __init__(self, session: Any, reading: Reading) -> None:
        self._session, self._reading = session, reading
        inputs = session.get_inputs()
        picture = inputs[reading.picture]
        self._input, self._type = picture.name, _TYPES[picture.type]
        sides = tuple(side if isinstance(side, int) else None for side in picture.shape)
        self._shape = Port(frozenset(), sides)
        self._feed: dict[str, NDArray[Any]] = {}
        if reading.size_input is not None:
            # Boxes for a picture of 1x1 are parts of its sides.
            size = inputs[reading.size_input]
            self._feed[size.name] = np.ones((1, 2), _TYPES[size.type])

    def __call__(self, canvas: Image) -> Answer:
        """Return the answer to a canvas u8[H,W,3] BGR."""
        look = self._reading.format
        picture: NDArray[Any] = canvas if look.bgr else canvas[..., ::-1]
        if self._type != np.uint8:
            picture = picture.astype(np.float32)
            if look.mean is not None or look.std is not None:
                mean = np.array(look.mean or (0, 0, 0), np.float32) * 255
                picture = (picture - mean) / (np.array(look.std or (1, 1, 1), np.float32) * 255)
            elif look.pixel_max != 255:
                picture *= np.float32(1 / 255)
        if not self._shape.channels_last:
            picture = picture.transpose(2, 0, 1)
        if len(self._shape.shape) == 4:
            picture = picture[None]
        feed = {self._input: np.ascontiguousarray(picture, self._type), **self._feed}
        outputs = self._session.run(None, feed)
        return table_of(outputs, self._reading), masks_of(outputs, self._reading)
