"""Backend that runs a network on overlapping tiles of each picture, and on the whole picture once.

Tiles go through the network like other pictures: as many at once as it takes, from several frames,
and the next frame's tiles follow while the last ones are computed. They are views of their picture,
so memory does not grow with their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from pipeline.core.data import Detections, Image, Int32
from pipeline.detectors.common.backend import Backend, LayoutOverrides, Network
from pipeline.detectors.common.slicing import FusionRules, fuse, tiles_xyxy

if TYPE_CHECKING:
    from pipeline.detectors.common.postprocess import Postprocess
    from pipeline.detectors.common.probe import RecognisedLayout

PICTURES_PER_BATCH = 4
"""Divides the network's batch: each picture brings several tiles, and a smaller batch is younger
when it is answered."""


class SlicedBackend:
    """Backend that cuts pictures into tiles of `side` pixels, which share `overlap` of that.

    With `prefer_latency` one picture is in flight at a time, whose tiles are computed together.
    """

    def __init__(
        self, backend: Backend, side: int, overlap: float, *, prefer_latency: bool = False
    ) -> None:
        self._backend = backend
        self._side, self._overlap = side, overlap
        self._prefer_latency = prefer_latency
        self._rules = FusionRules()
        self._batches: deque[_Batch] = deque()
        self._under_way: deque[tuple[_Batch, list[int]]] = deque()
        self.batch_size = self.in_flight = 1
        self.stage_ms: Mapping[str, float] = {}

    def read(self) -> Network:
        """Read the weights; raises ModelError."""
        return self._backend.read()

    def recognise(self, forced: LayoutOverrides) -> RecognisedLayout:
        """Return the network's layout; raises ModelError."""
        return self._backend.recognise(forced)

    def start(self, postprocess: Postprocess) -> None:
        """Make ready to run."""
        self._rules = FusionRules(postprocess.by_class, postprocess.max_det)
        self._backend.start(postprocess)
        if not self._prefer_latency:
            self.batch_size = max(self._backend.batch_size // PICTURES_PER_BATCH, 1)
            self.in_flight = max(self._backend.in_flight, 2)

    def submit(self, images: Sequence[Image]) -> None:
        """Submit pictures; returns when the last of their tiles has been submitted."""
        batch = _Batch([tiles_xyxy(image.shape[:2], self._side, self._overlap) for image in images])
        self._batches.append(batch)
        if not self._prefer_latency:
            self.in_flight = self._wanted_in_flight(batch.waiting)
        size = max(self._backend.batch_size, 1)
        views: list[Image] = []
        places: list[int] = []
        try:
            for place, view in _tiles_of(images, batch.tiles):
                views.append(view)
                places.append(place)
                if len(views) == size:
                    self._launch(batch, views, places)
                    views, places = [], []
            if views:
                self._launch(batch, views, places)
        except BaseException:
            self._forget()
            raise

    def collect(self) -> list[Detections]:
        """Return the detections of each picture of the oldest batch, in order; waits for them."""
        batch = self._batches[0]
        try:
            while batch.waiting:
                self._collect_oldest()
        except BaseException:
            self._forget()
            raise
        self._batches.popleft()
        began = perf_counter()
        pairs = zip(batch.found, batch.tiles, strict=True)
        fused = [fuse(found, tiles, self._rules) for found, tiles in pairs]
        batch.add_ms({"postprocess": (perf_counter() - began) * 1e3})
        pictures = max(len(batch.tiles), 1)
        self.stage_ms = {name: ms / pictures for name, ms in batch.total_ms.items()}
        return fused

    def close(self) -> None:
        """Release the network; safe to call twice."""
        self._forget()
        self._backend.close()

    def _wanted_in_flight(self, tiles: int) -> int:
        """Return how many batches of this many tiles keep the network busy."""
        wanted = self._backend.in_flight * self._backend.batch_size
        return max(-(-wanted // max(tiles, 1)), 2)

    def _launch(self, batch: _Batch, views: list[Image], places: list[int]) -> None:
        while len(self._under_way) >= max(self._backend.in_flight, 1):
            self._collect_oldest()
        self._backend.submit(views)
        self._under_way.append((batch, places))

    def _collect_oldest(self) -> None:
        """Assign the results of the oldest tiles to their pictures."""
        answers = self._backend.collect()
        batch, places = self._under_way.popleft()
        for place, answer in zip(places, answers, strict=True):
            batch.found[place].append(answer)
        batch.waiting -= len(places)
        batch.add_ms({name: ms * len(places) for name, ms in self._backend.stage_ms.items()})

    def _forget(self) -> None:
        """Discard what is in flight, as the network does after an error."""
        self._batches.clear()
        self._under_way.clear()


def _tiles_of(images: Sequence[Image], tiles: Sequence[Int32]) -> Iterator[tuple[int, Image]]:
    """Yield each tile and the place of its picture: whole ones first, which go together well."""
    yield from enumerate(images)
    for place, (image, cuts) in enumerate(zip(images, tiles, strict=True)):
        for left, top, right, bottom in cuts[1:].tolist():
            yield place, image[top:bottom, left:right]


class _Batch:
    """Batch in flight: the tiles of each picture, what was found on them so far, and the time."""

    def __init__(self, tiles: list[Int32]) -> None:
        self.tiles = tiles
        self.found: list[list[Detections]] = [[] for _ in tiles]
        self.waiting = sum(map(len, tiles))
        self.total_ms: dict[str, float] = {}

    def add_ms(self, stages: Mapping[str, float]) -> None:
        """Add the milliseconds that stages took for any of its tiles."""
        for name, ms in stages.items():
            self.total_ms[name] = self.total_ms.get(name, 0.0) + ms
