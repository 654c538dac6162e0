"""Cache of compiled OpenVINO networks on disk: the next start takes a third of the time.

Reading and compiling a small network takes longer than all else that happens before the first
frame, and a tenth of a run's memory. What is kept depends on the weights' bytes, on this program's
code for it, on OpenVINO and on the processor; whatever does not fit, is damaged or cannot be
written is as if it were not there. What was not used for longest goes first.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.atomic_file import replacing
from pipeline.core.cpu_count import cores
from pipeline.detectors.common import decoding as _decoding
from pipeline.detectors.common import families as _families
from pipeline.detectors.common import layout_evidence as _evidence
from pipeline.detectors.common import layouts as _layouts
from pipeline.detectors.common import probe as _probe
from pipeline.detectors.common.backend import FamilyOptions, LayoutOverrides, Network
from pipeline.detectors.common.probe import RecognisedLayout
from pipeline.detectors.openvino import family_model as _family_model
from pipeline.detectors.openvino import graph as _openvino_graph
from pipeline.detectors.openvino import model as _openvino_model
from pipeline.detectors.openvino.family_model import FamilyModel
from pipeline.detectors.openvino.model import PictureModel, open_network
from pipeline.models import class_names as _class_names
from pipeline.models import metadata as _metadata
from pipeline.models import openvino_library as _openvino_library
from pipeline.models.cache import cache_folder
from pipeline.models.openvino_library import import_openvino, openvino_core

MAX_BYTES = 2**30
"""How much is kept: a small network takes 11 MB for each size of pictures."""
_CODE = (
    _class_names, _decoding, _evidence, _families, _layouts, _metadata, _family_model,
    _openvino_graph, _openvino_library, _openvino_model, _probe,
)  # fmt: skip
_DIGEST_BYTES = hashlib.sha256().digest_size


class CompiledModelCache:
    """PictureModel behind the disk cache: the weights are read only where something is missing."""

    def __init__(
        self, path: Path, max_bytes: int = MAX_BYTES, options: FamilyOptions | None = None
    ) -> None:
        self._path = path
        self._options = options or FamilyOptions()
        self._max_bytes = max_bytes
        self._model: PictureModel | FamilyModel | None = None
        self._core = openvino_core()
        self._folder = cache_folder() / "compiled"
        self._digest = None if _has_weights_elsewhere(path) else self._digest_of_all()
        facts = self._load_facts()
        self.network: Network = facts[0]
        self.fixed_size: tuple[int, int] | None = facts[1]
        self.quantized: bool = facts[2]
        self.family: str | None = facts[3]

    def compile(
        self,
        size: tuple[int, int] | None,
        config: Mapping[str, Any],
        *,
        raw_bgr: bool,
        best: bool,
        pixel_max: int | None = None,
    ) -> Any:
        """Return what PictureModel.compile does, from the cache if it is there."""
        settings = [size, dict(config), raw_bgr, best, pixel_max, cores().threads]
        how = json.dumps(settings, sort_keys=True)
        name = hashlib.sha256(how.encode()).hexdigest()[:16]
        path = self._path_of(f"-{name}.blob")
        if (blob := _load(path)) is not None:
            with suppress(RuntimeError):
                content = np.frombuffer(blob, np.uint8)[_DIGEST_BYTES:]
                tensor = import_openvino().Tensor(content, shared_memory=True)
                compiled = self._core.import_model(tensor, "CPU", dict(config))
                compiled.memory = blob  # OpenVINO does not hold on to it itself
                _release_pages(blob)
                return compiled
        compiled = self._read().compile(
            size, config, raw_bgr=raw_bgr, best=best, pixel_max=pixel_max
        )
        if path is not None:
            with suppress(RuntimeError):
                _save(path, compiled.export_model().getvalue())
            self._remove_oldest()
        return compiled

    def recognise(
        self, forced: LayoutOverrides, try_first: Callable[[], RecognisedLayout | None]
    ) -> RecognisedLayout:
        """Return what `try_first` or else PictureModel.recognise does, from the cache if there."""
        how = json.dumps(asdict(forced))
        name = hashlib.sha256(how.encode()).hexdigest()[:16]
        path = self._path_of(f"-{name}.layout")
        if (kept := _load(path)) is not None:
            return RecognisedLayout.from_json(json.loads(kept[_DIGEST_BYTES:]))
        found = try_first() or self._read().recognise(forced)
        _save(path, json.dumps(asdict(found)).encode())
        return found

    def _read(self) -> PictureModel | FamilyModel:
        if self._model is None:
            self._model = open_network(self._path, self._options)
        return self._model

    def _path_of(self, suffix: str) -> Path | None:
        """Return where something of this model is kept, None if nothing is."""
        return None if self._digest is None else self._folder / f"{self._digest}{suffix}"

    def _digest_of_all(self) -> str:
        """Return what changes with anything that a compiled network depends on."""
        digest = hashlib.sha256()
        code = [Path(module.__file__ or "") for module in _CODE]
        code.append(Path(__file__))
        beside = (self._path.with_suffix(".bin"), self._path.with_name("metadata.yaml"))
        in_folder = self._path.suffix.lower() == ".xml"
        for path in [*code, self._path, *(beside if in_folder else ())]:
            with suppress(OSError), path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        for of_device in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES"):
            digest.update(repr(self._core.get_property("CPU", of_device)).encode())
        digest.update(repr(self._options).encode())
        digest.update(repr(self._core.get_versions("CPU")["CPU"].build_number).encode())
        return digest.hexdigest()[:32]

    def _load_facts(self) -> tuple[Network, tuple[int, int] | None, bool, str | None]:
        """Return network, fixed_size, quantized and family, as the model says them."""
        path = self._path_of(".json")
        kept = _load(path)
        if kept is None:
            model = self._read()
            known = (model.fixed_size, model.quantized, model.family)
            _save(path, json.dumps((asdict(model.network), *known)).encode())
            return model.network, *known
        network, fixed_size, quantized, family = json.loads(kept[_DIGEST_BYTES:])
        network = Network(
            (network["input_size"][0], network["input_size"][1]),
            tuple(network["output_shape"]),
            {int(class_id): name for class_id, name in network["names"].items()},
            network["end2end"],
            network["stride"],
            network["pixel_max"],
        )
        size = None if fixed_size is None else (fixed_size[0], fixed_size[1])
        return network, size, quantized, family

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
    """Return the file that was kept there, None if there is none or it is damaged."""
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
    """Let go of pages that were read: weights are packed anew, and hardly looked at again."""
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
