"""The Protocols a plug-in implements, those it may implement as well, and what `open` is given.

A plug-in is one module with a frozen pydantic model `Options` and a function
`build(options)` that returns an object of one of these shapes. `build` must be cheap: files,
devices and libraries are opened in `open()`. An optional Protocol is found by its members alone
(`isinstance`), so a plug-in needs no base class.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pipeline.core.data import (
    ClassNames,
    Detections,
    Event,
    Float32,
    Frame,
    Image,
    Result,
    Tracks,
)
from pipeline.core.packet_tap import PacketTap


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source knows once it is open; `None` where the container or camera does not say.

    `fps` is the nominal rate, for display only: times come from `Frame.pts_s`. `sample_aspect` is
    how wide and how high one pixel is shown, (2, 1) for instance; `None` for square ones. `file` is
    the path it was opened with, that of a folder or pattern for several pictures, "" for cameras;
    `has_sound` says that there is a sound track, which nothing here reads.
    `start_utc` is the Unix time at `pts_s` 0 of a recording that says when it was made. The engine
    sets `recorded` for sources that are not live: the time at which they are read means nothing.
    `unrelated` says that the frames are pictures that have nothing to do with each other: each is
    detected on, none is tracked, and annotated pictures are written instead of a video.
    `start_s` is the time of `pts_s` 0 in seconds from the beginning of the file, as players count
    it: the pictures of a recording may begin later than its sound.
    """

    width: int
    height: int
    fps: float | None = None
    frame_count: int | None = None
    description: str = ""
    sample_aspect: tuple[int, int] | None = None
    file: str = ""
    has_sound: bool = False
    start_utc: float | None = None
    recorded: bool = False
    unrelated: bool = False
    start_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a sink is given before the first result.

    `sources` holds the sources that are open at the start; a camera that is down is missing and
    may appear later. `utc_at_monotonic_zero` added to `Frame.captured_at` gives Unix time.
    `only_files` says that no source is live, open or not, and that the run waits for no other: all
    of it could be read again. `camera_states` may be asked by any thread: by the name of each live
    source its state (connecting, live, stale, lost, ended) and the Unix time since when.
    `recordings` may be asked likewise: what is known of each recording that was opened so far,
    those included that were added or removed since the start. `clip_packets` returns, for a source,
    the packets that its clips are to be made of, None where it has none.
    """

    output: Path
    class_names: ClassNames
    sources: Mapping[str, SourceInfo]
    utc_at_monotonic_zero: float
    metadata: Mapping[str, Any] = field(default_factory=dict)
    only_files: bool = False
    camera_states: Callable[[], Mapping[str, tuple[str, float]]] = dict
    recordings: Callable[[], Mapping[str, SourceInfo]] = dict
    clip_packets: Callable[[str], PacketTap | None] = lambda source: None  # noqa: ARG005

    def utc_of(self, source: str, pts_s: float, captured_at: float) -> float | None:
        """Return the Unix time at which a picture was taken, None where nothing says.

        For cameras the time it arrived; for recordings their own start and the picture's time.
        """
        info = self.recordings().get(source) or self.sources.get(source)
        if info is None or not info.recorded:
            return self.utc_at_monotonic_zero + captured_at
        return None if info.start_utc is None else info.start_utc + pts_s


def unix_time(monotonic_s: float) -> float:
    """Return Unix time of a moment of the monotonic clock, by the system's clock as it is set now.

    What runs for weeks uses this: a small computer's clock may be years off until it finds a time
    server. A file keeps to `utc_at_monotonic_zero`, so that times in it never jump.
    """
    return monotonic_s + time.time() - time.monotonic()


class Source(Protocol):
    """Where frames come from. Never used by two threads at once; live ones open on their own.

    Optional: `Interruptible`, `CountsUndecoded`, `CountsUnwanted`, `HasNotes`, `HasPackets`,
    `HasClipPackets`.
    """

    name: str
    live: bool

    def open(self) -> SourceInfo:
        """Open, or raise SourceError (cannot exist) or SourceLostError (live, not there now)."""

    def read(self) -> Frame | None:
        """Return the next frame, None at the orderly end.

        Raises SourceLostError (live; the engine opens again) or SourceBrokenError (file damaged
        from here on). `Frame.index` counts from 0 since open; the engine renumbers it over
        reconnects and sets `epoch`.
        """

    def close(self) -> None:
        """Release everything; safe to call twice and when never opened."""


@runtime_checkable
class Interruptible(Protocol):
    """Optional, for sources: a waiting `open` or `read` can be ended by another thread."""

    def interrupt(self) -> None:
        """Make an `open` or `read` that waits raise SourceLostError at once; any thread."""


@runtime_checkable
class CountsUndecoded(Protocol):
    """Optional, for sources: how many frames were not decoded so far, to stay current.

    The engine counts them as grabbed and dropped.
    """

    @property
    def left_out(self) -> int:
        """Return how many frames were not decoded since the source was made."""


@runtime_checkable
class CountsUnwanted(Protocol):
    """Optional, for sources: how many frames were left out because only others were asked for.

    The engine counts them as grabbed and dropped, so that indices are those of all frames.
    """

    @property
    def unwanted(self) -> int:
        """Return how many frames were left out since the source was made, or a file opened."""


@runtime_checkable
class HasNotes(Protocol):
    """Optional, for sources: lines for the report about what was assumed or read in part only.

    Read once, after the last frame.
    """

    @property
    def notes(self) -> Sequence[str]:
        """Return the lines."""


@runtime_checkable
class HasPackets(Protocol):
    """Optional, for sources: the pictures as the camera encodes them, for those who subscribe."""

    @property
    def packets(self) -> PacketTap:
        """Return the tap, the same one over all connections; what it has no codec for is empty."""


@runtime_checkable
class HasClipPackets(Protocol):
    """Optional, for sources: another stream of the same camera, of which its clips are made."""

    @property
    def clip_packets(self) -> PacketTap | None:
        """Return its tap, None where clips are made of the frames."""


class Detector(Protocol):
    """Frames to boxes. `batch_size` is the most frames `detect` can make good use of at once.

    Optional: `ExpectsShapes`, `Overlapping`, `SizedBySource`, `Timed`.
    """

    batch_size: int

    def open(self, *, prefer_latency: bool = False) -> ClassNames:
        """Load the weights and return {class id: name}; raises ModelError.

        `prefer_latency` is true for a single live camera: one frame at a time, answered soonest.
        """

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return one Detections per frame, in the same order. Frames may differ in size."""

    def close(self) -> None:
        """Release everything; safe to call twice and when never opened."""


