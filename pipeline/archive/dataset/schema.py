"""Tables of a dataset: each column's type, unit and meaning, and the names of its folders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from pipeline.core.output_columns import EVENT_COLUMNS, EXTRA_COLUMNS, TRACK_COLUMNS, Column

SCHEMA_VERSION = 2
"""2 adds masks and keypoints to `tracks`; version 1 can be read, with nulls in these columns."""
UNKNOWN_DATE = "unknown"


@dataclass(frozen=True, slots=True)
class Table:
    """One table; its folder has its name. `rows` describes what one row stands for."""

    name: str
    rows: str
    columns: Sequence[Column]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns' names in the order of the files."""
        return tuple(column.name for column in self.columns)


PARTITIONS = (
    Column("camera", "text", "", "the camera, from the folder's name"),
    Column(
        "date", "text", "UTC", "day on which the segment began, `2024-01-31`; `unknown` without one"
    ),
)
"""Columns from folder names: readers of hive partitions add these two to every table."""

_SEGMENT = Column("segment", "text", "", "name of the segment: one row of `videos`")

TRAJECTORY_COLUMNS = (
    _SEGMENT,
    Column("source", "text", "", "name of the source"),
    Column("track_id", "int64", "", "number of the track, used once by a camera"),
    Column("class_id", "int32", "", "class with the greatest sum of scores over the track"),
    Column("class_name", "text", "", "name of that class"),
    Column("score", "float32", "0..1", "mean score of the frames in which it was seen"),
    Column("frames", "int64", "", "frames in which it was seen (`matched`)"),
    Column("coasting_frames", "int64", "", "frames with a prediction while it was hidden"),
    Column("first_segment", "text", "", "segment in which it was first seen"),
    Column("first_frame", "int64", "", "frame of that segment in which it was first seen"),
    Column("first_pts_s", "float64", "s", "time of that frame in its file"),
    Column("first_utc", "time", "UTC", "when it was first seen; empty where nothing says it"),
    Column("last_segment", "text", "", "segment in which it was last seen"),
    Column("last_frame", "int64", "", "frame of that segment in which it was last seen"),
    Column("last_pts_s", "float64", "s", "time of that frame in its file"),
    Column("last_utc", "time", "UTC", "when it was last seen; empty where nothing says it"),
    Column("duration_s", "float64", "s", "from first to last seen, seams included"),
    Column("box_width", "float32", "px", "mean width of its box"),
    Column("box_height", "float32", "px", "mean height of its box"),
    Column(
        "path_x", "float32 list", "px",
        "simplified path of the middle of the box's bottom edge, from the left",
    ),
    Column("path_y", "float32 list", "px", "the same from the top"),
    Column("path_t_s", "float32 list", "s", "times of the path's points, from the first one"),
    Column("path_length_px", "float32", "px", "length of the simplified path"),
    Column("displacement_px", "float32", "px", "from the path's first point to its last"),
    Column(
        "direction_deg", "float32", "°",
        "of that displacement, 0 to the right, 90 upwards, up to 360; empty where it stayed",
    ),
)  # fmt: skip

