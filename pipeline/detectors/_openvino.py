"""Runs networks on the CPU with OpenVINO, several pictures at the same time.

Two pictures on one core each are faster than one picture on two cores, because no layer waits for
the slower core. So as many requests are in flight as OpenVINO has streams, and one more that is
ready when a stream becomes free while this thread reads an answer and prepares the next picture.
Pictures go in as they come out of the decoder, u8 and BGR, straight into the request's memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any

from pipeline.data import Detections, Float32, Image
from pipeline.detectors._backend import Network, Settings, stage_milliseconds
from pipeline.detectors._letterbox import PADDING, Letterbox, fit, paste
from pipeline.detectors._openvino_model import PictureModel, one_line
from pipeline.detectors._postprocess import Postprocess
from pipeline.errors import ModelError

STRIDE = 32
"""Sides of a network's input are multiples of this: its coarsest feature map's step."""

FRAMES_PER_CORE, MOST_FRAMES = 4, 32
"""A batch is this many frames: enough that its end, when cores run out of work, counts little."""

STATIC_SIZES = 4
"""Input sizes that get a network compiled for them (0.2 s, then faster by a tenth); any further
ones, as in a folder of photographs, share one compiled for every size."""

_PRECISION = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoBackend:
    """Runs an `.onnx` or OpenVINO network on the CPU."""

    def __init__(self, settings: Settings) -> None:
        if settings.device not in ("auto", "cpu"):
            raise ModelError(
                f"device: {settings.path.name} runs on the CPU, got {settings.device!r}; "
                "allowed are auto and cpu (.pt weights run on CUDA)"
            )
        if settings.precision not in ("auto", *_PRECISION):
            raise ModelError(
                f"precision: {settings.path.name} on the CPU, got {settings.precision!r}; "
                f"allowed are auto, {', '.join(_PRECISION)}"
            )
        self._settings = settings
        self._model: PictureModel | None = None
        self._lanes: dict[tuple[int, int] | None, _Lane] = {}
        frames = 1 if settings.prefer_latency else min(FRAMES_PER_CORE * _cores(), MOST_FRAMES)
        self.batch_size = settings.batch or frames
        self.stage_ms: Mapping[str, float] = {}

    def read(self) -> Network:
        """Read the weights; raises ModelError."""
        self._model = PictureModel(self._settings.path)
        return self._model.network

    def start(self, postprocess: Postprocess) -> None:
        """Make ready to run; a network of fixed size is compiled here, others when they are."""
        assert self._model is not None
        self._postprocess = postprocess
        self._centred = not postprocess.layout.raw_bgr
        self._model.take_pictures(raw_bgr=postprocess.layout.raw_bgr)
        side = -(-self._settings.imgsz // STRIDE) * STRIDE
        self._target = self._model.fixed_size or (side, side)
        self._stride = STRIDE if self._model.fixed_size is None else None
        if self._model.fixed_size is not None:
            self._lane(self._model.fixed_size)

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Return the detections of each picture, in order."""
        call = _Call(self._postprocess)
        started = perf_counter()
        try:
            for image in images:
                box = fit(image.shape[:2], self._target, self._stride, self._centred)
                lane = self._lane(box.input_size)
                while not lane.idle:
                    call.land()
                call.launch(lane.idle.pop(), image, box)
            while call.flying:
                call.land()
        finally:
            call.abandon()
        took = perf_counter() - started
        self.stage_ms = stage_milliseconds(len(images), took, call.before_s, call.after_s)
        return call.answers

    def close(self) -> None:
        """Release the networks; safe to call twice."""
        self._lanes.clear()
        self._model = None

    def _lane(self, size: tuple[int, int]) -> _Lane:
        """Return the requests for input of `size`, compiling the network the first time."""
        key = size if size in self._lanes or len(self._lanes) < STATIC_SIZES else None
        lane = self._lanes.get(key)
        if lane is None:
            assert self._model is not None
            with one_line(f"model: {self._settings.path} cannot be compiled for input {size}"):
                compiled = self._model.compile(key, self._config())
            waiting = 0 if self._settings.prefer_latency else 1
            lane = self._lanes[key] = _Lane(compiled, self._model.output, waiting)
        return lane

    def _config(self) -> dict[str, str]:
        hint = "LATENCY" if self._settings.prefer_latency else "THROUGHPUT"
        config = {"PERFORMANCE_HINT": hint}
        if self._settings.precision != "auto":
            config["INFERENCE_PRECISION_HINT"] = _PRECISION[self._settings.precision]
        return config


class _Lane:
    """A compiled network and those of its requests that are idle: one per stream and `waiting`."""

    def __init__(self, compiled: Any, output: int, waiting: int) -> None:
        streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self.idle = [
            _Request(self, compiled.create_infer_request(), output)
            for _ in range(streams + waiting)
        ]


class _Request:
    """One request; its input memory doubles as the canvas that pictures are pasted on."""

    def __init__(self, lane: _Lane, request: Any, output: int) -> None:
        self.lane = lane
        self._request = request
        self._output = output
        self._box: Letterbox | None = None

    def launch(self, image: Image, box: Letterbox) -> None:
        """Put the picture in; the padding is painted only when it moves."""
        if box != self._box:
            tensor = self._request.get_input_tensor()
            tensor.shape = (1, *box.input_size, 3)
            self._canvas: Image = tensor.data[0]
            self._canvas.fill(PADDING)
            self._box = box
        paste(image, box, self._canvas)
        self._request.start_async()

    def wait(self) -> tuple[Float32, Letterbox]:
        """Return the output f32[rows, columns], valid until the next launch, and its letterbox."""
        assert self._box is not None
        self._request.wait()
        return self._request.get_output_tensor(self._output).data[0], self._box

    def cancel(self) -> None:
        """Stop; the answer is not wanted."""
        self._request.cancel()
        with suppress(RuntimeError):
            self._request.wait()


class _Call:
    """One call of `detect`: the requests in flight, oldest first, and the answers so far."""

    def __init__(self, postprocess: Postprocess) -> None:
        self._postprocess = postprocess
        self.flying: deque[_Request] = deque()
        self.answers: list[Detections] = []
        self.before_s = self.after_s = 0.0

    def launch(self, request: _Request, image: Image, box: Letterbox) -> None:
        """Send a picture off."""
        self.flying.append(request)
        started = perf_counter()
        request.launch(image, box)
        self.before_s += perf_counter() - started

    def land(self) -> None:
        """Wait for the oldest picture and read its answer."""
        request = self.flying[0]
        output, box = request.wait()
        started = perf_counter()
        self.answers.append(self._postprocess(output, box))
        self.after_s += perf_counter() - started
        request.lane.idle.append(self.flying.popleft())

    def abandon(self) -> None:
        """After a failure: wait for what is still in flight, so that the next call can start."""
        while self.flying:
            request = self.flying.popleft()
            request.cancel()
            request.lane.idle.append(request)


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
