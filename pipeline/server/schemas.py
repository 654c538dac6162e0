"""Request and response models of the REST interface, from which OpenAPI is generated."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.events.store.records import StoredEvent, StoredVisit

State = Literal["connecting", "live", "stale", "lost", "ended"]
Box = tuple[float, float, float, float]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class ApiModel(BaseModel):
    """Base of all models: unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Problem(ApiModel):
    """Why a request was refused, in one line."""

    detail: str


class Login(ApiModel):
    """The token to sign in with."""

    token: str = Field(max_length=1024)


class Session(ApiModel):
    """Whether the client is signed in."""

    signed_in: bool
    token_required: bool
    version: str


class Ages(ApiModel):
    """How old the camera's results were when delivered, in milliseconds."""

    now: float | None
    """Of the newest result at this moment; null before the first."""
    p50: float | None
    p95: float | None
    p99: float | None


class Camera(ApiModel):
    """One camera: its state and counters."""

    name: str
    state: State
    since: float
    """Unix time in seconds at which this state began."""
    fps: float
    """Pictures per second that arrived in the last ten seconds."""
    analysed_fps: float | None = None
    """Pictures per second that were analysed; the others were dropped. null if unknown."""
    width: int | None
    height: int | None
    age_ms: Ages
    grabbed: int
    delivered: int
    dropped: dict[str, int]
    reconnects: int
    error: str | None
    warning: str | None
    next_try: float | None
    """Unix time of the next retry of a lost camera; in the past while it is in progress."""
    next_try_in_s: float | None
    """Seconds until then, for clients whose clock differs; 0 while it is in progress."""
    tracks: int | None
    """Tracks in the newest frame; null while the camera is lost."""


class Cameras(ApiModel):
    """All cameras in the order of the configuration."""

    cameras: list[Camera]


class Track(ApiModel):
    """One tracked object; `xyxy` is left, top, right, bottom in pixels of the original frame."""

    id: int
    class_id: int
    class_name: str
    score: float
    xyxy: Box
    age_s: float
    coasting: bool


class TracksNow(ApiModel):
    """The newest result of a camera."""

    index: int
    pts_s: float
    time: float
    age_ms: float
    width: int
    height: int
    tracks: list[Track]


class Count(ApiModel):
    """How often something happened in the requested hours."""

    camera: str
    area: str
    kind: str
    direction: str
    class_name: str
    count: int


class Inside(ApiModel):
    """How many are in a zone now."""

    camera: str
    area: str
    class_name: str
    """Empty where `count` is null."""
    count: int | None
    """Null while the camera is lost."""


class Counts(ApiModel):
    """Counts of events, and the current occupancy of zones."""

    counts: list[Count]
    inside: list[Inside]


class HistoryCount(Count):
    """How often something happened in an hour or on a day."""

    time: float
    """Start of the hour or day, in Unix seconds."""


class CountHistory(ApiModel):
    """Counts of events by hour or day, in order of time; zero counts have no row."""

    counts: list[HistoryCount]


class ZonePreview(ApiModel):
    """What zones and lines would have counted in the last seconds, had they existed."""

    seconds: float
    """Seconds covered; 0 if nothing is known of the camera yet."""
    counts: list[Count]


class Events(ApiModel):
    """Events, the newest first."""

    events: list[StoredEvent]
    next: str | None
    """`cursor` of the next page; null if there are no more."""


class ClipBoxes(ApiModel):
    """The boxes of tracks in a clip, in pixels of pictures of `size`."""

    size: tuple[int, int]
    classes: dict[int, str]
    """Class name by track."""
    frames: list[tuple[float, list[tuple[int, float, float, float, float]]]]
    """Seconds from the clip's start, and [track, x1, y1, x2, y2] of each box."""


class Visits(ApiModel):
    """Visits, those that began last first."""

    visits: list[StoredVisit]
    next: str | None
    """`cursor` of the next page; null if there are no more."""


class Delivery(ApiModel):
    """Delivery to one target: waiting messages and why, and failed ones. Times in Unix seconds."""

    target: str
    """`mqtt`, or `webhook:` and its name."""
    address: str
    """Its host; other parts of an address may be secret."""
    delivered: int
    """Messages it accepted since the start."""
    waiting: int
    waiting_since: float | None
    """Time of the oldest waiting event."""
    problem: str | None
    """Why messages are waiting; null if no problem is known."""
    failed: int
    """Messages given up, of events that are still stored."""
    failed_at: float | None
    """Time of the newest of them."""
    failure: str | None
    """And why."""


