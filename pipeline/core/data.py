"""Data types of the pipeline: Frame, Detection, Detections, Tracks, Event, Result.

All are frozen; box sets are struct-of-arrays, and an empty set has length 0. Masks and keypoints
are None unless the network gives them. Boxes are `xyxy` (left, top, right, bottom) in pixels of the
original frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from pipeline.core.masks import Mask, rows_of
from pipeline.core.scaling import averaged
from pipeline.core.yuv import Size, YuvImage

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Image = NDArray[np.uint8]
ClassNames = Mapping[int, str]


def _check(owner: object, name: str, array: Any, dtype: type, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `array` is a `dtype` array of `shape`."""
    where = f"{type(owner).__name__}.{name}"
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{where}: want ndarray, got {type(array).__name__}")
    if array.dtype != dtype:
        raise ValueError(f"{where}: want {np.dtype(dtype).name}, got {array.dtype.name}")
    if array.shape != shape:
        raise ValueError(f"{where}: want shape {shape}, got {array.shape}")


class _BgrImage:
    """The field `Frame.image`: accepts BGR or YUV and returns BGR, converted on the first read."""

    @overload
    def __get__(self, frame: None, owner: type) -> Self: ...
    @overload
    def __get__(self, frame: Frame, owner: type) -> Image: ...
    def __get__(self, frame: Frame | None, owner: type) -> Self | Image:
        if frame is None:
            return self
        held = frame.__dict__
        if "yuv" in held:
            yuv: YuvImage = held["yuv"]
            return yuv.bgr
        image: Image = held["bgr"]
        return image

    def __set__(self, frame: Frame, image: Image | YuvImage) -> None:
        if isinstance(image, YuvImage):
            frame.__dict__["yuv"] = image
            return
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            kind = getattr(image, "dtype", type(image).__name__)
            raise ValueError(f"Frame.image: want uint8 array, got {kind}")
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"Frame.image: want shape (H, W, 3), got {image.shape}")
        if image.flags.writeable:
            image = image.view()
            image.flags.writeable = False
        frame.__dict__["bgr"] = image


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of one source: BGR u8[H,W,3], read-only.

    `image` may be given as a YuvImage, as video files and network cameras do. Then `image` is
    converted when first read, by any thread, and cached with the frame; code that needs no BGR
    reads `yuv`, `shape` and `scaled`, which cost less. `moved` copies a frame without converting
    it.

    `index` counts the frames grabbed from this source from 0, so a dropped frame shows as a gap.
    `pts_s` is the container's presentation time in seconds for files and seconds since open for
    cameras; `captured_at` is `time.monotonic()` read after the picture arrived; `epoch` grows by
    one with each reconnect. `file` is the path of the file it was read from, "" for cameras.
    """

    image: Image
    source: str
    index: int
    pts_s: float
    captured_at: float
    epoch: int = 0
    file: str = ""

    if TYPE_CHECKING:

        def __init__(  # noqa: PLR0913 (the fields)
            self,
            image: Image | YuvImage,
            source: str,
            index: int,
            pts_s: float,
            captured_at: float,
            epoch: int = 0,
            file: str = "",
        ) -> None: ...

    @property
    def yuv(self) -> YuvImage | None:
        """Return the picture as decoded planes, None if the source gave BGR."""
        yuv: YuvImage | None = self.__dict__.get("yuv")
        return yuv

    @property
    def picture(self) -> Image | YuvImage:
        """Return the picture in the form the source gave it."""
        return self.yuv or self.image

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of `image`, (H, W, 3)."""
        height, width, channels = self.picture.shape
        return height, width, channels

    @property
    def nbytes(self) -> int:
        """Return the memory used by the picture now, in bytes."""
        return self.picture.nbytes

    def scaled(self, size: Size) -> Image:
        """Return the picture at `size` (height, width), averaged over the source pixels."""
        if self.yuv is not None:
            return self.yuv.scaled(size, average=True)
        return averaged(self.image, size)

    def __reduce__(self) -> tuple[type[Frame], tuple[Any, ...]]:
        """Pickle and copy the frame as BGR: its planes may be a decoder's memory."""
        return Frame, (self.image, *(self.__dict__[name] for name in _FRAME_FIELDS))

    def moved(self, **changes: Any) -> Frame:
        """Return a copy with other fields replaced; the picture is shared, not converted."""
        mine = self.__dict__
        fields = {name: mine[name] for name in _FRAME_FIELDS} | changes
        return Frame(self.picture, **fields)