VIDEO_COLUMNS = (
    _SEGMENT,
    Column("source", "text", "", "name of the source"),
    Column("path", "text", "", "where the video was, as given"),
    Column("hash", "text", "", "hash of the video's content"),
    Column("size_bytes", "int64", "B", "size of the video"),
    Column(
        "status", "text", "",
        "`ok`; `partial`: broken off, what came before is here; `failed`: could not be read",
    ),
    Column("reason", "text", "", "why it is not `ok`, or what seemed odd, in one line"),
    Column("utc", "time", "UTC", "when the recording began; empty where nothing says it"),
    Column("offset_s", "float64", "s", "start of the segment from the start of its group"),
    Column(
        "duration_s", "float64", "s",
        "length of the video; where it broke off, of what could be read",
    ),
    Column("width", "int32", "px", "width of the picture"),
    Column("height", "int32", "px", "height of the picture"),
    Column("fps", "float64", "1/s", "nominal rate; 0 where the container does not say it"),
    Column("codec", "text", "", "codec of the video"),
    Column("frames", "int64", "", "frames delivered"),
    Column("dropped", "int64", "", "frames not delivered"),
    Column("tracks", "int64", "", "rows of `tracks`"),
    Column("track_ids", "int64", "", "different tracks in it"),
    Column("events", "int64", "", "rows of `events`"),
    Column("continues", "text", "", "segment whose tracks go on in this one; empty for none"),
    Column("wall_s", "float64", "s", "time it took to process"),
    Column("report", "text", "", "the run's report about it, as JSON"),
)  # fmt: skip

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table("tracks", "one track in one frame", (_SEGMENT, *TRACK_COLUMNS, *EXTRA_COLUMNS)),
        Table("trajectories", "one track, in the segment in which it ended", TRAJECTORY_COLUMNS),
        Table("events", "one event at a zone or line", (_SEGMENT, *EVENT_COLUMNS)),
        Table("videos", "one segment", VIDEO_COLUMNS),
    )
}


@dataclass(frozen=True, slots=True)
class Segment:
    """One video of a camera. `start_utc` is the Unix time at its `pts_s` 0, None if unknown.

    `camera` is the user's name; `name` is safe as a file name and the same in every run. `hash` is
    that of the video's content: a segment whose work has a different one is restarted. `offset_s`
    is its start on its group's own clock, for durations across seams.
    """

    name: str
    camera: str
    path: str = ""
    hash: str = ""
    start_utc: float | None = None
    offset_s: float = 0.0

    @property
    def date(self) -> str:
        """Return the UTC day on which it began, or "unknown"."""
        if self.start_utc is None:
            return UNKNOWN_DATE
        return datetime.fromtimestamp(self.start_utc, UTC).date().isoformat()

    @property
    def folder(self) -> str:
        """Return the folder of its parts below a table's, `camera=NAME/date=DAY`."""
        return f"camera={partition_value(self.camera)}/date={self.date}"


def segment_name(camera: str, path: str, start_utc: float | None = None) -> str:
    """Return a segment's name: camera, start, and a short hash of the path that keeps it apart."""
    start = "" if start_utc is None else f"-{datetime.fromtimestamp(start_utc, UTC):%Y%m%dT%H%M%S}"
    stem = segment_stem(camera)
    digest = hashlib.sha256(f"{camera}\0{path}".encode("utf-8", "surrogateescape")).hexdigest()
    return f"{stem}{start}-{digest[:10]}"


def segment_stem(camera: str) -> str:
    """Return the prefix of a camera's segment names; other cameras' may begin with it, too."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", camera).strip("_")[:60] or "camera"


_NO_TEXT = re.compile(
    r"(?i)[+-]?(\d[\d_]*\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|infinity|nan)|true|false|null|none|nil"
    r"|\d+-\d+-\d+.*|\d+:\d+.*|__hive_default_partition__"
)
_MAX_VALUE = 80  # characters before escaping: at most 9 bytes each in a file name of 255


def partition_value(camera: str) -> str:
    """Return a camera's folder name, percent-encoded as readers expect.

    Readers guess the column's type from the folders: a camera called `01` would become the number
    1, and `null` a null. Such names are prefixed with `cam`, and very long ones end in a hash.
    """
    text = camera.encode("utf-8", "replace").decode("utf-8")
    text = f"cam{text}" if not text.strip() or _NO_TEXT.fullmatch(text.strip()) else text
    quoted = quote(text, safe=" -._()+@,")
    if len(quoted) > 3 * _MAX_VALUE:
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        quoted = f"{quote(text[:25], safe=' -._()+@,')}-{digest}"
    return re.sub(r"^[. ]|[. ]$", lambda found: f"%{ord(found[0]):02X}", quoted)
