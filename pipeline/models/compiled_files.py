"""Compiled OpenVINO networks kept on disk: the next start takes a third of the time.

Reading and compiling a small network takes longer than all else that happens before the first
picture, and a tenth of a run's memory. What is kept depends on the weights' bytes, on this
program's code for it, on OpenVINO and on the processor; whatever does not fit, is damaged or cannot
be written is as if it were not there. What was not used for longest goes first.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.core.atomic_file import replacing
from pipeline.core.cpu_count import cores
from pipeline.models import openvino_library as _openvino_library
from pipeline.models.cache import cache_folder
from pipeline.models.openvino_library import import_openvino, openvino_core

MAX_BYTES = 2**30
"""Limit of the folder's size: a small network takes 11 MB per picture size."""
_DIGEST_BYTES = hashlib.sha256().digest_size


class CompiledFiles:
    """The files kept on disk for one network.

    `code` are the modules that the result depends on, `options` everything else it depends on.
    """

    def __init__(
        self, path: Path, code: Sequence[ModuleType], options: object, max_bytes: int = MAX_BYTES
    ) -> None:
        self._path, self._max_bytes = path, max_bytes
        self._code = [Path(module.__file__ or "") for module in (*code, _openvino_library)]
        self._core = openvino_core()
        self._folder = cache_folder() / "compiled"
        self._digest = None if _has_weights_elsewhere(path) else self._digest_of_all(options)

    def compiled(
        self, settings: object, config: Mapping[str, Any], compile_it: Callable[[], Any]
    ) -> Any:
        """Return the network compiled for `settings` and `config`, from disk if it is there."""
        path = self._path_of([settings, dict(config), cores().threads], ".blob")
        if (blob := _load(path)) is not None:
            with suppress(RuntimeError):
                content = np.frombuffer(blob, np.uint8)[_DIGEST_BYTES:]
                tensor = import_openvino().Tensor(content, shared_memory=True)
                compiled = self._core.import_model(tensor, "CPU", dict(config))
                compiled.memory = blob  # OpenVINO does not hold on to it itself
                _release_pages(blob)
                return compiled
        compiled = compile_it()
        if path is not None:
            with suppress(RuntimeError):
                _save(path, compiled.export_model().getvalue())
            self._remove_oldest()
        return compiled

    def facts(self, settings: object, suffix: str, find: Callable[[], Any]) -> Any:
        """Return the result of `find`, as JSON, from disk if it is there."""
        path = self._path_of(settings, suffix)
        if (kept := _load(path)) is not None:
            return json.loads(kept[_DIGEST_BYTES:])
        text = json.dumps(find())
        _save(path, text.encode())
        return json.loads(text)

    def _path_of(self, settings: object, suffix: str) -> Path | None:
        """Return the path of a cached item of this network, None if nothing is cached."""
        if self._digest is None:
            return None
        how = json.dumps(settings, sort_keys=True)
        name = "" if settings is None else f"-{hashlib.sha256(how.encode()).hexdigest()[:16]}"
        return self._folder / f"{self._digest}{name}{suffix}"

    def _digest_of_all(self, options: object) -> str:
        """Return what changes with anything that a compiled network depends on."""
        digest = hashlib.sha256()
        code = [*self._code, Path(__file__)]
        beside = (self._path.with_suffix(".bin"), self._path.with_name("metadata.yaml"))
        in_folder = self._path.suffix.lower() == ".xml"
        for path in [*code, self._path, *(beside if in_folder else ())]:
            with suppress(OSError), path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        for of_device in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES"):
            digest.update(repr(self._core.get_property("CPU", of_device)).encode())
        digest.update(repr(options).encode())
        digest.update(repr(self._core.get_versions("CPU")["CPU"].build_number).encode())
        return digest.hexdigest()[:32]

    def _remove_oldest(self) -> None:
        with suppress(OSError):
            found = [(path.stat(), path) for path in self._folder.iterdir()]
            left = self._max_bytes
            for stat, path in sorted(found, key=lambda one: -one[0].st_mtime):
                left -= stat.st_size
                if left < 0:
                    path.unlink()


def _has_weights_elsewhere(path: Path) -> bool:
    """Return whether an .onnx file's weights lie in other files: their change would not be seen.

    Each of them is noted as an entry of ONNX' TensorProto.external_data with the key "location".
    """
    if path.suffix.lower() != ".onnx" or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"\x0a\x08location") >= 0


def _load(path: Path | None) -> mmap.mmap | None:
    """Return the cached file, None if there is none or it is damaged."""
    if path is None:
        return None
    with suppress(OSError, ValueError):  # an empty file cannot be mapped
        with path.open("rb") as file:
            found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        if hashlib.sha256(memoryview(found)[_DIGEST_BYTES:]).digest() == found[:_DIGEST_BYTES]:
            with suppress(OSError):  # somebody else's, or on a disk that is only read
                os.utime(path)
            return found
    return None


def _release_pages(blob: mmap.mmap) -> None:
    """Release pages that were read: weights are repacked, and hardly accessed again."""
    if hasattr(mmap, "MADV_DONTNEED"):
        blob.madvise(mmap.MADV_DONTNEED)


def _save(path: Path | None, content: bytes) -> None:
    """Write it for the next time; several processes and threads may do so at once."""
    if path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, concurrent=True) as partial, partial.open("wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