Frame.image = _BgrImage()  # type: ignore[assignment]  # in its body it would be a default
_FRAME_FIELDS = ("source", "index", "pts_s", "captured_at", "epoch", "file")


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """N boxes of one frame: `xyxy` f32[N,4] in pixels, `score` f32[N] 0..1, `class_id` i32[N].

    `masks` holds a Mask per box, `keypoints` is f32[N,K,3]: x and y in pixels, score 0..1; both are
    None if the network gives none.
    """

    xyxy: Float32
    score: Float32
    class_id: Int32
    masks: tuple[Mask, ...] | None = None
    keypoints: Float32 | None = None

    def __post_init__(self) -> None:
        n = len(self.score)
        _check(self, "xyxy", self.xyxy, np.float32, (n, 4))
        _check(self, "score", self.score, np.float32, (n,))
        _check(self, "class_id", self.class_id, np.int32, (n,))
        if self.masks is not None and len(self.masks) != n:
            raise ValueError(f"Detections.masks: want {n} masks, got {len(self.masks)}")
        if self.keypoints is not None:
            count = np.shape(self.keypoints)[1] if np.ndim(self.keypoints) == 3 else 0
            _check(self, "keypoints", self.keypoints, np.float32, (n, count, 3))

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, rows: NDArray[Any] | slice) -> Self:
        """Return the rows picked by a boolean mask, an index array or a slice."""
        masks, keypoints = self.masks, self.keypoints
        return type(self)(
            self.xyxy[rows],
            self.score[rows],
            self.class_id[rows],
            None if masks is None else rows_of(masks, rows),
            None if keypoints is None else keypoints[rows],
        )

    @classmethod
    def empty(cls) -> Self:
        """Return a set of no boxes, without masks and keypoints."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))

    def best(self) -> Self:
        """Return only the box with the highest score, the largest of equal ones.

        Empty if there is none.
        """
        area = (self.xyxy[:, 2] - self.xyxy[:, 0]) * (self.xyxy[:, 3] - self.xyxy[:, 1])
        return self[np.lexsort((-area, -self.score))[:1]]


@dataclass(frozen=True, slots=True)
class Detection:
    """One object on a picture: `xyxy` in its pixels, `score` 0..1, class by number and name."""

    xyxy: tuple[float, float, float, float]
    score: float
    class_id: int
    class_name: str


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """N confirmed tracks of one frame, each with the id it keeps for the whole run.

    `xyxy` f32[N,4], `score` f32[N] (that of the last matched detection), `class_id` i32[N],
    `track_id` i64[N] from 1 (0: no identity, as from the tracker `none`), `detection` i32[N]: the
    row of the frame's detections that was matched, or -1 while the track coasts on its prediction,
    `age_s` f32[N]: seconds since the track's first detection.
    """

    xyxy: Float32
    score: Float32
    class_id: Int32
    track_id: Int64
    detection: Int32
    age_s: Float32

    def __post_init__(self) -> None:
        n = len(self.track_id)
        _check(self, "xyxy", self.xyxy, np.float32, (n, 4))
        _check(self, "score", self.score, np.float32, (n,))
        _check(self, "class_id", self.class_id, np.int32, (n,))
        _check(self, "track_id", self.track_id, np.int64, (n,))
        _check(self, "detection", self.detection, np.int32, (n,))
        _check(self, "age_s", self.age_s, np.float32, (n,))

    def __len__(self) -> int:
        return len(self.track_id)

    def __getitem__(self, rows: NDArray[Any] | slice) -> Self:
        """Return the rows picked by a boolean mask, an index array or a slice."""
        return type(self)(
            self.xyxy[rows],
            self.score[rows],
            self.class_id[rows],
            self.track_id[rows],
            self.detection[rows],
            self.age_s[rows],
        )

    @classmethod
    def untracked(cls, detections: Detections) -> Self:
        """Return one row per detection, with age 0 and track id 0 (no identity)."""
        n = len(detections)
        return cls(
            detections.xyxy,
            detections.score,
            detections.class_id,
            np.zeros(n, np.int64),
            np.arange(n, dtype=np.int32),
            np.zeros(n, np.float32),
        )

    @property
    def coasting(self) -> NDArray[np.bool_]:
        """Return bool[N]: true where the box is a prediction without a detection."""
        return self.detection < 0

    def masks(self, detections: Detections) -> tuple[Mask | None, ...] | None:
        """Return each track's mask, taken from its detection; None while it coasts.

        `detections` must be those of the same frame. None if they have no masks.
        """
        masks = detections.masks
        if masks is None:
            return None
        rows = _rows_in(detections, self.detection).tolist()
        return tuple(None if row < 0 else masks[row] for row in rows)

    def keypoints(self, detections: Detections) -> Float32 | None:
        """Return each track's keypoints f32[N,K,3], taken from its detection; NaN while it coasts.

        `detections` must be those of the same frame. None if they have no keypoints.
        """
        keypoints = detections.keypoints
        if keypoints is None:
            return None
        rows = _rows_in(detections, self.detection)
        out = np.full((len(self), *keypoints.shape[1:]), np.nan, np.float32)
        out[rows >= 0] = keypoints[rows[rows >= 0]]
        return out

    @classmethod
    def empty(cls) -> Self:
        """Return a set of no tracks."""
        return cls(
            np.empty((0, 4), np.float32),
            np.empty(0, np.float32),
            np.empty(0, np.int32),
            np.empty(0, np.int64),
            np.empty(0, np.int32),
            np.empty(0, np.float32),
        )


def _rows_in(detections: Detections, rows: Int32) -> Int32:
    """Return the tracks' detection rows, -1 for rows beyond the detections (as in a replay)."""
    return np.where(rows < len(detections), rows, np.int32(-1))


