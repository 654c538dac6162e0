"""Several devices as one: batches go to whichever has least to do, and come back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pipeline.data import Detections, Image
from pipeline.detectors._backend import Forced, Network
from pipeline.detectors._device_worker import Answer, DeviceWorker
from pipeline.detectors._postprocess import Postprocess

if TYPE_CHECKING:
    from pipeline.detectors._probe import Recognised


class SpreadBackend:
    """One network on several devices, each with a thread and batches of its own.

    A device that is slower, or slow for once, gets fewer batches. As answers come in order, the
    others are ahead of it by no more than what may be in flight.
    """

    def __init__(self, workers: Sequence[DeviceWorker]) -> None:
        # In the order in which they were last given a batch, so that equals take turns.
        self._workers = [*workers]
        self._asked: deque[Answer] = deque()
        self.batch_size = 1
        self.in_flight = len(workers)
        self.stage_ms: Mapping[str, float] = {}

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
        self.in_flight = sum(worker.room for worker in self._workers)
        return networks[0]

    def recognise(self, forced: Forced) -> Recognised:
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

    def submit(self, images: Sequence[Image]) -> None:
        """Begin with a batch on the device with the fewest batches to answer."""
        worker = min(
            self._workers, key=lambda each: (each.unanswered >= each.room, each.unanswered)
        )
        self._asked.append(worker.give(images))
        self._workers.remove(worker)
        self._workers.append(worker)

    def collect(self) -> list[Detections]:
        """Return the detections of each picture of the oldest batch, in order; waits for them.

        Raises what its device raised; everything in flight is forgotten then.
        """
        try:
            found, self.stage_ms = self._asked.popleft().result()
        except BaseException:
            self._abandon()
            raise
        return found

    def close(self) -> None:
        """End the threads and release the networks; safe to call twice."""
        self._asked.clear()
        with ExitStack() as all_of_them:
            for worker in self._workers:
                all_of_them.callback(worker.close)

    def _abandon(self) -> None:
        """Wait for what is begun and forget it, so that the next batch starts afresh."""
        for answer in self._asked:
            answer.cancel()
        wait(self._asked)
        self._asked.clear()
