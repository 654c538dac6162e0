"""Programs that some tests need: servers, a browser, FFmpeg's command. Skipped without them.

`.ci/run` runs the suite once where none of them can be found, installs them, runs what was skipped
and fails if anything still is.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

NONE = "TRACKLINE_TEST_PROGRAMS"
"""Environment variable; "none" hides programs that lie in known places beside the PATH, too."""


def find_program(name: str, *places: str) -> str | None:
    """Return the path of a program on the PATH or in `places` (folders, globs), None if absent."""
    if (found := shutil.which(name)) or os.environ.get(NONE) == "none":
        return found
    paths = (path for place in places for path in Path("/").glob(f"{place.lstrip('/')}/{name}"))
    return next((str(path) for path in sorted(paths, reverse=True)), None)


def program(name: str, *places: str) -> str:
    """Return the path of a program; skips the test, saying so, where it is not there."""
    found = find_program(name, *places)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found
