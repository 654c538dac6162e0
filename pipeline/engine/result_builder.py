"""From detections to results: boxes for skipped frames, follow per source, hand on.

Frames of a file that are not detected on wait here for the next one that is, so that objects can
be put between the two; those of a camera go on at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from pipeline.core.data import Detections, Result, Tracks
from pipeline.core.ring_buffer import RingBuffer
from pipeline.engine.detector_runner import DetectorRunner
from pipeline.engine.frame_skipper import Every, FrameSkipper
from pipeline.engine.grabber import Grabbed
from pipeline.engine.source_tracker import Followed, SourceTrackers
from pipeline.engine.stats import Stats
from pipeline.engine.step_lock import StepLock


class ResultBuilder:
    """What becomes of frames once they are looked at; for the inference thread alone.

    `show` is told of each result before it is put, and must not wait. `unrelated_score` is the
    lowest score on frames of sources whose frames have nothing to do with each other.
    """

    unrelated_score = 0.0

    def __init__(
        self,
        followers: SourceTrackers,
        results: RingBuffer[Result],
        stats: Stats,
        show: Callable[[Result], None],
        turns: StepLock,
    ) -> None:
        self._followers = followers
        self._results = results
        self._stats = stats
        self._show = show
        self._turns = turns
        self._skippers: dict[str, FrameSkipper] = {}
        self._held: dict[str, list[Grabbed]] = {}

    def wants(self, grabbed: Grabbed, every: Every) -> bool:
        """Return whether to detect on a frame, which is the source's next one."""
        name = grabbed.frame.source
        if every == 1 or self._stats.sources[name].unrelated:
            return True
        if name not in self._skippers:
            self._skippers[name] = FrameSkipper(every)
        return self._skippers[name].wants(grabbed.frame)

    def detected(
        self, by: DetectorRunner, grabbed: Grabbed, found: Detections, stage_ms: Mapping[str, float]
    ) -> None:
        """Pass on a frame that was detected on, and before it those that waited for it."""
        frame = grabbed.frame
        books = self._stats.sources[frame.source]
        found = by.usable(found, books)
        if books.unrelated:
            found = found[found.score >= np.float32(self.unrelated_score)]
        if skipper := self._skippers.get(frame.source):
            skipper.learn(frame, found)
            self._release(by, self._held.get(frame.source, []))
        self._hand_on(by, grabbed, found, stage_ms)

    def skipped(self, by: DetectorRunner, grabbed: Grabbed) -> None:
        """Pass on a frame that was not detected on, or keep it until its time comes."""
        name = grabbed.frame.source
        if self._stats.sources[name].live:
            self._hand_on(by, grabbed, self._stand_in(grabbed), {})
        else:
            self._held.setdefault(name, []).append(grabbed)

    def release_all(self, by: DetectorRunner) -> None:
        """Pass on what waits for a detection that will not come."""
        for held in self._held.values():
            self._release(by, held)

    def take_held(self) -> list[Grabbed]:
        """Return the frames that wait, which leave: nobody will follow them."""
        held = [grabbed for each in self._held.values() for grabbed in each]
        self._held.clear()
        return held

    def _release(self, by: DetectorRunner, held: list[Grabbed]) -> None:
        while held:
            self._hand_on(by, held[0], self._stand_in(held[0]), {})
            held.pop(0)  # only now: what fails before is still to be booked

    def _stand_in(self, grabbed: Grabbed) -> Detections:
        skipper = self._skippers.get(grabbed.frame.source)
        return skipper.at(grabbed.frame) if skipper else Detections.empty()

    def _hand_on(
        self, by: DetectorRunner, grabbed: Grabbed, found: Detections, stage_ms: Mapping[str, float]
    ) -> None:
        """Follow what was found on a frame, or what stands in for it, and pass it on."""
        result = self._follow(by, grabbed, found, stage_ms)
        if result is not None:
            self._show(result)
            # On a busy machine `put` takes a while though it need not wait: others wake up.
            waits = len(self._results) >= self._results.capacity
            began = time.perf_counter()
            self._results.put(result)
            if waits:
                self._stats.blocked_s += time.perf_counter() - began

    def _follow(
        self, by: DetectorRunner, grabbed: Grabbed, found: Detections, stage_ms: Mapping[str, float]
    ) -> Result | None:
        """Return what becomes of a frame; None where its source has left."""
        frame, read_ms = grabbed
        books = self._stats.sources[frame.source]
        with self._turns.step():
            follower = self._followers.get(frame.source)
            if follower is None:
                books.lose(frame.index, "removed")
                return None
            if books.unrelated:
                followed = Followed(Tracks.untracked(found), (), {})
            else:
                followed = follower.follow(frame, found, by.class_names)
        self._stats.following_s += sum(followed.stage_ms.values()) / 1e3
        return Result(
            frame,
            found,
            followed.tracks,
            by.class_names,
            {"decode": read_ms, **stage_ms, **followed.stage_ms},
            followed.events,
            books.lost_before(frame.index),
        )
