"""Disk cache of a detector's compiled network: see `pipeline.models.compiled_files`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.detectors.common import decoding as _decoding
from pipeline.detectors.common import families as _families
from pipeline.detectors.common import layout_evidence as _evidence
from pipeline.detectors.common import layouts as _layouts
from pipeline.detectors.common import masks_and_keypoints as _masks_and_keypoints
from pipeline.detectors.common import probe as _probe
from pipeline.detectors.common.backend import (
    ExtraColumns,
    FamilyOptions,
    LayoutOverrides,
    Network,
)
from pipeline.detectors.common.probe import RecognisedLayout
from pipeline.detectors.openvino import family_model as _family_model
from pipeline.detectors.openvino import graph as _openvino_graph
from pipeline.detectors.openvino import model as _openvino_model
from pipeline.detectors.openvino.family_model import FamilyModel
from pipeline.detectors.openvino.model import PictureModel, open_network
from pipeline.models import class_names as _class_names
from pipeline.models import metadata as _metadata
from pipeline.models.compiled_files import MAX_BYTES, CompiledFiles

_CODE = (
    _class_names, _decoding, _evidence, _families, _layouts, _metadata, _family_model,
    _masks_and_keypoints, _openvino_graph, _openvino_model, _probe,
)  # fmt: skip


class CompiledModelCache:
    """PictureModel with a disk cache: the weights are read only if something is missing in it."""

    def __init__(
        self, path: Path, max_bytes: int = MAX_BYTES, options: FamilyOptions | None = None
    ) -> None:
        self._path = path
        self._options = options or FamilyOptions()
        self._model: PictureModel | FamilyModel | None = None
        self._files = CompiledFiles(path, _CODE, self._options, max_bytes)
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
        """Return the result of PictureModel.compile, from the cache if present."""
        return self._files.compiled(
            [size, raw_bgr, best, pixel_max],
            config,
            lambda: self._read().compile(
                size, config, raw_bgr=raw_bgr, best=best, pixel_max=pixel_max
            ),
        )

    def recognise(
        self, forced: LayoutOverrides, try_first: Callable[[], RecognisedLayout | None]
    ) -> RecognisedLayout:
        """Return the result of `try_first`, else of PictureModel.recognise; cached if possible."""

        def find() -> dict[str, Any]:
            return asdict(try_first() or self._read().recognise(forced))

        return RecognisedLayout.from_json(self._files.facts(asdict(forced), ".layout", find))

    def _read(self) -> PictureModel | FamilyModel:
        if self._model is None:
            self._model = open_network(self._path, self._options)
        return self._model

    def _load_facts(self) -> tuple[Network, tuple[int, int] | None, bool, str | None]:
        """Return network, fixed_size, quantized and family of the model."""

        def find() -> list[Any]:
            model = self._read()
            return [asdict(model.network), model.fixed_size, model.quantized, model.family]

        network, fixed_size, quantized, family = self._files.facts(None, ".json", find)
        network = Network(
            (network["input_size"][0], network["input_size"][1]),
            tuple(network["output_shape"]),
            {int(class_id): name for class_id, name in network["names"].items()},
            network["end2end"],
            network["stride"],
            network["pixel_max"],
            _extra_from(network["extra"]),
            network["imgsz"],
        )
        size = None if fixed_size is None else (fixed_size[0], fixed_size[1])
        return network, size, quantized, family


def _extra_from(values: dict[str, Any] | None) -> ExtraColumns | None:
    """Restore an object from its `dataclasses.asdict`."""
    if values is None:
        return None
    keypoints = values["keypoints"]
    return ExtraColumns(**{**values, "keypoints": None if keypoints is None else (*keypoints,)})
