"""The configuration file of a live run: reloaded on changes, created if missing."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.schema import Config, load_config
from pipeline.core.yaml_file import read_yaml
from pipeline.engine import RunOptions

log = logging.getLogger("trackline")

FILE_NAME = "cameras.yaml"
"""Default configuration in the output folder, used and created if none is given."""


class ConfigFile:
    """The configuration file of a live run, combined with the command line.

    Without `path` it is `cameras.yaml` in the output folder, if it exists; cameras given on the
    command line (`addresses`) are then added after those in the file. With `path` they replace the
    file's, and cannot be changed on the page. A missing file counts as empty until it exists: the
    first camera added on the page creates it. `changes` are overrides of the command line.
    """

    def __init__(
        self,
        path: Path | None,
        addresses: Sequence[str],
        changes: Mapping[str, Any],
        complete: Callable[[Config], Config] = lambda config: config,
    ) -> None:
        self._changes = dict(changes)
        self._addresses = list(addresses)
        self._complete = complete
        self._is_named = path is not None
        output = Path(self._changes.get("run.output") or RunOptions().output)
        self.path = path or output / FILE_NAME
        self._was_there = self.path.exists()
        if self._is_named and not self._was_there:
            log.warning("%s: is not there yet; adding a camera on the page makes it", self.path)

    @property
    def fixed(self) -> str | None:
        """Return why cameras cannot be changed in the file, None if they can."""
        given = self._is_named and bool(self._addresses)
        if given or any(key.partition(".")[0] == "sources" for key in self._changes):
            return "the cameras on the command line replace those in the configuration"
        folder = next(each for each in self.path.absolute().parents if each.exists())
        if not os.access(
            folder, os.W_OK
        ):  # the file and its secrets are replaced, not written into
            return f"{self.path}: its folder cannot be written to"
        return None

    def load(self, path: Path | None = None) -> Config:
        """Load the configuration, or with `path` another file instead of its own.

        Raises ConfigError, also for a file that was deleted.
        """
        path = path or self.path
        is_there = path.exists() or self._was_there
        self._was_there = self._was_there or self.path.exists()
        changes = dict(self._changes)
        if self._addresses:
            listed = self._listed(path) if is_there and not self._is_named else []
            changes["sources"] = [*listed, *self._addresses]
        return self._complete(load_config(path if is_there else None, changes))

    def _listed(self, path: Path) -> list[Any]:
        sources = read_yaml(path).get("sources") or []
        return sources if isinstance(sources, list) else [sources]
