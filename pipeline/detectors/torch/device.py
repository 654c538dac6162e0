"""Torch devices: CUDA with its streams, events and graphs, or the CPU without them.

Both offer the same few calls, so that all that is built on them runs on the CPU as well, in tests
for one. On CUDA copies up, work and copies down go to a stream each: neighbouring batches overlap.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Any, Literal, Protocol

import torch

_cuda: Any = torch.cuda
Tensor = Any
Stage = Literal["upload", "compute", "download"]
Work = Callable[[], Tensor]

log = logging.getLogger("trackline")

_WARM_UPS = 3
"""Runs before a capture: libraries choose their algorithms and reserve memory in the first ones."""


# PyTorch allows one capture at a time in the whole process, on whichever device, and the choice of
# algorithms is a switch of the process too; other threads may be at it for their devices.
_captures = threading.Lock()


class Mark(Protocol):
    """Position in a stage's queue of work, as a CUDA event."""

    def wait(self) -> None:
        """Return once the work up to here is done; sleeps meanwhile."""

    def since(self, earlier: Any) -> float:
        """Return the milliseconds from an earlier mark to this one; both must be over."""


class Device(Protocol):
    """Device protocol: memory, stages with their order, marks, repeatable work."""

    device: Any

    def memory(self, count: int) -> Tensor:
        """Return u8[count] of the host's memory from which copies up can run by themselves."""

    def on(self, stage: Stage, after: Mark | None = None) -> AbstractContextManager[Any]:
        """Return a context whose work belongs to a stage and begins once `after` is over."""

    def mark(self, stage: Stage) -> Mark:
        """Return the moment when all work given to the stage up to now is done."""

    def repeatable(self, work: Work) -> Work:
        """Return what does the same as `work`, which works on fixed memory, in less time."""


class CpuDevice:
    """CPU device: everything is done when the call returns."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def memory(self, count: int) -> Tensor:
        """Return u8[count]."""
        return torch.empty(count, dtype=torch.uint8)

    def on(self, stage: Stage, after: Mark | None = None) -> AbstractContextManager[Any]:
        """Return a context that changes nothing."""
        del stage, after
        return nullcontext()

    def mark(self, stage: Stage) -> CpuMark:
        """Return now."""
        del stage
        return CpuMark()

    def repeatable(self, work: Work) -> Work:
        """Return `work`."""
        return work


class CpuMark:
    """Mark on the CPU: always over."""

    def __init__(self) -> None:
        self._at = perf_counter()

    def wait(self) -> None:
        """Return at once."""

    def since(self, earlier: CpuMark) -> float:
        """Return the milliseconds between."""
        return (self._at - earlier._at) * 1e3


class CudaDevice:
    """CUDA device with a stream per stage; captured graphs share one memory pool."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self._streams = {stage: _cuda.Stream(device) for stage in ("upload", "compute", "download")}
        # Weights went up on the default stream, which these do not wait for.
        torch.cuda.synchronize(device)
        self._pool: Any = None
        self._may_capture = True

    def memory(self, count: int) -> Tensor:
        """Return u8[count] in page-locked memory."""
        return torch.empty(count, dtype=torch.uint8, pin_memory=True)

    def on(self, stage: Stage, after: Mark | None = None) -> AbstractContextManager[Any]:
        """Return a context in which work goes to the stage's stream, behind `after`."""
        stream = self._streams[stage]
        if isinstance(after, CudaMark):
            stream.wait_event(after.event)
        context: AbstractContextManager[Any] = torch.cuda.stream(stream)
        return context

    def mark(self, stage: Stage) -> CudaMark:
        """Return an event recorded in the stage's stream."""
        # Blocking: a waiting thread sleeps, and a core is not lost to looking at the clock.
        event = _cuda.Event(enable_timing=True, blocking=True)
        event.record(self._streams[stage])
        return CudaMark(event)

    def repeatable(self, work: Work) -> Work:
        """Return `work` captured as a CUDA graph, or as it is where something in it cannot be."""
        with _captures:
            return self._captured(work)

    def _captured(self, work: Work) -> Work:
        stream = self._streams["compute"]
        # Sizes stay as they are from here on: it pays to try which convolution is the fastest.
        with torch.cuda.stream(stream), torch.backends.cudnn.flags(enabled=True, benchmark=True):
            for _ in range(_WARM_UPS):
                work()
        stream.synchronize()
        if not self._may_capture:
            return work
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads go on using this device meanwhile: a second detector, for one.
            with (
                torch.backends.cudnn.flags(enabled=True, benchmark=True),
                torch.cuda.graph(
                    graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"
                ),
            ):
                answer = work()
        except RuntimeError as error:
            self._may_capture = False
            reason = str(error).strip().splitlines()[0]
            log.warning("%s: runs without CUDA graphs: %s", self.device, reason)
            torch.cuda.synchronize(self.device)
            return work

        def replay() -> Tensor:
            graph.replay()
            return answer

        return replay


class CudaMark:
    """Mark on CUDA: a recorded event."""

    def __init__(self, event: Any) -> None:
        self.event = event

    def wait(self) -> None:
        """Sleep until the event is over."""
        self.event.synchronize()

    def since(self, earlier: CudaMark) -> float:
        """Return the milliseconds between, as the GPU counts them."""
        return float(earlier.event.elapsed_time(self.event))
