"""Database of events: its address, SQLAlchemy engines, lock file, and translation of errors."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from pipeline.core.errors import ConfigError, MissingExtraError, StoreError, StoreRefusedError
from pipeline.core.file_lock import LockHeldError, lock_file
from pipeline.core.install_hints import install_command
from pipeline.core.paths import home_path
from pipeline.core.secret_types import SecretUrl

BUSY_S = 5.0
CONNECT_S = 5
SILENT_MS = 15_000
"""A server that acknowledges nothing for this long is unavailable (libpq's tcp_user_timeout)."""
_WRITES = "trackline_writes"


class FairLock:
    """Fair lock: threads get it in the order in which they requested it.

    SQLite lets one connection write, and the others poll for some seconds until they may: during a
    long step, or while one thread writes repeatedly, they would fail because the database is
    locked.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._threads: deque[object] = deque()  # the first holds the lock

    @property
    def waiting(self) -> int:
        """Return how many threads wait for the lock."""
        with self._changed:
            return max(0, len(self._threads) - 1)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; waits without a timeout. Not re-entrant."""
        me = object()
        try:
            with self._changed:
                self._threads.append(me)
                self._changed.wait_for(lambda: self._threads[0] is me)
            yield
        finally:
            with self._changed:
                if me in self._threads:  # not if Ctrl-C came before it was added
                    self._threads.remove(me)
                self._changed.notify_all()


def parse(address: str) -> sa.URL:
    """Return the address as an SQLAlchemy URL; a path without a scheme is an SQLite file.

    Raises ConfigError for anything that is neither SQLite nor PostgreSQL.
    """
    allowed = "a file's path, sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    if "://" not in address:
        if not address.strip() or "\0" in address:
            raise ConfigError(f"events.database: want {allowed}")
        return sa.URL.create("sqlite", database=str(home_path(address)))
    try:
        url = sa.make_url(address)
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigError(f"events.database: want {allowed}, got '{SecretUrl(address)}'") from None
    kind = url.drivername.partition("+")[0]
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite" or not url.database or url.database == ":memory:":
        raise ConfigError(f"events.database: want {allowed}, got '{SecretUrl(address)}'")
    return url


def file_of(url: sa.URL) -> Path | None:
    """Return the file of an SQLite database, None for a server."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def connect(url: sa.URL) -> tuple[sa.Engine, sa.Engine]:
    """Return (engine for reading, engine for writing); nothing is opened yet.

    Both are thread-safe. Raises MissingExtraError without psycopg.
    """
    if file_of(url) is None:
        arguments: dict[str, Any] = {
            "connect_timeout": CONNECT_S,
            "tcp_user_timeout": SILENT_MS,
            "application_name": "trackline",
        }
        try:
            engine = sa.create_engine(
                url, connect_args=arguments, pool_pre_ping=True, hide_parameters=True
            )
        except ImportError as error:
            raise MissingExtraError(
                f"events.database: PostgreSQL needs psycopg: {install_command('postgres')}"
            ) from error
        return engine, engine
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S}, hide_parameters=True)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine, engine.execution_options(**{_WRITES: True})


@contextmanager
def asking(url: sa.URL) -> Iterator[None]:
    """Turn database errors into one line, without password or statement."""
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.DataError, sa.exc.ProgrammingError) as error:
        text = f"events database {shown(url)}: {_first_line(error.orig)}"
        raise StoreRefusedError(text) from error
    except sa.exc.DBAPIError as error:
        raise StoreError(f"events database {shown(url)}: {_first_line(error.orig)}") from error
    except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(f"events database {shown(url)}: {_first_line(error)}") from error


def shown(url: sa.URL) -> str:
    """Return the address for display, without its password."""
    file = file_of(url)
    return str(file) if file else str(SecretUrl(url.render_as_string(hide_password=True)))


def lock_database(file: Path) -> Callable[[], None]:
    """Lock a database file against other programs, and return a function that unlocks it.

    Two programs using one database would finish each other's clips and deliver each other's events.
    Raises StoreError while another program holds the lock; see `core.file_lock`.
    """
    try:
        return lock_file(file.with_name(f"{file.name}.lock"))
    except LockHeldError:
        reason = "another Trackline keeps its events there; choose another output folder"
        raise StoreError(f"events database {file}: {reason}") from None


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]


def _set_up_sqlite(connection: Any, record: Any) -> None:
    del record
    connection.isolation_level = None  # `_begin_sqlite` begins transactions
    give_up = time.monotonic() + BUSY_S
    while True:
        try:
            # Before the first table, so that deleting frees disk space.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute(
                    "PRAGMA journal_mode = WAL"
                )  # readers and the writer never block each other
            break
        except sqlite3.OperationalError:  # concurrent changes fail without the busy timeout
            if time.monotonic() >= give_up:
                raise
            time.sleep(0.02)
    # In WAL mode this loses nothing when the process is killed and never corrupts; a power cut
    # may take the last transactions with it.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and then writes fails at once, without the busy timeout,
    # if another one wrote meanwhile; so writing transactions are declared when they begin.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
