"""Cleans up clip files without an event, and rows whose file is gone.

A restored, replaced or deleted database, a disk that is briefly not mounted, or a folder with
unrelated videos all look like a folder full of clips without events. To be safe, the folder is
marked as belonging to one database, only files named like clips are touched, nothing is touched
unless most of the clips in the database really exist, and a file without an event is first moved to
a quarantine, where it stays for a week.
"""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from pipeline.events.store.clip_files import clip_files, is_clip_name, remove
from pipeline.events.store.store import EventStore
from pipeline.events.store.tables import clips, visits

log = logging.getLogger("trackline")

MARKER = ".trackline-clips"
QUARANTINE = ".quarantine"
QUARANTINE_DAYS = 7
CLEAN_EVERY_S = 3600.0
"""A round lists every file and reads every row, so it does not run every minute."""
SETTLED_S = 600.0
"""A file changed within this time may be a clip whose row is still being written."""
_UNKNOWN_SHARE = 0.1
"""An unmarked folder is marked if at most this share of its files and of the rows do not match."""
_VisitId = int | None
"""Number of the visit of a thumbnail; None for a clip."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Counts of one round: files quarantined, rows deleted, quarantined files deleted."""

    quarantined: int = 0
    forgotten: int = 0
    deleted: int = 0


@dataclass(slots=True)
class _Found:
    """Comparison of folder and database; paths are relative to the folder."""

    present: set[str] = field(default_factory=set)
    missing: dict[str, _VisitId] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def fits(self) -> bool:
        """Return whether nearly all files and rows match, and there are any."""
        present = len(self.present)
        return present > 0 and all(
            len(odd) <= _UNKNOWN_SHARE * (present + len(odd))
            for odd in (self.missing, self.unknown)
        )


class ClipCleaner:
    """Reconciles clip files and rows, round by round; logs once why it skips a folder."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._explained = ""
        self._cleaned_at = float("-inf")

    def clean(self, now: float) -> Cleaned:
        """Quarantine clips without a row and delete rows without a file, if that is safe.

        `now` is Unix seconds. Safe means that the folder carries this database's mark and at least
        half of the rows of finished clips have their file. An unmarked folder is marked once nearly
        everything in it is known. Does nothing within an hour of the last round. Raises StoreError.
        """
        store, folder = self._store, self._store.clips_folder
        if self._cleaned_at <= now < self._cleaned_at + CLEAN_EVERY_S or not folder.is_dir():
            return Cleaned()
        cleaned = self._clean(store, folder, now)
        self._cleaned_at = now
        return cleaned

    def _clean(self, store: EventStore, folder: Path, now: float) -> Cleaned:
        found = _compare(store)
        is_ours = _is_marked(store, found)
        if not is_ours or len(found.present) < len(found.missing):
            self._explain(found, is_ours)
            return Cleaned()
        self._explained = ""
        return Cleaned(
            _quarantine(folder, found.unknown, now),
            _forget(store, found),
            _empty_quarantine(folder, now),
        )

    def _explain(self, found: _Found, is_ours: bool) -> None:
        folder = self._store.clips_folder
        if not found.unknown and not found.missing:
            return
        if len(found.present) < len(found.missing):
            why = "most clips of the database are not there (is the disk mounted?)"
        elif (folder / MARKER).exists() and not is_ours:
            why = f"it belongs to another database, see {MARKER} in it"
        else:
            why = "it is not known to belong to this database"
        if self._explained != why:
            log.warning("events: %s is not tidied up: %s", folder, why)
        self._explained = why


def seems_absent(store: EventStore) -> bool:
    """Return whether the clips in the database are missing: the disk may not be mounted."""
    found = _compare(store)
    return len(found.missing) > len(found.present)


def _compare(store: EventStore) -> _Found:
    """Compare rows and files; rows are read first, because a file exists before its row."""
    found, finished, recorded = _Found(), dict[str, _VisitId](), set[str]()
    with store.reading() as connection:
        if connection is not None:
            asked = sa.select(clips.c.path, clips.c.finished)
            for path, is_finished in connection.execute(asked):
                if is_finished:
                    finished[path] = None
                else:
                    recorded.add(path)
            pictures = sa.select(visits.c.thumbnail, visits.c.id)
            rows = connection.execute(pictures.where(visits.c.thumbnail.is_not(None)))
            finished.update((path, number) for path, number in rows)
    listed = set(clip_files(store.clips_folder))
    for path, visit in finished.items():
        if path in listed or _is_there(store, path):
            found.present.add(path)
        else:
            found.missing[path] = visit
    found.unknown = sorted(listed - finished.keys() - recorded)
    return found


def _is_there(store: EventStore, path: str) -> bool:
    """Return whether an unlisted file exists, for example a link within the folder."""
    if not os.path.lexists(store.clips_folder / path):
        return False
    file = store.clip_file(path)
    return file is not None and file.exists()


def _is_marked(store: EventStore, found: _Found) -> bool:
    """Return whether the folder belongs to this database; marks it if that is certain."""
    marker, uid = store.clips_folder / MARKER, store.uid
    try:
        return marker.read_text("utf-8").split()[:1] == [uid]
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError):
        return False
    if not found.fits():
        return False
    with suppress(OSError):
        text = f"{uid}\nClips of the events database of this name; Trackline tidies up here.\n"
        marker.write_text(text, "utf-8")
        return True
    return False


def _quarantine(folder: Path, unknown: list[str], now: float) -> int:
    """Move settled clips without a row to today's quarantine; return how many."""
    today = folder / QUARANTINE / f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
    moved = 0
    for path in unknown:
        file = folder / path
        with suppress(OSError):  # deleted meanwhile, or the folder is read-only
            if file.stat().st_mtime >= now - SETTLED_S:
                continue
            place = today / file.parent.name / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            file.rename(place)
            moved += 1
    if moved:
        log.warning(
            "events: %d clip files that no event has were moved to %s; "
            "they are deleted after %d days", moved, today, QUARANTINE_DAYS,
        )  # fmt: skip
    return moved


def _forget(store: EventStore, found: _Found) -> int:
    """Delete rows whose file was deleted, for cameras that still have other clips."""
    by_camera: dict[str, int] = defaultdict(int)
    for path in found.present:
        by_camera[path.rpartition("/")[0]] += 1
    gone = {
        path: visit for path, visit in found.missing.items() if by_camera[path.rpartition("/")[0]]
    }
    store.forget_files(gone)
    return len(gone)


def _empty_quarantine(folder: Path, now: float) -> int:
    """Delete clips that were quarantined long ago; return how many."""
    oldest = datetime.fromtimestamp(now, UTC) - timedelta(days=QUARANTINE_DAYS)
    deleted = 0
    for day in _days(folder / QUARANTINE):
        if day.name >= f"{oldest:%Y-%m-%d}":
            continue
        files = [file for file in day.glob("*/*") if is_clip_name(file.name)]
        deleted += sum(remove(file) for file in files)
        for emptied in (*{file.parent for file in files}, day):
            with suppress(OSError):  # it has other files, too
                emptied.rmdir()
    if deleted:
        log.warning("events: %d clip files that were set aside are deleted now", deleted)
    return deleted


def _days(quarantine: Path) -> Iterator[Path]:
    if quarantine.is_dir() and not quarantine.is_symlink():
        for day in sorted(quarantine.iterdir()):
            if _DATE.fullmatch(day.name) and day.is_dir() and not day.is_symlink():
                yield day