@runtime_checkable
class Overlapping(Detector, Protocol):
    """Optional, for detectors: begin the next batch while earlier ones are still computed.

    `detect` is `submit` and then `collect`. The engine never submits more than `in_flight`
    batches before it collects one, and collects without delay where no frame waits.
    """

    in_flight: int

    def submit(self, frames: Sequence[Frame]) -> None:
        """Begin with a batch and return soon; the frames are held until it is collected."""

    def collect(self) -> list[Detections]:
        """Return what `detect` returns for the oldest batch submitted; waits for it."""


@runtime_checkable
class SizedBySource(Protocol):
    """Optional, for detectors: the size of the network's input differs from source to source."""

    @property
    def takes_sizes(self) -> bool:
        """Return whether it can differ for this network, once it is open."""

    def set_sizes(self, sizes: Mapping[str, int]) -> None:
        """Set the longest side of the input in pixels by source, for the frames submitted next.

        The other sources have the detector's own. Called when it is open, never during another
        call.
        """


@runtime_checkable
class ExpectsShapes(Protocol):
    """Optional, for detectors: get ready for the first pictures while the run starts."""

    def expect(self, shapes: Sequence[tuple[int, int]]) -> None:
        """Note the (height, width) of each source that is known, before `open`; others may come."""


class Classifier(Protocol):
    """Pictures to the score of each class. Never used by two threads at once."""

    def open(self) -> ClassNames:
        """Load the weights and return {class id: name}; raises ModelError."""

    def classify(self, pictures: Sequence[Image]) -> Float32:
        """Return the scores f32[N,classes], 0 to 1, of pictures BGR u8[H,W,3] of any sizes."""

    def close(self) -> None:
        """Release everything; safe to call twice and when never opened."""


