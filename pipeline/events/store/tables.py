"""The database schema: tables, its version, and the migrations from each version to the next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Index, MetaData, Table, UniqueConstraint

from pipeline.core.errors import StoreError
from pipeline.events.store.old_visits import GROUPING

log = logging.getLogger("trackline")

metadata = MetaData()
_Id = sa.BigInteger().with_variant(
    sa.Integer(), "sqlite"
)  # the only type for which SQLite generates ids

facts = Table(
    "trackline_facts",
    metadata,
    Column("name", sa.Text, primary_key=True),
    Column("value", sa.Text, nullable=False),
)
"""Facts about the store itself: `version`, and `uid`, its name."""

clips = Table(
    "clips",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("path", sa.Text, nullable=False, unique=True),  # relative to the folder of clips
    Column("began", sa.Double, nullable=False),
    Column("bytes", sa.BigInteger, nullable=False),
    Column("finished", sa.Boolean, nullable=False),
    Column("boxes", sa.LargeBinary),  # of its tracks, see `clip_boxes.py`
    Index("clips_by_time", "began", "bytes"),  # for the oldest, and the total size
    sqlite_autoincrement=True,
)

labels = Table(
    "labels",
    metadata,
    Column("id", sa.Integer, primary_key=True),
    Column("camera", sa.Text, nullable=False),
    Column("area", sa.Text, nullable=False),
    Column("kind", sa.Text, nullable=False),
    Column("direction", sa.Text, nullable=False),
    Column("class_name", sa.Text, nullable=False),
    UniqueConstraint("camera", "area", "kind", "direction", "class_name"),
)
"""Fields events can be filtered by, one row per combination: a few hundred, so that one index by
label and time answers every combination of filters (`search.py`)."""

visits = Table(
    "visits",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("uid", sa.Text, nullable=False, unique=True),
    Column("camera", sa.Text, nullable=False),
    Column("track_id", sa.BigInteger, nullable=False),
    Column("class_name", sa.Text, nullable=False),
    Column("started", sa.Double, nullable=False),
    Column("pts_s", sa.Double, nullable=False),  # of the start
    Column("seconds", sa.Double, nullable=False),
    Column("ended", sa.Double),  # null while the track is present
    Column("dwell_s", sa.Double, nullable=False),
    Column("events", sa.Integer, nullable=False),
    Column("first_event", _Id),
    Column("revision", sa.BigInteger, nullable=False, index=True),  # grows with every change
    Column("thumbnail", sa.Text),  # a file below the folder of clips
    Column("thumbnail_bytes", sa.BigInteger, nullable=False, server_default="0"),
    Column("thumbnail_revision", sa.BigInteger),
    Index("visits_by_time", "started", "id", "seconds"),
    Index(
        "visits_with_thumbnail",
        "started",
        "thumbnail_bytes",
        sqlite_where=sa.text("thumbnail_bytes > 0"),
        postgresql_where=sa.text("thumbnail_bytes > 0"),
    ),
    Index(
        "visits_open",
        "camera",
        sqlite_where=sa.text("ended IS NULL"),
        postgresql_where=sa.text("ended IS NULL"),
    ),
    sqlite_autoincrement=True,
)
"""All events of one track of one camera in one run; or a camera's time without a picture."""

