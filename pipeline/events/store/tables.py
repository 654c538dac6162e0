"""The database schema: tables, its version, and the migrations from each version to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Index, MetaData, Table

from pipeline.core.errors import StoreError

metadata = MetaData()
_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows only so

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
    Column("path", sa.Text, nullable=False, unique=True),  # below the folder of clips
    Column("began", sa.Double, nullable=False),
    Column("bytes", sa.BigInteger, nullable=False),
    Column("finished", sa.Boolean, nullable=False),
    sqlite_autoincrement=True,
)

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
    Index("events_by_camera", "camera", "id"),
    sqlite_autoincrement=True,  # a number is never given again, even after deleting
)

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
    Column("about", sa.Text, nullable=False),  # "event", or "clip" once its clip is ready
    Column("state", sa.Text, nullable=False),  # waiting, sending, sent, failed
    Column("tries", sa.Integer, nullable=False),
    Column("due", sa.Double, nullable=False),
    Column("settled", sa.Double),
    Column("problem", sa.Text, nullable=False),
    Index("outbox_by_event", "event_id", "target", "about", unique=True),
    Index("outbox_by_state", "target", "state", "id"),
    sqlite_autoincrement=True,
)
"""One row for each message: of an event, from the transaction that keeps it, then of its clip."""


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


Step = Callable[[sa.Connection], None]
STEPS: Sequence[Step] = (_first, _clip_messages)
"""Step N leads from version N to N + 1.

A store that is made anew begins with today's tables, so a later step must find out whether what it
adds is there already; it is never changed once released.
"""


def version_of(connection: sa.Connection) -> int:
    """Return the store's version, 0 where there is none yet."""
    if not sa.inspect(connection).has_table(facts.name):
        return 0
    found = connection.scalar(sa.select(facts.c.value).where(facts.c.name == "version"))
    return int(found or 0)


def migrate(connection: sa.Connection, uid: str, steps: Sequence[Step] = STEPS) -> int:
    """Bring the store to the newest version within the caller's transaction; return the one found.

    `uid` becomes the store's name if it has none. Raises StoreError for one that a newer Trackline
    has made.
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
    """Raise StoreError if a newer Trackline has made the store."""
    if found > newest:
        raise StoreError(
            f"events database: has version {found}, this Trackline knows up to {newest}; "
            "use a newer Trackline or another database"
        )