class Embedder(Protocol):
    """Boxes in a picture to vectors that say how each looks. Never used by two threads at once.

    The cosine of two vectors says how alike two objects look; from `min_similarity` on they may be
    the same one. It differs from embedder to embedder.
    """

    min_similarity: float

    def open(self) -> None:
        """Load the weights, if it has any; raises ModelError."""

    def embed(self, image: Image, xyxy: Float32) -> Float32:
        """Return a unit vector f32[N,D] for each box f32[N,4] of a picture BGR u8[H,W,3]."""

    def close(self) -> None:
        """Release everything; safe to call twice and when never opened."""


class Tracker(Protocol):
    """Boxes to tracks, for one source. State lives on the instance and nowhere else.

    Optional: `HasMemory`, `NeedsOpening`, `Stateful`, `Timed`.
    """

    def update(self, frame: Frame, detections: Detections) -> Tracks:
        """Return the frame's tracks. Called for every frame in order, empty ones too."""

    def reset(self) -> None:
        """Forget all tracks (after a reconnect); ids already given are not given again."""


@runtime_checkable
class HasMemory(Protocol):
    """Optional, for trackers: for how many seconds unmatched tracks are kept.

    The engine resets the tracker after a longer gap; never where it is None.
    """

    @property
    def memory_s(self) -> float | None:
        """Return the seconds."""


@runtime_checkable
class NeedsOpening(Protocol):
    """Optional, for trackers: has files or libraries to load, as an embedder's.

    The engine opens it before its source's first frame.
    """

    def open(self) -> None:
        """Load what it needs; raises ModelError."""

    def close(self) -> None:
        """Release everything; safe to call twice and when never opened."""


@runtime_checkable
class Stateful(Protocol):
    """Optional, for trackers and watchers: a run can stop, and go on exactly as it would have.

    A tracker's tracks also survive an exchange for another tracker of the same class.
    """

    def save_state(self) -> Mapping[str, Any]:
        """Return all that `load_state` needs as plain data: arrays, numbers, text, lists, mappings.

        Later frames do not change it, and `core/state_json.py` writes it to a file.
        """

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state; raises UsageError where it is not of this kind."""


class Watcher(Protocol):
    """Tracks to events (zones, lines), for one source. State lives on the instance.

    Optional: `Stateful`.
    """

    def watch(self, frame: Frame, tracks: Tracks, class_names: ClassNames) -> Sequence[Event]:
        """Return what happened at this frame. Called for every frame in order.

        Only the frame's source, index, times and picture size are looked at, so a recorded
        track file gives the same events.
        """

    def reset(self) -> None:
        """Forget where every track was (after a reconnect), without an event."""


class Sink(Protocol):
    """Where results go. `own_thread`: encodes or talks to a network, so run it on its own.

    Without it `write` is called on the thread that called `run()`, as windows demand.
    Optional: `RequestsStop`, `MayDrop`, `PerSource`, `Timed`.
    """

    own_thread: bool

    def open(self, run: RunInfo) -> None:
        """Create outputs, or raise OutputError before anything is half-written."""

    def write(self, result: Result) -> None:
        """Take one result; results of one source come in order."""

    def close(self) -> None:
        """Finish the files so that they are readable; called once, after failure too."""


@runtime_checkable
class RequestsStop(Protocol):
    """Optional, for sinks: the run ends in order once `stop_requested` is true."""

    @property
    def stop_requested(self) -> bool:
        """Return whether the run is to end; read after each result."""


@runtime_checkable
class MayDrop(Protocol):
    """Optional, for sinks: with a true `may_drop` the sink is a viewer.

    It has a thread of its own, gets results straight from inference, and misses those replaced by
    newer ones of their source while it is busy.
    """

    @property
    def may_drop(self) -> bool:
        """Return whether results may be left out; read once, when the sink is open."""


@runtime_checkable
class PerSource(Protocol):
    """Optional, for sinks: finishes the file of a source as soon as the source has ended."""

    def source_ended(self, source: str, /) -> None:
        """Finish this source's file: its last result was written. Not called for viewers."""


@runtime_checkable
class Timed(Protocol):
    """Optional, for detectors, trackers and sinks: how the last call's time divides into stages.

    Milliseconds per frame, e.g. {"preprocess": 0.4, "infer": 12.1, "postprocess": 0.3}. Without
    it, or where it is empty, the engine counts the whole call as one stage ("infer", "track",
    "write").
    """

    @property
    def stage_ms(self) -> Mapping[str, float] | None:
        """Return the stages of the last call."""