visit_labels = Table(
    "visit_labels",
    metadata,
    Column("label_id", sa.Integer, primary_key=True),
    Column("started", sa.Double, primary_key=True),
    Column(
        "visit_id", _Id, ForeignKey("visits.id", ondelete="CASCADE"), primary_key=True, index=True
    ),
    Column("seconds", sa.Double, nullable=False),
    Column("first_at", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)
"""Labels of each visit's events, with the visit's start and length for searching."""

events = Table(
    "events",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("uid", sa.Text, nullable=False, unique=True),
    Column("time", sa.Double, nullable=False, index=True),
    Column("kind", sa.Text, nullable=False),
    Column("camera", sa.Text, nullable=False),
    Column("area", sa.Text, nullable=False),
    Column("direction", sa.Text, nullable=False),
    Column("track_id", sa.BigInteger, nullable=False),
    Column("class_id", sa.Integer, nullable=False),
    Column("class_name", sa.Text, nullable=False),
    Column("dwell_s", sa.Double, nullable=False),
    Column("frame", sa.BigInteger, nullable=False),
    Column("pts_s", sa.Double, nullable=False),
    Column("x1", sa.Double, nullable=False),
    Column("y1", sa.Double, nullable=False),
    Column("x2", sa.Double, nullable=False),
    Column("y2", sa.Double, nullable=False),
    Column("clip_id", _Id, ForeignKey("clips.id", ondelete="SET NULL"), index=True),
    Column("visit_id", _Id, ForeignKey("visits.id", ondelete="SET NULL"), index=True),
    Column("label_id", sa.Integer),
    Column("score", sa.Double),  # best of its track so far; null for events of older versions
    Index("events_by_label", "label_id", "time", "dwell_s"),
    sqlite_autoincrement=True,  # ids are never reused, even after deleting
)

positions = Table(
    "positions",
    metadata,
    Column("uid", sa.Text, primary_key=True),
    Column("camera", sa.Text, nullable=False),
    Column("hour", sa.BigInteger, nullable=False),  # its start, Unix seconds
    Column("class_name", sa.Text, nullable=False),
    Column("cells", sa.LargeBinary, nullable=False),  # milliseconds, see `positions.py`
    Index("positions_by_hour", "hour", "camera", "class_name"),
)
"""Positions of a class's objects in an hour, as a coarse grid."""

targets = Table(
    "targets",
    metadata,
    Column("name", sa.Text, primary_key=True),
    Column("kinds", sa.Text, nullable=False),  # separated by spaces; empty for all
    Column("clips", sa.Boolean, nullable=False),  # whether it gets a message per clip too
)
"""The delivery targets of new events."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("event_id", _Id, ForeignKey("events.id", ondelete="CASCADE"), nullable=False),
    Column("target", sa.Text, nullable=False),
    Column("about", sa.Text, nullable=False),  # "event", "clip" once that is ready, "alert:RULE"
    Column("state", sa.Text, nullable=False),  # waiting, sending, sent, failed
    Column("tries", sa.Integer, nullable=False),
    Column("due", sa.Double, nullable=False),
    Column("settled", sa.Double),
    Column("problem", sa.Text, nullable=False),
    Index("outbox_by_event", "event_id", "target", "about", unique=True),
    Index("outbox_by_state", "target", "state", "id"),
    sqlite_autoincrement=True,
)
"""One row per message: about an event, from the transaction that stores it, then about its clip.

Messages of alerts are about "alert:RULE".
"""

alerts = Table(
    "alerts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("event_id", _Id, ForeignKey("events.id", ondelete="CASCADE"), nullable=False),
    Column("visit_id", _Id),
    Column("rule", sa.Text, nullable=False),
    Column("camera", sa.Text, nullable=False),
    Column("time", sa.Double, nullable=False),  # of the event
    UniqueConstraint("event_id", "rule"),
    Index("alerts_by_rule", "rule", "id"),
    Index("alerts_by_visit", "visit_id", "rule"),
    sqlite_autoincrement=True,
)
"""Alerts raised: events that match a rule, without those too soon after another alert."""

subscriptions = Table(
    "push_subscriptions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("endpoint", sa.Text, nullable=False, unique=True),
    Column("p256dh", sa.Text, nullable=False),
    Column("auth", sa.Text, nullable=False),
    Column("label", sa.Text, nullable=False),
    Column("created", sa.Double, nullable=False),
    sqlite_autoincrement=True,
)
"""Browsers that get notifications: push endpoint and encryption keys (RFC 8291)."""


def _first(connection: sa.Connection) -> None:
    metadata.create_all(connection)


def _clip_messages(connection: sa.Connection) -> None:
    if any(column["name"] == "about" for column in sa.inspect(connection).get_columns("outbox")):
        return
    for statement in (
        "ALTER TABLE targets ADD COLUMN clips BOOLEAN NOT NULL DEFAULT false",
        "ALTER TABLE outbox ADD COLUMN about TEXT NOT NULL DEFAULT 'event'",
        "DROP INDEX outbox_by_event",
        "CREATE UNIQUE INDEX outbox_by_event ON outbox (event_id, target, about)",
    ):
        connection.exec_driver_sql(statement)


def _visits(connection: sa.Connection) -> None:
    """Add visits, and group the existing events; see `old_visits.py`."""
    metadata.create_all(connection, [labels, visits, visit_labels])
    if any(column["name"] == "visit_id" for column in sa.inspect(connection).get_columns("events")):
        return
    count = connection.scalar(sa.select(sa.func.count()).select_from(sa.table("events")))
    log.info("events: %d events of an older version are grouped into visits", count)
    blob = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    for statement in (
        f"ALTER TABLE clips ADD COLUMN boxes {blob}",
        "ALTER TABLE events ADD COLUMN visit_id BIGINT REFERENCES visits(id) ON DELETE SET NULL",
        "ALTER TABLE events ADD COLUMN label_id INTEGER",
        "DROP INDEX events_by_camera",
    ):
        connection.exec_driver_sql(statement)
    for statement in GROUPING:
        connection.exec_driver_sql(statement)
    for index in sorted(events.indexes, key=lambda one: str(one.name)):
        index.create(connection, checkfirst=True)


def _alerts(connection: sa.Connection) -> None:
    metadata.create_all(connection, [alerts, subscriptions])


def _positions(connection: sa.Connection) -> None:
    metadata.create_all(connection, [positions])


def _file_indices(connection: sa.Connection) -> None:
    """Add the indices for the total size of all files, and the oldest of them."""
    for index in sorted({*clips.indexes, *visits.indexes}, key=lambda one: str(one.name)):
        index.create(connection, checkfirst=True)


def _scores(connection: sa.Connection) -> None:
    if any(column["name"] == "score" for column in sa.inspect(connection).get_columns("events")):
        return
    connection.exec_driver_sql("ALTER TABLE events ADD COLUMN score DOUBLE PRECISION")


Step = Callable[[sa.Connection], None]
STEPS: Sequence[Step] = (
    _first, _clip_messages, _visits, _alerts, _positions, _file_indices, _scores,
)  # fmt: skip
"""Step N migrates from version N to N + 1.

A new store starts with the current tables, so a later step must check whether what it adds exists
already; a step is never changed once released.
"""


def version_of(connection: sa.Connection) -> int:
    """Return the store's version, 0 if it has none yet."""
    if not sa.inspect(connection).has_table(facts.name):
        return 0
    found = connection.scalar(sa.select(facts.c.value).where(facts.c.name == "version"))
    return int(found or 0)


def migrate(connection: sa.Connection, uid: str, steps: Sequence[Step] = STEPS) -> int:
    """Migrate the store to the newest version in the caller's transaction; return the old version.

    `uid` becomes the store's name if it has none. Raises StoreError if a newer Trackline created
    it.
    """
    if connection.dialect.name == "postgresql":  # two programs may start at once
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7061112)")
    found = version_of(connection)
    check_version(found, len(steps))
    for step in steps[found:]:
        step(connection)
    if found == 0:
        connection.execute(sa.insert(facts).values(name="uid", value=uid))
        connection.execute(sa.insert(facts).values(name="version", value=str(len(steps))))
    elif found < len(steps):
        changed = sa.update(facts).where(facts.c.name == "version").values(value=str(len(steps)))
        connection.execute(changed)
    return found


def check_version(found: int, newest: int = len(STEPS)) -> None:
    """Raise StoreError if a newer Trackline created the store."""
    if found > newest:
        raise StoreError(
            f"events database: has version {found}, this Trackline knows up to {newest}; "
            "use a newer Trackline or another database"
        )
