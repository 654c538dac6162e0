"""The sink parquet: the tables of CSV with types, in parts that are whole at any moment."""

from __future__ import annotations

import csv
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.sink_program import sink_program
from support.sink_results import NAMES, opened, result, rich, run_info

from pipeline.core.errors import OutputError
from pipeline.core.output_columns import EVENT_COLUMNS, TRACK_COLUMNS
from pipeline.sinks import parquet

pq = pytest.importorskip("pyarrow.parquet")


def sink(folder: Path, **options: Any) -> parquet.ParquetSink:
    made = parquet.build(parquet.Options(**options))
    made.open(run_info(folder, "cam", metadata={"areas": {"cam": {}}}))
    return made


def parts(folder: Path, table: str = "tracks") -> list[Path]:
    return sorted((folder / table).iterdir())


def read(folder: Path, table: str = "tracks") -> list[dict[str, Any]]:
    found = [row for part in parts(folder, table) for row in pq.read_table(part).to_pylist()]
    return [dict(row) for row in found]


@pytest.mark.parametrize(
    ("kind", "table", "columns"),
    [("csv", "tracks", TRACK_COLUMNS), ("events_csv", "events", EVENT_COLUMNS)],
)
def test_the_tables_hold_what_the_csv_files_hold(
    tmp_path: Path, kind: str, table: str, columns: Any
) -> None:
    """Same columns, same order, same rounding; only the types are kept."""
    of_type: dict[str, Callable[[str], Any]] = {
        "text": str, "int32": int, "int64": int, "float64": float, "float32": float,
        "time": datetime.fromisoformat,
    }  # fmt: skip
    for each in ("parquet", kind):
        one = opened(each, tmp_path)
        for index in (0, 1, 5):
            one.write(rich(index))
        one.close()
    with (tmp_path / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        want = [
            {column.name: of_type[column.type](row[column.name]) for column in columns}
            for row in csv.DictReader(file)
        ]
    found = read(tmp_path, table)
    assert len(found) == 9
    assert [*found[0]] == [column.name for column in columns]
    for row, wanted in zip(found, want, strict=True):
        assert row == {
            name: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            for name, value in wanted.items()
        }


def test_text_is_text_for_every_reader(tmp_path: Path) -> None:
    """A stored Arrow schema made categories of it, which group and join in their own ways."""
    one = sink(tmp_path)
    one.write(result(0, tracks=4))
    one.close()
    schema = pq.read_schema(parts(tmp_path)[0])
    assert str(schema.field("class_name").type) == "string"
    assert str(schema.field("utc").type) == "timestamp[ms, tz=UTC]"
    assert [row["class_name"] for row in read(tmp_path)] == [*NAMES.values(), "3"]


def test_a_name_that_is_no_utf8_and_a_time_that_is_unknown(tmp_path: Path) -> None:
    from dataclasses import replace

    from pipeline.core.run_info import RunInfo, SourceInfo

    made = parquet.build(parquet.Options())
    recorded = {"cam": SourceInfo(64, 48, recorded=True)}
    made.open(RunInfo(tmp_path, NAMES, recorded, 0.0))
    one = result(0)
    made.write(replace(one, frame=replace(one.frame, file="a\udcff.mp4")))
    made.close()
    assert {(row["file"], row["utc"]) for row in read(tmp_path)} == {("a\\udcff.mp4", None)}


def test_a_part_is_finished_by_rows_and_by_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("pipeline.sinks.parquet.time.monotonic", lambda: now[0])
    one = sink(tmp_path, part_rows=1000, part_s=60)
    for index in range(400):
        one.write(result(index))  # three rows each
    assert [pq.read_metadata(part).num_rows for part in parts(tmp_path)] == [1002]
    now[0] = 59.0
    one.write(result(400))
    assert len(parts(tmp_path)) == 1
    now[0] = 61.0
    one.write(result(401))
    assert [pq.read_metadata(part).num_rows for part in parts(tmp_path)] == [1002, 204]
    one.write(result(402))
    assert len(parts(tmp_path)) == 2
    one.close()
    assert [row["frame"] for row in read(tmp_path)] == [n for n in range(403) for _ in range(3)]


def test_a_new_run_leaves_no_part_of_the_old_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of the newer rows, and behind them those of the run before."""
    caplog.set_level(logging.WARNING)
    for count in (900, 5):
        one = sink(tmp_path, part_rows=1000)
        for index in range(count):
            one.write(result(index))
        one.close()
        (tmp_path / "tracks" / "mine.txt").write_text("kept")
    assert [path.name for path in parts(tmp_path)] == ["mine.txt", "part-00001.parquet"]
    (line,) = [each for each in caplog.messages if "replaces" in each]
    assert "tracks/part-00001.parquet" in line
    assert "tracks/part-00003.parquet" in line


def test_a_run_without_zones_leaves_no_events_of_the_run_before(tmp_path: Path) -> None:
    """Its events named tracks of the run before by ids that are now other objects'."""
    old = tmp_path / "events" / "part-00001.parquet"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    one = parquet.build(parquet.Options())
    one.open(run_info(tmp_path, "cam"))
    one.write(result(0))
    one.close()
    assert not old.exists()


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tracks").write_text("mine")
    one = parquet.build(parquet.Options())
    with pytest.raises(OutputError, match="tracks: want a folder"):
        one.open(run_info(tmp_path, "cam"))
    one.close()
    assert (tmp_path / "tracks").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such limits on Windows")
def test_a_full_disk_is_one_line_and_leaves_whole_parts(tmp_path: Path) -> None:
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from sink_results import result, run_info\n"
        "from pipeline.core.errors import WriteError\nfrom pipeline.sinks import parquet\n"
        "sink = parquet.build(parquet.Options(part_rows=1000))\n"
        "sink.open(run_info(Path(sys.argv[1]), 'cam'))\n"
        "for index in range(600): sink.write(result(index))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try:\n    for index in range(600, 1200): sink.write(result(index))\n"
        "except WriteError as error: print(error)\n"
        "sink.close()"
    )
    folder = Path(sink_program.__code__.co_filename).parent
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "out"], cwd=folder, capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )  # fmt: skip
    assert "part-00002.parquet: cannot be written: File too large" in done.stdout
    assert done.stdout.count("\n") == 1
    assert [path.name for path in parts(tmp_path / "out")] == ["part-00001.parquet"]
    assert not [*(tmp_path / "out").glob(".*")]
    assert len(read(tmp_path / "out")) >= 1000


@pytest.mark.slow
def test_without_pyarrow_one_line_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\n"
        "from pipeline.core.interfaces import RunInfo\n"
        "from pipeline.sinks import parquet\n"
        "from pipeline.core.errors import MissingExtraError\n"
        "sink = parquet.build(parquet.Options())\n"
        "try: sink.open(RunInfo(Path(sys.argv[1]), {}, {}, 0.0))\n"
        "except MissingExtraError as error: print(error)\n"
        "sink.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert "parquet" in done.stdout
    assert "[data]" in done.stdout
    assert [*tmp_path.iterdir()] == []
