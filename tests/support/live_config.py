"""Configurations and zones of live runs, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.tiny_networks import one_box_network

from pipeline.config.schema import Config, load_config
from pipeline.events.zones.schema import CameraZones

ZONE = {"name": "lawn", "points": [[0, 0], [10, 0], [0, 10]]}


def config(tmp_path: Path, **changes: Any) -> Config:
    """A configuration of two synthetic cameras, with some sections in place of its own."""
    tree: dict[str, Any] = {
        "sources": [{"kind": "synthetic", "name": name} for name in ("a", "b")],
        "detector": {"kind": "yolo", "model": str(one_box_network(tmp_path / "one.onnx"))},
        **changes,
    }
    path = tmp_path / "cams.yaml"
    path.write_text(json.dumps(tree))
    return load_config(path)


def synthetic(*names: str, **options: Any) -> list[dict[str, Any]]:
    return [{"kind": "synthetic", "name": name, **options} for name in names]


def zones_of(*zones: dict[str, Any]) -> CameraZones:
    return CameraZones.model_validate({"zones": zones})
