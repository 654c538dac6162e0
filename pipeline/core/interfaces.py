"""Protocols for plug-ins, required and optional.

A plug-in is one module with a frozen pydantic model `Options` and a function `build(options)` that
returns an object of one of these shapes. `build` must be cheap: files, devices and libraries are
opened in `open()`. An optional Protocol is recognised by its members alone (`isinstance`), so a
plug-in needs no base class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from pipeline.core.run_info import RunInfo, SourceInfo


class Source(Protocol):
    """Frames of one camera, file or list of pictures.

    Never used by two threads at once; live sources open on a thread of their own. Optional:
    `Interruptible`, `CountsUndecoded`, `CountsUnwanted`, `HasNotes`, `HasPackets`,
    `HasClipPackets`.
    """

    name: str
    live: bool

    def open(self) -> SourceInfo:
        """Open, or raise SourceError (cannot exist) or SourceLostError (live, not there now)."""

    def read(self) -> Frame | None:
        """Return the next frame, None at the orderly end.

        Raises SourceLostError (live; the engine opens it again) or SourceBrokenError (file damaged
        from here on). `Frame.index` counts from 0 since open; the engine renumbers it across
        reconnects and sets `epoch`.
        """

    def close(self) -> None:
        """Release everything; safe to call twice and if never opened."""


@runtime_checkable
class Interruptible(Protocol):
    """Optional for sources: another thread can end a waiting `open` or `read`."""

    def interrupt(self) -> None:
        """Make a waiting `open` or `read` raise SourceLostError at once; called by any thread."""


@runtime_checkable
class CountsUndecoded(Protocol):
    """Optional for sources: counts frames that were left undecoded to stay current.

    The engine counts them as grabbed and dropped.
    """

    @property
    def left_out(self) -> int:
        """Return the number of frames left undecoded since the source was created."""


@runtime_checkable
class CountsUnwanted(Protocol):
    """Optional for sources: counts frames that the options excluded.

    The engine counts them as grabbed and dropped, so that indices count all frames.
    """

    @property
    def unwanted(self) -> int:
        """Return the number of excluded frames since the source was created, or a file opened."""


@runtime_checkable
class HasNotes(Protocol):
    """Optional for sources: lines for the report, on what was assumed or read only in part.

    Read once, after the last frame.
    """

    @property
    def notes(self) -> Sequence[str]:
        """Return the lines."""


@runtime_checkable
class HasPackets(Protocol):
    """Optional for sources: the camera's encoded pictures, for subscribers."""

    @property
    def packets(self) -> PacketTap:
        """Return the tap, the same one for all connections.

        Empty for codecs it does not support.
        """


@runtime_checkable
class HasClipPackets(Protocol):
    """Optional for sources: a second stream of the same camera, from which clips are cut."""

    @property
    def clip_packets(self) -> PacketTap | None:
        """Return its tap, None if clips are encoded from the frames."""


class Detector(Protocol):
    """Finds objects in frames. `batch_size` is the largest batch that `detect` makes good use of.

    Optional: `ExpectsShapes`, `Overlapping`, `SizedBySource`, `Timed`.
    """

    batch_size: int

    def open(self, *, prefer_latency: bool = False) -> ClassNames:
        """Load the weights and return {class id: name}; raises ModelError.

        `prefer_latency` is true for a single live camera: one frame at a time, answered as soon as
        possible.
        """

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return one Detections per frame, in the same order. Frames may differ in size."""

    def close(self) -> None:
        """Release everything; safe to call twice and if never opened."""


@runtime_checkable
class Overlapping(Detector, Protocol):
    """Optional for detectors: a batch can be submitted while earlier ones are still computed.

    `detect` is `submit` followed by `collect`. The engine never has more than `in_flight` batches
    submitted, and collects without delay if no frame is waiting.
    """

    in_flight: int

    def submit(self, frames: Sequence[Frame]) -> None:
        """Start a batch and return soon; the frames are kept until it is collected."""

    def collect(self) -> list[Detections]:
        """Return what `detect` returns for the oldest submitted batch; waits for it."""


@runtime_checkable
class SizedBySource(Protocol):
    """Optional for detectors: the network's input size can differ between sources."""

    @property
    def takes_sizes(self) -> bool:
        """Return whether this network allows it, once it is open."""

    def set_sizes(self, sizes: Mapping[str, int]) -> None:
        """Set the longest side of the input in pixels by source, for the frames submitted next.

        Sources not given have the detector's own size. Called when the detector is open, never
        during another call.
        """


@runtime_checkable
class ExpectsShapes(Protocol):
    """Optional for detectors: prepare for the first pictures while the run starts."""

    def expect(self, shapes: Sequence[tuple[int, int]]) -> None:
        """Receive the (height, width) of each source that is known, before `open`.

        Others may follow.
        """


