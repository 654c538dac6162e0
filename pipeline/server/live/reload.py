"""Watches the configuration and zones files and makes the run go by what they say."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.config.schema import Config
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.worker import Fail, Worker
from pipeline.engine import Pipeline
from pipeline.events.zones.zones_file import line_of
from pipeline.server.live.config_changes import RunningConfig, apply, one_line, unchangeable
from pipeline.server.live.zones import ZoneEditor, watcher_setter

log = logging.getLogger("trackline")

EVERY_S = 1.0
SETTLE_S = 0.2
GONE_S = 2.0
"""A file that is missing for so long was deleted."""
_Look = tuple[int, int, bytes]


class FileWatch:
    """Says when a file's content is another; looks at its time and size before reading it."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._now = now
        self._last = self._look()
        self._missed_at: float | None = None

    def changed(self) -> bool:
        """Return whether the content differs from the last time, or the file is gone for good.

        An editor may take a file away for a moment before it puts the new one there.
        """
        last, now = self._last, self._look()
        if now is None:
            return last is not None and self._is_gone()
        self._missed_at = None
        if now == last:
            return False
        self._last = now
        return last is None or now[2] != last[2]

    def _is_gone(self) -> bool:
        if self._missed_at is None:
            self._missed_at = self._now()
        if self._now() - self._missed_at < GONE_S:
            return False
        self._last = None  # whatever comes back is a change
        return True

    def _look(self) -> _Look | None:
        try:
            stat = self.path.stat()
            if self._is_known(stat.st_mtime_ns, stat.st_size):
                return self._last
            content = self.path.read_bytes()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, hashlib.sha256(content).digest()

    def _is_known(self, mtime_ns: int, size: int) -> bool:
        last = getattr(self, "_last", None)
        return last is not None and last[:2] == (mtime_ns, size)


class Reloader:
    """Looks once a second; a file that is broken or gone is said to be, the old one stays."""

    def __init__(
        self,
        pipeline: Pipeline,
        in_force: RunningConfig,
        zone_editor: ZoneEditor,
        load: Callable[[], Config],
        each_second: Callable[[], None],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline = pipeline
        self._in_force = in_force
        self._zones = zone_editor
        self._load = load
        self._each_second = each_second
        files = [in_force.path, in_force.path and in_force.path.with_name("secrets.yaml")]
        self._config_watches = [FileWatch(path, now) for path in files if path is not None]
        self._zones_watch = FileWatch(zone_editor.path, now)
        self._errors: dict[str, str] = {}
        self._end = threading.Event()
        self._worker = Worker("reload", self._look_for_ever, lambda: None)

    def start(self, fail: Fail) -> None:
        """Begin to look."""
        self._worker.start(fail)

    def stop(self) -> None:
        """End; a detector that is being loaded is left behind."""
        self._end.set()
        self._worker.join(1.0)

    def look(self) -> None:
        """Take over whatever has changed since the last time."""
        if not self._pipeline.started:
            return  # what changes until then is found by the first look
        if self._changed():
            while self._changed():
                pass  # an editor is still writing
            self._try("config", self._reload_config)
        if self._zones_watch.changed():
            self._try("zones", self._reload_zones)

    def _changed(self) -> bool:
        """Return whether a configuration file is another than the last time; waits a moment."""
        changed = [watch.changed() for watch in self._config_watches]
        return any(changed) and not self._end.wait(SETTLE_S)

    def _look_for_ever(self) -> None:
        while not self._end.wait(EVERY_S):
            self.look()
            self._each_second()

    def _try(self, what: str, reload: Callable[[], None]) -> None:
        self._errors.pop(what, None)
        try:
            reload()
        except PipelineError as error:
            self._errors[what] = one_line(error)
            log.error("%s; what was in force stays", self._errors[what])
        except ValueError as error:
            self._errors[what] = " ".join(str(error).split())
            log.error("%s; what was in force stays", self._errors[what])
        self._in_force.error = "; ".join(self._errors.values()) or None

    def _reload_config(self) -> None:
        path = self._in_force.path
        try:
            new = self._load()
            waiting = unchangeable(new, self._in_force)
            done = apply(new, self._in_force, self._pipeline)
        except ConfigError as error:
            raise ConfigError(placed(str(error), path)) from None
        log.info("%s: read again: %s", path, ", ".join(done) or "nothing to change")
        if waiting:
            note = f"{path}: {', '.join(waiting)}: waits for the next start"
            log.warning("%s", note)
            self._errors["config"] = note

    def _reload_zones(self) -> None:
        names = self._zones.reload(watcher_setter(self._pipeline))
        if names:
            log.info("%s: read again: %s", self._zones.path, ", ".join(names))


def placed(message: str, path: Path | None) -> str:
    """Return an error about a key with the file and line in which that key is."""
    if path is None or message.startswith(str(path)):
        return message
    return f"{path}:{line_of(path, message)}: {message}"
