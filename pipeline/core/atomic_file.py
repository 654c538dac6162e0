"""Put a file or folder in its place in one step: readers see the old one or the new, never half."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import OutputError


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or folder to, which then takes its place.

    After an error inside nothing is left and `path` is as before. Raises OutputError if it cannot
    be written, or is a folder that holds no OpenVINO network and so must not be replaced.
    """
    if path.is_dir() and any(path.iterdir()) and not any(path.glob("*.xml")):
        raise OutputError(f"{path} is a folder that holds something else; choose another with -o")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if path.is_dir():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old)
        else:
            partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)
