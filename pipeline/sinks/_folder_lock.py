"""Lock of an output folder: one process at a time, and one writer per file within it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from pipeline.core.errors import OutputError
from pipeline.core.file_lock import LockHeldError, lock_file

log = logging.getLogger("trackline")

LOCK_NAME = ".trackline.lock"
REPORT_NAME = "report.json"
MAX_NAMED = 5
"""Replaced files that are named in the log; more are counted."""


class FolderUse:
    """An output folder in use by this process: its lock, each file's writer, replaced files."""

    def __init__(self, folder: Path, release: Callable[[], None]) -> None:
        self.users = 0
        self._folder = folder
        self._key = folder.resolve()
        self._release = release
        self._owners: dict[Path, object] = {}
        self._replaced: list[str] = []

    def claim(self, path: Path, owner: object) -> None:
        """Reserve a file for one writer; raises OutputError if another in this process has it."""
        with _guard:
            if self._owners.get(path, owner) is not owner:
                raise OutputError(f"{path}: another run in this program is writing it")
            if path not in self._owners and path.is_file():
                self._replaced.append(self._shown(path))
            self._owners[path] = owner

    def _shown(self, path: Path) -> str:
        below = path.is_relative_to(self._folder)
        return path.relative_to(self._folder).as_posix() if below else path.name

    def log_replaced(self) -> None:
        """Log in one line which files of an earlier run this one replaces, each file once."""
        with _guard:
            names, self._replaced = self._replaced, []
            report = self._folder / REPORT_NAME
            if names and report not in self._owners and report.exists():
                names.append(REPORT_NAME)
                self._owners[report] = self  # the run writes it at its end
        if names:
            more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
            shown = ", ".join(names[:MAX_NAMED]) + more
            log.warning("%s: replaces %s of an earlier run", self._folder, shown)

    def leave(self, owner: object) -> None:
        """Release the files of a writer; the last one to leave unlocks the folder."""
        with _guard:
            self._owners = {path: one for path, one in self._owners.items() if one is not owner}
            self.users -= 1
            if self.users == 0:
                _uses.pop(self._key, None)
                self._release()


_guard = threading.Lock()
_uses: dict[Path, FolderUse] = {}


def use_folder(folder: Path) -> FolderUse:
    """Return this process's use of the folder, one user more; raises OutputError, OSError.

    The sinks of a run share it. While it is in use another program is refused, with our process id.
    """
    with _guard:
        use = _uses.get(folder.resolve())
        if use is None:
            try:
                use = FolderUse(folder, lock_file(folder / LOCK_NAME))
            except LockHeldError as error:
                raise OutputError(
                    f"{folder}: another run ({error.holder}) is writing there; choose another "
                    "folder with -o"
                ) from None
            _uses[use._key] = use
        use.users += 1
        return use