EventKind = Literal["enter", "leave", "dwell", "cross", "appeared"]


@dataclass(frozen=True, slots=True)
class Event:
    """What one track did in a zone or at a line, and in which frame.

    It is delivered with the result that confirmed it, some time after it happened.

    `area` is the zone's or line's name, "" for the whole picture ("appeared"); `direction` is "in"
    or "out" for a crossing, otherwise ""; `dwell_s` is the number of seconds since the track
    entered, 0 where it does not apply; `score` is the track's best score up to that frame, None
    where its detections have none.

    `index`, `pts_s` and `captured_at` are those of the frame in which it happened, `xyxy` is the
    track's box in that frame's pixels.
    """

    kind: EventKind
    source: str
    area: str
    direction: str
    track_id: int
    class_id: int
    class_name: str
    index: int
    pts_s: float
    captured_at: float
    xyxy: tuple[float, float, float, float]
    dwell_s: float = 0.0
    score: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A frame with its detections, tracks and events; `stage_ms` is {stage: milliseconds}.

    `events` were decided at this frame. `dropped_before` counts, by cause, the frames of this
    source dropped since its last result; `age_ms` is the age of the picture when the result was
    handed to the sinks, 0 before that.
    """

    frame: Frame
    detections: Detections
    tracks: Tracks
    class_names: ClassNames
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    dropped_before: Mapping[str, int] = field(default_factory=dict)
    age_ms: float = 0.0
