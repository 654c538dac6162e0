"""OpenVINO backend: networks on the CPU, several pictures at the same time.

Two pictures on one core each are faster than one picture on two cores, because no layer waits for
the slower core. So as many requests are in flight as OpenVINO has streams, and one more that is
ready when a stream becomes free while this thread reads an answer and prepares the next picture.
They stay busy over the ends of batches: the next one is submitted before the last is collected.
Pictures go in as they come out of the decoder, u8 and BGR, straight into the request's memory.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest
from time import perf_counter
from typing import Any

from pipeline.core.cpu_count import Cores, SingleOpenCvThread, cores
from pipeline.core.data import Detections, Float32, Image
from pipeline.core.errors import ModelError
from pipeline.core.malloc import return_freed
from pipeline.core.yuv import YuvImage
from pipeline.detectors.common.backend import (
    LayoutOverrides,
    Network,
    Settings,
    not_int8,
    square,
    stage_milliseconds,
)
from pipeline.detectors.common.families import check_table
from pipeline.detectors.common.layouts import Layout
from pipeline.detectors.common.letterbox import PADDING, Letterbox, fit, paste, place
from pipeline.detectors.common.postprocess import Postprocess
from pipeline.detectors.common.probe import RecognisedLayout, expect, picture
from pipeline.detectors.openvino.cache import CompiledModelCache
from pipeline.models.openvino_library import one_line

MAX_IN_FLIGHT = 32
"""Bounds the memory that frames in flight hold on machines with very many cores."""

SIZES_AT_ONCE = 2
"""Input sizes that get a network of their own as they come: cameras and videos have one or two.
With a third, as in a folder of photographs, one network for every size takes over: a twentieth
slower, but each further network takes 60 MB and as long to compile as 3 to 10 pictures to run."""
MANY_PICTURES = 200
"""Of one size: then it has a network of its own again."""
MAX_OWN_SIZES = 4

_USUAL_PICTURE = (1080, 1920)
"""The (height, width) whose shape most cameras and videos have."""

# What is not quantized of an int8 network runs in what OpenVINO finds best.
_PRECISION: dict[str, dict[str, str]] = {
    "auto": {},
    "fp32": {"INFERENCE_PRECISION_HINT": "f32"},
    "bf16": {"INFERENCE_PRECISION_HINT": "bf16"},
    "int8": {},
}


class OpenVinoBackend:
    """Backend for `.onnx` and OpenVINO networks on the CPU."""

    takes_yuv = True  # see PlanesBackend

    def __init__(self, settings: Settings) -> None:
        if settings.device not in ("auto", "cpu"):
            raise ModelError(
                f"device: {settings.path.name} runs on the CPU, got {settings.device!r}; "
                "allowed are auto and cpu (.onnx, .pt and .engine run on CUDA)"
            )
        if settings.precision not in _PRECISION:
            raise ModelError(
                f"precision: {settings.path.name} on the CPU, got {settings.precision!r}; "
                f"allowed are {', '.join(_PRECISION)}"
            )
        self._settings = settings
        self._model: CompiledModelCache | None = None
        self._pools: dict[tuple[int, int] | None, _RequestPool] = {}
        self._seen: Counter[tuple[int, int]] = Counter()
        self._guessed: tuple[int, int] | None = None
        self._compiling: Future[_RequestPool] | None = None  # for the size guessed
        self._batches: deque[_Batch] = deque()
        self._in_flight: deque[tuple[_PictureRequest, _Batch]] = deque()
        self._opencv = SingleOpenCvThread()
        self.batch_size = settings.batch or 1
        frames = 1 if settings.prefer_latency else min(cores().threads + 1, MAX_IN_FLIGHT)
        self.in_flight = -(-frames // self.batch_size)
        self.stage_ms: Mapping[str, float] = {}

    def read(self) -> Network:
        """Read the weights; raises ModelError."""
        self._model = CompiledModelCache(self._settings.path, options=self._settings.family)
        if self._settings.precision == "int8" and not self._model.quantized:
            raise not_int8(self._settings.path)
        network = self._described = self._model.network
        wanted = self._settings.input_size(network.imgsz, network.stride)
        self._target = self._model.fixed_size or wanted
        self._stride = network.stride if self._model.fixed_size is None else None
        return network

    def recognise(self, forced: LayoutOverrides) -> RecognisedLayout:
        """Return the layout of the answer to a probe picture; raises ModelError."""
        assert self._model is not None
        found = self._model.recognise(forced, lambda: self._confirm(forced))
        if self._model.family is None:
            found = check_table(self._settings.path, found, self._settings.family)
        return found

    def _confirm(self, forced: LayoutOverrides) -> RecognisedLayout | None:
        """Return the only layout possible if the network as it will run answers in it, else None.

        This costs no network compiled for the probe alone: pictures are wide in most runs, and
        what is compiled for them here is what they are run on.
        """
        expected = expect(self._described, forced)
        if expected is None or self._settings.family.kind is not None:
            return None
        self._choose(expected.layout)
        shape = next(iter(self._settings.shapes), _USUAL_PICTURE)
        size = fit(shape, self._target, self._stride).input_size
        request = self._pool_for(size).idle[0]
        self._guessed = size
        request.launch(picture(size), fit(size, size, None))
        answer, _ = request.wait()
        if self._described.extra is not None:
            answer, _ = self._described.extra.split(answer)
        if expected.variant.is_confirmed(answer, size):
            return expected
        self._drop_pools()
        self._guessed = None
        return None

    def start(self, postprocess: Postprocess) -> None:
        """Prepare for running; a network of fixed size is compiled here.

        Others start compiling here for the first expected size, else when a size first occurs.
        """
        assert self._model is not None
        layout = postprocess.layout
        if layout.best_only is not None:
            postprocess = replace(postprocess, layout=layout.best_only)
        self._choose(layout)
        self._postprocess = postprocess
        shapes = [self._model.fixed_size] if self._model.fixed_size else self._settings.shapes
        if shapes and not self._pools:
            self._begin_to_compile(shapes[0])
        self._opencv.hold()  # imports it, meanwhile
        if self._model.fixed_size is not None:
            self._pool_for(self._model.fixed_size)

    def _begin_to_compile(self, shape: tuple[int, int]) -> None:
        """Compile for pictures of this (height, width) on a thread, while the rest of a run starts.

        OpenVINO does not hold Python's lock while it compiles, or loads what was compiled before.
        """
        size = place(shape, self._target, self._stride, self._placing).input_size
        self._guessed = size
        thread = ThreadPoolExecutor(1, "compile")
        self._compiling = thread.submit(self._compile, size)
        thread.shutdown(wait=False)

    def _choose(self, layout: Layout) -> None:
        """Set how networks are compiled."""
        self._raw_bgr, self._best = layout.raw_bgr, layout.best_only is not None
        self._pixel_max, self._placing = layout.pixel_max, layout.placing

    @property
    def takes_sizes(self) -> bool:
        """Return whether pictures may have inputs of different sizes."""
        return self._stride is not None

    def submit(self, images: Sequence[Image | YuvImage], sides: Sequence[int | None] = ()) -> None:
        """Submit pictures; their pixels are copied, so they may be released at once.

        `sides` are the longest sides of their inputs, if these differ from the default.
        """
        batch = _Batch(len(images))
        self._batches.append(batch)
        try:
            for image, side in zip_longest(images, sides):
                target = self._target if side is None else square(side, self._described.stride)
                box = place(image.shape[:2], target, self._stride, self._placing)
                pool = self._pool_for(box.input_size)
                while not pool.idle:
                    self._finish_oldest()
                request = pool.idle.pop()
                self._in_flight.append((request, batch))
                started = perf_counter()
                request.launch(image, box)
                batch.before_s += perf_counter() - started
        except BaseException:
            self._drop_in_flight()
            raise

    def collect(self) -> list[Detections]:
        """Return the detections of each picture of the oldest batch, in order; waits for them."""
        batch = self._batches[0]
        try:
            while len(batch.answers) < batch.size:
                self._finish_oldest()
        except BaseException:
            self._drop_in_flight()
            raise
        self._batches.popleft()
        self.stage_ms = batch.stage_ms
        return batch.answers

    def close(self) -> None:
        """Release the networks; safe to call twice."""
        self._drop_in_flight()
        if self._compiling is not None:
            self._compiling.exception()  # waits for it
            self._compiling = None
        self._drop_pools()
        self._model = None
        self._opencv.release()

    def _drop_pools(self) -> None:
        for pool in self._pools.values():
            pool.idle.clear()  # requests and pool refer to each other
        self._pools.clear()

    def _finish_oldest(self) -> None:
        """Wait for the oldest picture in flight and read its answer."""
        request, batch = self._in_flight[0]
        started = perf_counter()
        output, box = request.wait()
        landed = perf_counter()
        batch.answers.append(self._postprocess(output, box, request.prototypes()))
        batch.infer_s += landed - started
        batch.after_s += perf_counter() - landed
        self._in_flight.popleft()
        request.pool.idle.append(request)

    def _drop_in_flight(self) -> None:
        """Wait for what is in flight and discard it; the next batch can start afresh."""
        self._batches.clear()
        while self._in_flight:
            request, _ = self._in_flight.popleft()
            request.cancel()
            request.pool.idle.append(request)

    def _pool_for(self, size: tuple[int, int]) -> _RequestPool:
        """Return the requests for input of `size`, compiling the network the first time."""
        if self._compiling is not None and self._guessed is not None:
            compiling, self._compiling = self._compiling, None
            self._pools[self._guessed] = compiling.result()
        if self._guessed is not None:
            if self._guessed != size and not self._settings.shapes:
                self._drop_pools()  # no picture had the shape that was guessed
            self._guessed = None
        self._seen[size] += 1
        pool = self._pools.get(size)
        if pool is None and self._deserves_own(size):
            pool = self._pools[size] = self._compile(size)
        elif pool is None:
            pool = self._pools.get(None) or self._take_over()
        return pool

    def _deserves_own(self, size: tuple[int, int]) -> bool:
        if None not in self._pools and len(self._pools) < SIZES_AT_ONCE:
            return True
        own = len(self._pools) - (None in self._pools)
        return self._seen[size] >= MANY_PICTURES and own < MAX_OWN_SIZES

    def _take_over(self) -> _RequestPool:
        """Return requests for input of any size; rare sizes lose their own network."""
        while self._in_flight:
            self._finish_oldest()
        for size in [size for size in self._pools if size and self._seen[size] < MANY_PICTURES]:
            self._pools.pop(size).idle.clear()
        pool = self._pools[None] = self._compile(None)
        return pool

    def _compile(self, size: tuple[int, int] | None) -> _RequestPool:
        assert self._model is not None
        with one_line(f"model: {self._settings.path} cannot be compiled for input {size}"):
            compiled = self._model.compile(
                size,
                compile_options(self._settings, cores(), pinned=not self._pools),
                raw_bgr=self._raw_bgr,
                best=self._best,
                pixel_max=self._pixel_max,
            )
        return_freed()
        return _RequestPool(compiled, 0 if self._settings.prefer_latency else 1)


class _RequestPool:
    """Compiled network and its idle inference requests: one per stream, and `waiting` more."""

    def __init__(self, compiled: Any, waiting: int) -> None:
        self._network = compiled  # its requests alone do not keep all of it
        self.has_prototypes = len(compiled.outputs) > 1
        streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self.idle = [
            _PictureRequest(self, compiled.create_infer_request()) for _ in range(streams + waiting)
        ]


class _PictureRequest:
    """Inference request whose input memory is the canvas that pictures are pasted on."""

    def __init__(self, pool: _RequestPool, request: Any) -> None:
        self.pool = pool
        self._request = request
        self._box: Letterbox | None = None

    def launch(self, image: Image | YuvImage, box: Letterbox) -> None:
        """Paste the picture; the padding is painted only when its position changes."""
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
        return self._request.get_output_tensor(0).data[0], self._box

    def prototypes(self) -> Float32 | None:
        """Return f32[C,h,w]: prototypes of masks, or each box's mask; valid until the next launch.

        None if the network outputs neither.
        """
        if not self.pool.has_prototypes:
            return None
        prototypes: Float32 = self._request.get_output_tensor(1).data[0]
        return prototypes

    def cancel(self) -> None:
        """Cancel; the result is not needed."""
        self._request.cancel()
        with suppress(RuntimeError):
            self._request.wait()


class _Batch:
    """Batch in flight: its detections so far, and the seconds this thread spent on it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.answers: list[Detections] = []
        self.before_s = self.infer_s = self.after_s = 0.0

    @property
    def stage_ms(self) -> dict[str, float]:
        """Return ms per frame; `infer` is how long this thread waited for the network."""
        total = self.before_s + self.infer_s + self.after_s
        return stage_milliseconds(max(self.size, 1), total, self.before_s, self.after_s)


def compile_options(settings: Settings, available: Cores, *, pinned: bool = True) -> dict[str, str]:
    """Return OpenVINO's compile options: it sees CPU affinity by itself, but no quota.

    Each network binds its threads to cores, beginning with the first core. Of several in use at a
    time only one may, or two of them work on one core while another has nothing to do.
    """
    hint = "LATENCY" if settings.prefer_latency else "THROUGHPUT"
    rationed = {"INFERENCE_NUM_THREADS": str(available.threads)} if available.rationed else {}
    free = {} if pinned else {"ENABLE_CPU_PINNING": "NO"}
    return {"PERFORMANCE_HINT": hint, **rationed, **free, **_PRECISION[settings.precision]}
