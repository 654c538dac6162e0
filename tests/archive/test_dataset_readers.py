"""pandas, polars and DuckDB read a dataset with the line that docs/dataset.md gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.dataset_results import START, moving
from support.paths import ROOT

from pipeline.archive.dataset.header import dataset_job
from pipeline.archive.dataset.schema import Segment, partition_value, segment_name
from pipeline.archive.dataset.writer import SegmentWriter

pytest.importorskip("pyarrow")
CAMERAS = {
    "yard": "yard",
    "Einfahrt Süd": "Einfahrt Süd",
    "a/b=c&50%": "a/b=c&50%",
    "01": "cam01",
    "true": "camtrue",
    "2024-01-31": "cam2024-01-31",
}
"""Cameras, and what readers call them."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segment of four frames of each camera, one with a known start and one without."""
    with dataset_job(tmp_path_factory.mktemp("readers") / "DATASET", {}) as path:
        for camera in CAMERAS:
            for start in (START, None):
                name = segment_name(camera, f"{camera}.mp4", start)
                writer = SegmentWriter(path, Segment(name, camera, start_utc=start))
                for index in range(4):
                    writer.add(moving(index))
                writer.commit({})
    return path


def lines() -> dict[str, str]:
    """Return the page's lines by library."""
    text = (ROOT / "docs" / "dataset.md").read_text("utf-8")
    found = re.findall(r"^(?:\w+ = )?((pandas|polars|duckdb)\..*)$", text, re.MULTILINE)
    return {library: line for line, library in found}


@pytest.mark.parametrize("library", ["pandas", "polars", "duckdb"])
@pytest.mark.parametrize("table", ["tracks", "trajectories", "events", "videos"])
@pytest.mark.slow
def test_one_line_reads_a_table(
    dataset: Path, library: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pytest.importorskip(library)
    monkeypatch.chdir(dataset.parent)
    found = eval(lines()[library].replace("tracks", table), {library: module})
    columns = {name: [*read] for name, read in _columns(found).items()}
    rows = {"tracks": 12, "trajectories": 3, "events": 0, "videos": 1}[table]
    assert len(columns["camera"]) == rows * len(CAMERAS) * 2
    if rows:
        assert {*map(str, columns["camera"])} == {*CAMERAS.values()}
        assert {*map(str, columns["date"])} == {"2023-11-14", "unknown"}


def _columns(found: Any) -> dict[str, Any]:
    if hasattr(found, "fetchall"):
        rows = found.fetchall()
        return {name: [row[at] for row in rows] for at, name in enumerate(found.columns)}
    return {name: found[name].to_list() for name in found.columns}


def _types(library: str, folder: Path) -> dict[str, str]:
    module = pytest.importorskip(library)
    if library == "duckdb":
        found = module.sql(f"FROM read_parquet('{folder}/**/*.parquet')")
        return dict(zip(found.columns, map(str, found.types), strict=True))
    table = module.read_parquet(folder)
    types = table.dtypes if library == "pandas" else table.schema
    return {str(name): str(kind) for name, kind in types.items()}


@pytest.mark.parametrize("library", ["pandas", "polars", "duckdb"])
def test_columns_have_their_types(dataset: Path, library: str) -> None:
    types = _types(library, dataset / "tracks")
    assert types["class_name"].lower() in ("str", "object", "string", "varchar")
    assert re.search(r"(?i)UTC|WITH TIME ZONE", types["utc"])
    assert types["track_id"].lower() in ("int64", "bigint")
    assert types["x1"].lower() in ("float32", "float")


def test_what_readers_call_a_camera_is_what_the_folders_say() -> None:
    from urllib.parse import unquote

    assert {camera: unquote(partition_value(camera)) for camera in CAMERAS} == CAMERAS
