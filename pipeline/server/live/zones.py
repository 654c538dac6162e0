"""ZoneEditor: zones and lines of a live run, kept the same in file, page and watchers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.core.errors import ConfigError, OutputError
from pipeline.core.interfaces import Watcher
from pipeline.engine import Pipeline
from pipeline.events.zones.schema import CameraZones, Line, ZonesFile
from pipeline.events.zones.watcher import ZoneWatcher
from pipeline.events.zones.zones_file import load_zones, save_zones

SetWatcher = Callable[[str, Watcher | None], None]


class ZoneEditor:
    """The zones of each camera, changed by the page or by an edit of the file.

    A file that is not there when the run starts holds nothing, and is made when the page saves the
    first zone. One that is deleted later takes nothing with it: that may be a mistake.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._watchers: dict[str, ZoneWatcher] = {}
        self._file = ZonesFile()
        self.reload()

    @property
    def names(self) -> list[str]:
        """Return the cameras that have areas."""
        return list(self._file.cameras)

    def zones(self, camera: str) -> CameraZones:
        """Return a camera's zones and lines, none where nothing was drawn."""
        return self._file.cameras.get(camera, CameraZones())

    def kinds(self) -> dict[str, dict[str, bool]]:
        """Return {camera: {area: whether it is a line}} of what is watched now."""
        return {
            name: {area.name: isinstance(area, Line) for area in areas.zones_and_lines}
            for name, areas in self._file.cameras.items()
        }

    def new_watcher(self, camera: str) -> Watcher | None:
        """Return the watcher of a camera that comes, None where nothing is watched."""
        with self._lock:
            areas = self.zones(camera)
            if not areas.zones_and_lines:
                return None
            return self._watchers.setdefault(camera, ZoneWatcher(areas))

    def save(self, camera: str, areas: CameraZones, set_watcher: SetWatcher) -> CameraZones:
        """Write the file and watch these areas; raises OutputError, and nothing has changed.

        What somebody has just written into the file is kept, other cameras' zones that is; raises
        ConfigError with the line where that is broken, rather than write over it.
        """
        with self._lock:
            there = load_zones(self.path) if self.path.exists() else self._file
            changed = there.with_camera(camera, areas)
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from None
            save_zones(self.path, changed)
            self._use(changed, set_watcher)
        return areas

    def reload(self, set_watcher: SetWatcher | None = None) -> list[str]:
        """Use what the file says now; return the cameras for which that is something else.

        Raises ConfigError, with the line unless the file is gone; what was watched goes on then.
        """
        with self._lock:
            there = self.path.exists()
            if not there and self._file.cameras:
                raise ConfigError(
                    f"{self.path}: is gone, and its zones with the next start, unless it comes "
                    "back: saving a camera's zones on the page writes it again"
                )
            found = load_zones(self.path) if there else ZonesFile()
            return self._use(found, set_watcher or _ignore_watcher)

    def inside(self, camera: str) -> Mapping[str, Mapping[str, int]]:
        """Return {zone: {class: how many are in it}}."""
        watcher = self._watchers.get(camera)
        return watcher.inside() if watcher else {}

    def _use(self, found: ZonesFile, set_watcher: SetWatcher) -> list[str]:
        """Take over what is different; a camera that is not there yet finds it when it comes."""
        before, self._file = self._file, found
        changed = [
            name
            for name in {**before.cameras, **found.cameras}
            if before.cameras.get(name, CameraZones()) != self.zones(name)
        ]
        for name in changed:
            watcher = self._watchers.get(name)
            if watcher is not None:
                watcher.change(self.zones(name))  # counts of areas that stay go on
            else:
                self._watchers[name] = watcher = ZoneWatcher(self.zones(name))
            set_watcher(name, watcher)
        return changed


def _ignore_watcher(camera: str, watcher: Watcher | None) -> None:
    """Do nothing: the run has not begun, cameras find their watchers when they come."""
    del camera, watcher


def watcher_setter(pipeline: Pipeline) -> SetWatcher:
    """Return what sets a camera's watcher if it is in this run; a file may be about others too."""

    def set_watcher(camera: str, watcher: Watcher | None) -> None:
        with suppress(ValueError):  # it has just left
            if camera in pipeline.cameras():
                pipeline.set_watcher(camera, watcher)

    return set_watcher
