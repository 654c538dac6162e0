"""A tracker's homographies in the configuration: where they lie, and whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.ground_views import write_homography

from pipeline.config.build import build, effective
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config, load_config
from pipeline.core.errors import ConfigError


def config_of(folder: Path, ground: Any, *sources: str) -> Config:
    (folder / "boxes.txt").write_text("1,-1,40,30,20,60,0.9,-1,-1,-1\n")
    names = [f"  - {{kind: synthetic, name: {name}, frames: 5}}" for name in sources]
    detector = f"{{kind: replay, paths: [{folder / 'boxes.txt'}]}}"
    path = folder / "run.yaml"
    path.write_text("\n".join(
        ["sources:", *names, f"detector: {detector}", f"tracker: {{ground: {ground}}}", "sinks: []"]
    ))  # fmt: skip
    return load_config(path, {"run.output": str(folder / "out")})


@pytest.mark.parametrize("ground", ["street.yaml", "{street: street.yaml}"])
def test_a_relative_path_starts_at_the_configurations_folder(tmp_path, monkeypatch, ground):
    monkeypatch.chdir("/")
    write_homography(tmp_path / "street.yaml")
    resolved = resolve_config(config_of(tmp_path, ground, "street"))
    build(resolved)
    shown = effective(resolved)["tracker"]["ground"]
    assert shown in (str(tmp_path / "street.yaml"), {"street": str(tmp_path / "street.yaml")})


@pytest.mark.parametrize(
    ("ground", "sources", "says"),
    [
        ("street.yaml", ("a", "b"), r"tracker\.ground: .*belongs to one camera, .*\(a, b"),
        ("{yard: street.yaml}", ("a",), r"tracker\.ground: want a source of this run .* got yard"),
        ("none.yaml", ("a",), r"none\.yaml"),
        ("broken.yaml", ("a",), r"broken\.yaml: matrix"),
        ("3", ("a",), r"tracker\.ground.*: want a path or a section, got 3"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(tmp_path, ground, sources, says):
    write_homography(tmp_path / "street.yaml")
    (tmp_path / "broken.yaml").write_text("matrix: 3\n")
    with pytest.raises(ConfigError, match=says) as raised:
        build(resolve_config(config_of(tmp_path, ground, *sources)))
    assert "\n" not in str(raised.value)
