"""Hot reload: watches the configuration and zones files and applies what changed."""

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
from pipeline.server.live.zone_editor import ZoneEditor, watcher_setter

log = logging.getLogger("trackline")

CHECK_INTERVAL_S = 1.0
SETTLE_S = 0.2
GONE_S = 2.0
"""A file that is missing for this long was deleted."""
_Fingerprint = tuple[int, int, bytes]
"""Modification time in ns, size in bytes, SHA-256 of the content."""


class FileWatch:
    """Detects changes of a file's content; reads it only if its time or size has changed."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._now = now
        self._last: _Fingerprint | None = None
        self._last = self._fingerprint()
        self._missing_since: float | None = None

    def changed(self) -> bool:
        """Return whether the content has changed since the last call, or the file was deleted.

        An editor may remove a file for a moment before it writes the new one.
        """
        last, now = self._last, self._fingerprint()
        if now is None:
            return last is not None and self._is_gone()
        self._missing_since = None
        if now == last:
            return False
        self._last = now
        return last is None or now[2] != last[2]

    def _is_gone(self) -> bool:
        if self._missing_since is None:
            self._missing_since = self._now()
        if self._now() - self._missing_since < GONE_S:
            return False
        self._last = None  # a file that comes back is a change
        return True

    def _fingerprint(self) -> _Fingerprint | None:
        try:
            stat = self.path.stat()
            if self._is_known(stat.st_mtime_ns, stat.st_size):
                return self._last
            content = self.path.read_bytes()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, hashlib.sha256(content).digest()

    def _is_known(self, mtime_ns: int, size: int) -> bool:
        return self._last is not None and self._last[:2] == (mtime_ns, size)


class Reloader:
    """Checks the files once a second; after an error in one, the previous settings stay."""

    def __init__(
        self,
        pipeline: Pipeline,
        running: RunningConfig,
        zone_editor: ZoneEditor,
        load: Callable[[], Config],
        each_second: Callable[[], None],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline = pipeline
        self._running = running
        self._zone_editor = zone_editor
        self._load = load
        self._each_second = each_second
        files = [running.path, running.path and running.path.with_name("secrets.yaml")]
        self._config_watches = [FileWatch(path, now) for path in files if path is not None]
        self._zones_watch = FileWatch(zone_editor.path, now)
        self._errors: dict[str, str] = {}
        self._stopping = threading.Event()
        self._worker = Worker("reload", self._check_forever, lambda: None)

    def start(self, fail: Fail) -> None:
        """Start checking."""
        self._worker.start(fail)

    def stop(self) -> None:
        """Stop checking; a detector that is being loaded is abandoned."""
        self._stopping.set()
        self._worker.join(1.0)

    def check(self) -> None:
        """Apply what has changed since the last check."""
        if not self._pipeline.started:
            return  # what changes until then is found by the first check
        if self._changed():
            while self._changed():
                pass  # an editor is still writing
            self._try("config", self._reload_config)
        if self._zones_watch.changed():
            self._try("zones", self._reload_zones)

    def _changed(self) -> bool:
        """Return whether a configuration file has changed; if so, wait for the editor to finish."""
        changed = [watch.changed() for watch in self._config_watches]
        return any(changed) and not self._stopping.wait(SETTLE_S)

    def _check_forever(self) -> None:
        while not self._stopping.wait(CHECK_INTERVAL_S):
            self.check()
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
        self._running.error = "; ".join(self._errors.values()) or None

    def _reload_config(self) -> None:
        path = self._running.path
        try:
            new = self._load()
            if "sources" not in new.model_fields_set and self._running.names:
                # An editor that empties the file before it writes it leaves one for a moment.
                raise ConfigError("sources: needed but not given")
            waiting = unchangeable(new, self._running)
            changes = apply(new, self._running, self._pipeline)
        except ConfigError as error:
            raise ConfigError(with_location(str(error), path)) from None
        log.info("%s: read again: %s", path, ", ".join(changes) or "nothing to change")
        if waiting:
            note = f"{path}: {', '.join(waiting)}: waits for the next start"
            log.warning("%s", note)
            self._errors["config"] = note

    def _reload_zones(self) -> None:
        names = self._zone_editor.reload(watcher_setter(self._pipeline))
        if names:
            log.info("%s: read again: %s", self._zone_editor.path, ", ".join(names))


def with_location(message: str, path: Path | None) -> str:
    """Return an error message about a key, prefixed with its file and line."""
    if path is None or message.startswith(str(path)):
        return message
    return f"{path}:{line_of(path, message)}: {message}"