class Classifier(Protocol):
    """Scores of the classes of pictures. Never used by two threads at once."""

    def open(self) -> ClassNames:
        """Load the weights and return {class id: name}; raises ModelError."""

    def classify(self, pictures: Sequence[Image]) -> Float32:
        """Return the scores f32[N,classes], 0 to 1, of pictures BGR u8[H,W,3] of any size."""

    def close(self) -> None:
        """Release everything; safe to call twice and if never opened."""


class Embedder(Protocol):
    """Appearance vectors of the boxes in a picture. Never used by two threads at once.

    The cosine of two vectors says how similar two objects look; from `min_similarity` on they may
    be the same one. That threshold depends on the embedder.
    """

    min_similarity: float

    def open(self) -> None:
        """Load the weights, if it has any; raises ModelError."""

    def embed(self, image: Image, xyxy: Float32) -> Float32:
        """Return a unit vector f32[N,D] for each box f32[N,4] of a picture BGR u8[H,W,3]."""

    def close(self) -> None:
        """Release everything; safe to call twice and if never opened."""


class Tracker(Protocol):
    """Tracks of one source from its detections. State lives on the instance and nowhere else.

    Optional: `HasMemory`, `NeedsOpening`, `Stateful`, `Timed`.
    """

    def update(self, frame: Frame, detections: Detections) -> Tracks:
        """Return the frame's tracks. Called for every frame in order, including empty ones."""

    def reset(self) -> None:
        """Forget all tracks (after a reconnect); ids are never reused."""


@runtime_checkable
class HasMemory(Protocol):
    """Optional for trackers: how many seconds unmatched tracks are kept.

    The engine resets the tracker after a longer gap; never if it is None.
    """

    @property
    def memory_s(self) -> float | None:
        """Return the seconds."""


@runtime_checkable
class NeedsOpening(Protocol):
    """Optional for trackers: has files or libraries to load, such as an embedder's.

    The engine opens it before its source's first frame.
    """

    def open(self) -> None:
        """Load files and libraries; raises ModelError."""

    def close(self) -> None:
        """Release everything; safe to call twice and if never opened."""


@runtime_checkable
class Stateful(Protocol):
    """Optional for trackers and watchers: a run can stop and later continue exactly.

    A tracker's tracks also survive its replacement by another tracker of the same class.
    """

    def save_state(self) -> Mapping[str, Any]:
        """Return everything that `load_state` needs, as plain data.

        That is arrays, numbers, text, lists and mappings. Later frames do not change it, and
        `core/state_json.py` can write it to a file.
        """

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state; raises UsageError if it is of another kind."""


class Watcher(Protocol):
    """Events of one source's tracks at zones and lines. State lives on the instance.

    Optional: `Stateful`.
    """

    def watch(self, frame: Frame, tracks: Tracks, class_names: ClassNames) -> Sequence[Event]:
        """Return the events decided at this frame. Called for every frame in order.

        Only the frame's source, index, times and picture size are used, so a recorded track file
        gives the same events.
        """

    def reset(self) -> None:
        """Forget the positions of all tracks (after a reconnect), without an event."""


class Sink(Protocol):
    """Consumer of results. `own_thread` is true for sinks that encode or use a network.

    Without it `write` is called on the thread that called `run()`, as windows require. Optional:
    `RequestsStop`, `MayDrop`, `PerSource`, `Timed`.
    """

    own_thread: bool

    def open(self, run: RunInfo) -> None:
        """Create the outputs, or raise OutputError before anything is half-written."""

    def write(self, result: Result) -> None:
        """Process one result; results of one source come in order."""

    def close(self) -> None:
        """Finish the files so that they are readable; called once, also after a failure."""


@runtime_checkable
class RequestsStop(Protocol):
    """Optional for sinks: the run ends in order once `stop_requested` is true."""

    @property
    def stop_requested(self) -> bool:
        """Return whether the run should end; read after each result."""


@runtime_checkable
class MayDrop(Protocol):
    """Optional for sinks: with a true `may_drop` the sink is a viewer.

    It has a thread of its own and gets results straight from inference. While it is busy, a newer
    result replaces an older one of the same source.
    """

    @property
    def may_drop(self) -> bool:
        """Return whether results may be dropped; read once, when the sink is open."""


@runtime_checkable
class PerSource(Protocol):
    """Optional for sinks: finishes the file of a source as soon as the source has ended."""

    def source_ended(self, source: str, /) -> None:
        """Finish this source's file: its last result has been written. Not called for viewers."""


@runtime_checkable
class Timed(Protocol):
    """Optional for detectors, trackers and sinks: time per stage within the last call.

    Milliseconds per frame, e.g. {"preprocess": 0.4, "infer": 12.1, "postprocess": 0.3}. Without it,
    or if it is empty, the engine counts the whole call as one stage ("infer", "track", "write").
    """

    @property
    def stage_ms(self) -> Mapping[str, float] | None:
        """Return the stages of the last call."""