class StoreStatus(ApiModel):
    """Storage of events and clips; times in Unix seconds."""

    waiting: int
    """Events in memory, on their way to the database."""
    since: float | None
    """Since when the database has accepted none; null while it works."""
    problem: str | None
    """And why."""
    lost: int
    """Events since the start that were never stored."""
    lost_at: float | None
    """When the newest of them was lost."""
    clips_lost: int
    clip_lost_at: float | None
    clip_problem: str | None


class Deliveries(ApiModel):
    """Storage of events, null if they are not stored, and delivery to each target."""

    keeping: StoreStatus | None
    deliveries: list[Delivery]


class ConfigState(ApiModel):
    """The configuration file in force; `error` is why its newest version is not."""

    path: str | None
    loaded_at: float
    error: str | None
    fixed: str | None = None
    """Why cameras cannot be added, changed and removed in it; null if they can."""


class Status(ApiModel):
    """The program as a whole."""

    uptime_s: float
    fps: float
    limited_by: str
    """The bottleneck of the last ten seconds: camera, infer, track, sinks or decode."""
    stages: dict[str, dict[str, float]]
    config: ConfigState


class Health(ApiModel):
    """Whether the pipeline works, and whether events are stored (true if none are to be)."""

    ok: bool
    keeping: bool


class FoundObject(ApiModel):
    """One detected object."""

    class_name: str
    class_id: int
    score: float
    """Score, 0 to 1."""
    xyxy: Box
    """Left, top, right, bottom in pixels of the picture as it is seen."""


class PictureObject(FoundObject):
    """One object in an uploaded picture."""

    mask: list[list[tuple[float, float]]] | None = None
    """Outlines of its parts, x and y in pixels; null if the network gives no masks."""
    keypoints: list[tuple[float, float, float]] | None = None
    """x and y in pixels and score, in the network's order; null if it gives none."""


class PictureAnswer(ApiModel):
    """Objects and tags of one uploaded picture, best first."""

    name: str
    """The file's name in the form, "" if it had none."""
    width: int
    """Size in pixels after rotation; 0 if it cannot be read."""
    height: int
    objects: list[PictureObject]
    tags: dict[str, float] | None = None
    """Tags with their scores, people first; null if not requested."""
    error: str | None = None
    """Why it cannot be read, in one line."""


class Pictures(ApiModel):
    """Results for the uploaded pictures, in their order."""

    pictures: list[PictureAnswer]


VideoState = Literal["uploading", "waiting", "analysing", "done", "failed"]


class VideoJob(ApiModel):
    """An uploaded video and the progress of its analysis."""

    id: str
    name: str
    """Name given in the request, "" without one."""
    state: VideoState
    width: int
    """Size of a frame in pixels after rotation."""
    height: int
    duration_s: float
    """Declared duration in seconds; 0 if the file does not say."""
    analysed_s: float
    """Seconds analysed so far."""
    annotated: bool
    """Whether an annotated video was requested."""
    problem: str | None
    """Why it failed, in one line."""


class VideoObject(FoundObject):
    """One object in a frame of an uploaded video."""

    track_id: int
    """The same for one object in all frames; 0 with the tracker `none`."""
    coasting: bool
    """Whether the box is predicted: the object was not detected in this frame."""


class VideoFrame(ApiModel):
    """One frame of an uploaded video."""

    time: float
    """In seconds from the beginning of the file, as players count them."""
    objects: list[VideoObject]


class VideoTrack(ApiModel):
    """One tracked object of an uploaded video."""

    track_id: int
    class_name: str
    """Its class in most frames."""
    class_id: int
    score: float
    """Its best score in any frame."""
    first_s: float
    last_s: float
    frames: int
    """Number of frames it was in."""


class VideoAnswer(ApiModel):
    """Objects, tracks and tags of an uploaded video."""

    name: str
    width: int
    height: int
    duration_s: float
    """Time of the last frame."""
    tags: dict[str, float] | None
    """Tags with their scores, people first; null if not requested."""
    tracks: list[VideoTrack]
    frames: list[VideoFrame]
    problem: str | None
    """Where the file breaks off, null if it is complete; everything before that is in the
    answer."""


class UploadLimits(ApiModel):
    """Limits of uploads. MB are 2**20 bytes."""

    picture_mb: int
    """Maximum size of a request with pictures."""
    pictures: int
    """Maximum number of pictures in one request."""
    video_mb: int
    video_s: float
