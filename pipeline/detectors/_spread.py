"""Several devices as one: batches go to them in turn and come back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from pipeline.data import Detections, Image
from pipeline.detectors._backend import Backend, Network
from pipeline.detectors._postprocess import Postprocess


class SpreadBackend:
    """One network on several devices, each with batches of its own in flight.

    The thread that submits only queues work, so one thread keeps several devices busy.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = backends
        self._turn = 0
        self._busy: deque[Backend] = deque()
        self.batch_size = 1
        self.in_flight = len(backends)
        self.stage_ms: Mapping[str, float] = {}

    def read(self) -> Network:
        """Read the weights on every device; raises ModelError."""
        networks = [backend.read() for backend in self._backends]
        self.batch_size = min(backend.batch_size for backend in self._backends)
        self.in_flight = sum(backend.in_flight for backend in self._backends)
        return networks[0]

    def start(self, postprocess: Postprocess) -> None:
        """Make all ready to run."""
        for backend in self._backends:
            backend.start(postprocess)

    def submit(self, images: Sequence[Image]) -> None:
        """Begin with a batch on the device whose turn it is."""
        backend = self._backends[self._turn]
        self._turn = (self._turn + 1) % len(self._backends)
        try:
            backend.submit(images)
        except BaseException:
            self._abandon()
            raise
        self._busy.append(backend)

    def collect(self) -> list[Detections]:
        """Return the detections of each picture of the oldest batch, in order."""
        backend = self._busy.popleft()
        found = backend.collect()
        self.stage_ms = backend.stage_ms
        return found

    def _abandon(self) -> None:
        """Wait for what is in flight on the other devices; the next batch can start afresh."""
        while self._busy:
            self._busy.popleft().collect()

    def close(self) -> None:
        """Release the networks; safe to call twice."""
        self._busy.clear()
        self._turn = 0
        for backend in self._backends:
            backend.close()
