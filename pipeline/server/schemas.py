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
    """Why a request was not answered, in one line."""

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
    """How old the camera's results were when they came out, in milliseconds."""

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
    """Unix time in seconds since when it is in this state."""
    fps: float
    """Pictures per second that arrived in the last ten seconds."""
    analysed_fps: float | None = None
    """Of these, how many were analysed; the others were dropped. null where it is not known."""
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
    """Unix time of the next try to reach a lost camera; in the past while that is going on."""
    next_try_in_s: float | None
    """Seconds until then, for clients whose clock differs; 0 while it is going on."""
    tracks: int | None
    """In the newest frame; null while the camera is lost."""


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
    """How often something happened in the asked hours."""

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
    """When that began, in Unix seconds."""


class CountHistory(ApiModel):
    """Counts of events by hour or day, in order of time; what did not happen has no row."""

    counts: list[HistoryCount]


class ZonePreview(ApiModel):
    """What zones and lines would have counted in the last seconds, had they been there."""

    seconds: float
    """Over how long; 0 where nothing is known of the camera yet."""
    counts: list[Count]


class Events(ApiModel):
    """Events, the newest first."""

    events: list[StoredEvent]
    next: str | None
    """`cursor` for those before them; null where there are no more."""


class ClipBoxes(ApiModel):
    """The boxes of tracks in a clip, in pixels of pictures of `size`."""

    size: tuple[int, int]
    classes: dict[int, str]
    """Class name by track."""
    frames: list[tuple[float, list[tuple[int, float, float, float, float]]]]
    """Seconds from the clip's start, and [track, x1, y1, x2, y2] of each."""


class Visits(ApiModel):
    """Visits, those that began last first."""

    visits: list[StoredVisit]
    next: str | None
    """`cursor` for those before them; null where there are no more."""


class Delivery(ApiModel):
    """How events get to one target: what waits, why, what was given up. Times in Unix seconds."""

    target: str
    """`mqtt`, or `webhook:` and its name."""
    address: str
    """Its host; what else is in an address may be secret."""
    delivered: int
    """Messages it took since the start."""
    waiting: int
    waiting_since: float | None
    """When the oldest event that waits happened."""
    problem: str | None
    """Why what waits was not delivered; null while nothing is known to be wrong."""
    failed: int
    """Messages that were given up, of events that are still kept."""
    failed_at: float | None
    """When the newest of them was."""
    failure: str | None
    """And why."""


class StoreStatus(ApiModel):
    """How events and clips get to the disk; times in Unix seconds."""

    waiting: int
    """Events in memory, on their way to the database."""
    since: float | None
    """Since when the database has taken none; null while it does."""
    problem: str | None
    """And why."""
    lost: int
    """Events since the start that were never kept."""
    lost_at: float | None
    """When the newest of them was lost."""
    clips_lost: int
    clip_lost_at: float | None
    clip_problem: str | None


class Deliveries(ApiModel):
    """How events are kept, null if they are not, and how they get to each target."""

    keeping: StoreStatus | None
    deliveries: list[Delivery]


class ConfigState(ApiModel):
    """The configuration file in force; `error` says why its newest version is not."""

    path: str | None
    loaded_at: float
    error: str | None
    fixed: str | None = None
    """Why cameras cannot be added, changed and removed in it; null where they can."""


class Status(ApiModel):
    """The program as a whole."""

    uptime_s: float
    fps: float
    limited_by: str
    """What set the pace in the last ten seconds: camera, infer, track, sinks or decode."""
    stages: dict[str, dict[str, float]]
    config: ConfigState


class Health(ApiModel):
    """Whether the pipeline works, and whether what happens is kept (true if nothing is to be)."""

    ok: bool
    keeping: bool


class FoundObject(ApiModel):
    """One object that was found."""

    class_name: str
    class_id: int
    score: float
    """How sure the detector is, 0 to 1."""
    xyxy: Box
    """Left, top, right, bottom in pixels of the picture as it is seen."""


class PictureObject(FoundObject):
    """One object in an uploaded picture."""

    mask: list[list[tuple[float, float]]] | None = None
    """Outlines of its parts, x and y in pixels; null where the network gives no masks."""
    keypoints: list[tuple[float, float, float]] | None = None
    """x and y in pixels and score, in the network's order; null where it gives none."""


class PictureAnswer(ApiModel):
    """What is on one uploaded picture, the best first."""

    name: str
    """The file's name in the form, "" where it had none."""
    width: int
    """Size in pixels, turned as the picture says; 0 where it cannot be read."""
    height: int
    objects: list[PictureObject]
    tags: dict[str, float] | None = None
    """Words for what it shows and their scores, people first; null where not asked for."""
    error: str | None = None
    """Why it cannot be read, in one line."""


class Pictures(ApiModel):
    """What is on the uploaded pictures, in their order."""

    pictures: list[PictureAnswer]


VideoState = Literal["uploading", "waiting", "analysing", "done", "failed"]


class VideoJob(ApiModel):
    """An uploaded video and how far its analysis is."""

    id: str
    name: str
    """As the request said, "" where it did not."""
    state: VideoState
    width: int
    """Size of a frame in pixels, turned as the video says."""
    height: int
    duration_s: float
    """By the file's own word; 0 where it does not say."""
    analysed_s: float
    """So much of it is analysed."""
    annotated: bool
    """Whether a video with boxes drawn on it was asked for."""
    problem: str | None
    """Why it failed, in one line."""


class VideoObject(FoundObject):
    """One object in a frame of an uploaded video."""

    track_id: int
    """Same for the same object in all frames; 0 with the tracker `none`."""
    coasting: bool
    """Whether the box is predicted: the object was not detected in this frame."""


class VideoFrame(ApiModel):
    """One frame of an uploaded video."""

    time: float
    """In seconds from the beginning of the file, as players count them."""
    objects: list[VideoObject]


class VideoTrack(ApiModel):
    """One object that was followed through an uploaded video."""

    track_id: int
    class_name: str
    """Its class in most frames."""
    class_id: int
    score: float
    """Its best score in any frame."""
    first_s: float
    last_s: float
    frames: int
    """In how many frames it was."""


class VideoAnswer(ApiModel):
    """What is in an uploaded video."""

    name: str
    width: int
    height: int
    duration_s: float
    """Time of the last frame."""
    tags: dict[str, float] | None
    """Words for what it shows and their scores, people first; null where not asked for."""
    tracks: list[VideoTrack]
    frames: list[VideoFrame]
    problem: str | None
    """Where the file breaks off, null if it is whole; what came before is in the answer."""


class UploadLimits(ApiModel):
    """What may be uploaded. MB are 2**20 bytes."""

    picture_mb: int
    """Largest request with pictures."""
    pictures: int
    """Most pictures in one request."""
    video_mb: int
    video_s: float
