"""Several devices as one backend: each has a worker thread, the least busy takes the next batch.

Results come back in the order in which batches were submitted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pipeline.core.data import Detections, Image
from pipeline.core.errors import StageError, located
from pipeline.core.worker import Worker
from pipeline.core.yuv import YuvImage
from pipeline.detectors.common.backend import Backend, LayoutOverrides, Network, PlanesBackend
from pipeline.detectors.common.postprocess import Postprocess

if TYPE_CHECKING:
    from pipeline.detectors.common.probe import RecognisedLayout


BatchFuture = Future[tuple[list[Detections], Mapping[str, float]]]
"""Detections of each picture of a batch, and the ms per frame that each stage took for it."""


class DeviceWorker:
    """Worker thread of one device's backend: submits batches as they come, collects results.

    As many batches are in flight as the backend takes, and `ready` more may wait, so that the
    device is busy while the caller handles the last results. An error in the thread is raised by
    the future of its batch, and fails everything else in flight on this device; the next batch
    starts afresh.
    """

    def __init__(self, backend: Backend, device: str, *, ready: int = 1) -> None:
        self.backend = backend
        self._where = f"detector yolo on {device}"
        self._ready = ready
        self._queued: deque[tuple[Sequence[Any], BatchFuture]] = deque()
        self._started: deque[BatchFuture] = deque()
        self._closed = False
        self._failure: BaseException | None = None
        self._change = threading.Condition()
        self._worker = Worker(f"infer on {device}", self._work, self._fail_waiting)

    @property
    def capacity(self) -> int:
        """Return how many batches it may hold at a time, started or not."""
        return max(self.backend.in_flight, 1) + self._ready

    @property
    def unanswered(self) -> int:
        """Return the number of batches without a result yet."""
        with self._change:
            return len(self._queued) + len(self._started)

    def read(self) -> Network:
        """Read the weights, on the caller's thread; raises ModelError."""
        return self.backend.read()

    def recognise(self, forced: LayoutOverrides) -> RecognisedLayout:
        """Return the network's layout, on the caller's thread; raises ModelError."""
        return self.backend.recognise(forced)

    def start(self, postprocess: Postprocess) -> None:
        """Prepare for running and start waiting for batches."""
        self.backend.start(postprocess)
        self._worker.start(self._set_failure)  # a failure reaches those who wait for a result

    def submit(self, images: Sequence[Image | YuvImage]) -> BatchFuture:
        """Return a future for a batch's result; a batch cancelled before it starts is dropped."""
        answer: BatchFuture = Future()
        with self._change:
            if self._closed:
                raise self._ended("submit after close")
            self._queued.append((images, answer))
            self._change.notify_all()
        return answer

    def close(self) -> None:
        """End the thread even if work is left, and release the network; safe to call twice."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._worker.join()
        self.backend.close()

    # -- the thread itself ----------------------------------------------------------------------

    def _work(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        """Start a batch or finish the oldest one; return False once closed.

        A method of its own, so that an idle thread keeps no reference to a picture.
        """
        with self._change:
            while not (self._closed or self._queued or self._started):
                self._change.wait()
            if self._closed:
                return False
            begins = bool(self._queued) and len(self._started) < max(self.backend.in_flight, 1)
            if begins:
                images, answer = self._queued.popleft()
                if not answer.set_running_or_notify_cancel():
                    return True
                self._started.append(answer)
        try:
            with located(self._where):
                if begins:
                    self.backend.submit(images)
                else:
                    self._answer(self.backend.collect())
        except BaseException as error:  # noqa: BLE001 - as far out in the thread as a batch is known
            for each in self._pop_started():
                each.set_exception(error)
        return True

    def _answer(self, found: list[Detections]) -> None:
        with self._change:
            answer = self._started.popleft()
        answer.set_result((found, self.backend.stage_ms))

    def _pop_started(self) -> list[BatchFuture]:
        """Return the futures of the batches that were started, and forget them."""
        with self._change:
            forgotten = [*self._started]
            self._started.clear()
        return forgotten

    def _fail_waiting(self) -> None:
        """Fail every batch that will not be computed, so that no caller waits forever."""
        with self._change:
            self._closed = True  # first: a batch submitted after this would never be looked at
            given = [answer for _, answer in self._queued]
            self._queued.clear()
        for answer in self._pop_started():
            answer.set_exception(self._ended("closed before it answered"))
        for answer in given:
            if self._failure is None:
                answer.cancel()
            if answer.set_running_or_notify_cancel():
                answer.set_exception(self._ended("closed before it answered"))

    def _set_failure(self, error: BaseException) -> None:
        """Keep the error that ended the thread; called before `_fail_waiting`."""
        self._failure = error

    def _ended(self, usual: str) -> StageError:
        """Return what to raise once the thread is over: why it failed, or what is usual."""
        failure = self._failure
        if failure is None:
            return StageError(f"{self._where}: {usual}")
        return StageError(f"{self._where}: {type(failure).__name__}: {failure}")


class MultiDeviceBackend:
    """Backend that runs one network on several devices, each with a worker thread.

    A device that is slower, or slow for once, gets fewer batches. As answers come in order, the
    others are ahead of it by no more than what may be in flight.
    """

    def __init__(self, workers: Sequence[DeviceWorker]) -> None:
        # In the order in which they were last given a batch, so that equals take turns.
        self._workers = [*workers]
        self._pending: deque[BatchFuture] = deque()
        self.batch_size = 1
        self.in_flight = len(workers)
        self.stage_ms: Mapping[str, float] = {}

    @property
    def takes_yuv(self) -> bool:
        """Return whether every device takes pictures as they were decoded."""
        backends = [worker.backend for worker in self._workers]
        return all(isinstance(each, PlanesBackend) and each.takes_yuv for each in backends)

    def read(self) -> Network:
        """Read the weights for every device; raises ModelError, and has none of them then.

        One after the other: what loads `.pt` weights is not made for several threads.
        """
        try:
            networks = [worker.read() for worker in self._workers]
        except BaseException:
            self.close()
            raise
        self.batch_size = min(worker.backend.batch_size for worker in self._workers)
        self.in_flight = sum(worker.capacity for worker in self._workers)
        return networks[0]

    def recognise(self, forced: LayoutOverrides) -> RecognisedLayout:
        """Return the network's layout, as its first device answers; raises ModelError."""
        try:
            return self._workers[0].recognise(forced)
        except BaseException:
            self.close()
            raise

    def start(self, postprocess: Postprocess) -> None:
        """Make all ready to run; where one cannot, none is left running."""
        try:
            for worker in self._workers:
                worker.start(postprocess)
        except BaseException:
            self.close()
            raise

    def submit(self, images: Sequence[Image | YuvImage]) -> None:
        """Begin with a batch on the device with the fewest batches to answer."""
        worker = min(
            self._workers, key=lambda each: (each.unanswered >= each.capacity, each.unanswered)
        )
        self._pending.append(worker.submit(images))
        self._workers.remove(worker)
        self._workers.append(worker)

    def collect(self) -> list[Detections]:
        """Return the detections of each picture of the oldest batch, in order; waits for them.

        Raises what its device raised; everything in flight is forgotten then.
        """
        try:
            found, self.stage_ms = self._pending.popleft().result()
        except BaseException:
            self._drop_in_flight()
            raise
        return found

    def close(self) -> None:
        """End the threads and release the networks; safe to call twice."""
        self._pending.clear()
        with ExitStack() as all_of_them:
            for worker in self._workers:
                all_of_them.callback(worker.close)

    def _drop_in_flight(self) -> None:
        """Wait for what is begun and forget it, so that the next batch starts afresh."""
        for answer in self._pending:
            answer.cancel()
        wait(self._pending)
        self._pending.clear()
