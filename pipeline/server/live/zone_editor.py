"""ZoneEditor: the zones and lines of a live run, in sync between file, page and watchers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.core.atomic_file import rewrite
from pipeline.core.errors import ConfigError
from pipeline.core.interfaces import Watcher
from pipeline.engine import Pipeline
from pipeline.events.zones.schema import CameraZones, Line, ZonesFile
from pipeline.events.zones.watcher import ZoneWatcher
from pipeline.events.zones.zones_file import load_zones, save_zones
from pipeline.server.cameras.file_change import ConflictError, text_of

log = logging.getLogger("trackline")

SetWatcher = Callable[[str, Watcher | None], None]


class ZoneEditor:
    """The zones and lines of each camera, changed by the page or by an edit of the file.

    A file that is missing at the start counts as empty and is created when the page saves the first
    zone. If it is deleted later, the zones stay in force: that may be a mistake.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._watchers: dict[str, ZoneWatcher] = {}
        self._file = ZonesFile()
        self.reload()

    @property
    def names(self) -> list[str]:
        """Return the cameras that have zones or lines."""
        return list(self._file.cameras)

    def zones(self, camera: str) -> CameraZones:
        """Return a camera's zones and lines, which may be none."""
        return self._file.cameras.get(camera, CameraZones())

    def watched(self, camera: str) -> CameraZones:
        """Return what is watched: the whole picture if the file says nothing about a camera."""
        return self.zones(camera).with_live_default()

    def zones_by_camera(self) -> dict[str, dict[str, bool]]:
        """Return {camera: {zone or line: whether it is a line}} in force now."""
        return {
            name: {zone.name: isinstance(zone, Line) for zone in camera.zones_and_lines}
            for name, camera in self._file.cameras.items()
        }

    def new_watcher(self, camera: str) -> Watcher | None:
        """Return the watcher of a camera that is added, None where no event can happen."""
        with self._lock:
            zones = self.watched(camera)
            if zones.is_empty:
                return None
            return self._watchers.setdefault(camera, ZoneWatcher(zones))

    def save(self, camera: str, zones: CameraZones, set_watcher: SetWatcher) -> CameraZones:
        """Write the file and watch these zones and lines; raises OutputError with nothing changed.

        The file is read first, so that an edit of other cameras' zones is kept; raises ConfigError
        with the line where it is invalid, rather than overwrite it.
        """
        with self._lock:
            changed = self._current().with_camera(camera, zones)
            save_zones(self.path, changed)
            self._use(changed, set_watcher)
        return zones

    @contextmanager
    def renaming(self, old: str, new: str, set_watcher: SetWatcher) -> Iterator[None]:
        """Give a camera's zones and lines to its new name, if the block succeeds.

        They are written first: before the block runs, raises ConfigError for an invalid file,
        OutputError if it cannot be written, and ConflictError if the new name has zones of its own,
        kept from a removed camera. After an error in the block the file is restored.
        """
        with self._lock:
            current, none = self._current(), CameraZones()
            if current.cameras.get(old, none) == none:
                yield
                return
            if current.cameras.get(new, none) != none:
                raise ConflictError(
                    f"there are zones of '{old}' and of '{new}': remove those of one in {self.path}"
                )
            before = text_of(self.path) if self.path.exists() else None
            changed = current.with_renamed(old, new)
            save_zones(self.path, changed)
            try:
                yield
            except BaseException:
                self._put_back(before)
                raise
            self._use(changed, set_watcher)

    def _current(self) -> ZonesFile:
        """Return what the file says now; what is in force where it is gone."""
        return load_zones(self.path) if self.path.exists() else self._file

    def _put_back(self, text: str | None) -> None:
        """Restore the file's former text, comments included; None if there was no file."""
        try:
            if text is None:
                self.path.unlink(missing_ok=True)
            else:
                rewrite(self.path, text)
        except OSError as error:
            log.error("%s: could not be put back: %s", self.path, type(error).__name__)

    def reload(self, set_watcher: SetWatcher | None = None) -> list[str]:
        """Read the file again; return the cameras whose zones or lines have changed.

        Raises ConfigError, with the line unless the file is gone; the old zones stay in force then.
        """
        with self._lock:
            exists = self.path.exists()
            if not exists and self._file.cameras:
                raise ConfigError(
                    f"{self.path}: is gone, and its zones with the next start, unless it comes "
                    "back: saving a camera's zones on the page writes it again"
                )
            found = load_zones(self.path) if exists else ZonesFile()
            return self._use(found, set_watcher or _ignore_watcher)

    def inside(self, camera: str) -> Mapping[str, Mapping[str, int]]:
        """Return {zone: {class: how many are in it}}."""
        watcher = self._watchers.get(camera)
        return watcher.inside() if watcher else {}

    def _use(self, found: ZonesFile, set_watcher: SetWatcher) -> list[str]:
        """Update the watchers that change; a camera that is added later gets its own then."""
        before, self._file = self._file, found
        changed = [
            name
            for name in {**before.cameras, **found.cameras}
            if before.cameras.get(name, CameraZones()) != self.zones(name)
        ]
        for name in changed:
            watcher = self._watchers.get(name)
            if watcher is not None:
                watcher.change(self.watched(name))  # zones that stay keep their counts
            else:
                self._watchers[name] = watcher = ZoneWatcher(self.watched(name))
            set_watcher(name, watcher)
        return changed


def _ignore_watcher(camera: str, watcher: Watcher | None) -> None:
    """Do nothing: the run has not begun, cameras get their watchers when they are added."""
    del camera, watcher


def watcher_setter(pipeline: Pipeline) -> SetWatcher:
    """Return a function that sets the watcher of a camera if that is in this run."""

    def set_watcher(camera: str, watcher: Watcher | None) -> None:
        with suppress(ValueError):  # it has just been removed
            if camera in pipeline.cameras():
                pipeline.set_watcher(camera, watcher)

    return set_watcher
