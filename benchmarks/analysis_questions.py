"""The ten questions of docs/analysis.md over a dataset, and over the same tables as CSV: seconds.

    python benchmarks/analysis_questions.py [--rows 2_000_000] [--runs 3] [--only duckdb|pandas]

The tables are made up as in `dataset_writer.py`, with a crossing and a stay to every track and a
speed to every row of a tenth of the tracks' table. SQL and pandas are the page's own lines; times
include reading the files (the views exist), and are the least of the runs.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas
from dataset_writer import FPS, SEGMENT_S, START, results

from pipeline.archive.dataset.header import dataset_job
from pipeline.archive.dataset.schema import Segment, segment_name
from pipeline.archive.dataset.writer import SegmentWriter
from pipeline.archive.ground.export import COLUMNS, write_columns
from pipeline.core.data import Event, Result

PAGE = Path(__file__).resolve().parents[1] / "docs/analysis.md"
TABLES = ("tracks", "trajectories", "events", "videos")
TRACKS = 40
TIMES = ("utc", "first_utc")


def with_events(result: Result, ids: range) -> Result:
    """Return a result in which every track of `ids` crosses the line and leaves the zone."""
    tracks = result.tracks
    events = []
    for row in np.flatnonzero(np.isin(tracks.track_id, ids)).tolist():
        class_id, track_id = int(tracks.class_id[row]), int(tracks.track_id[row])
        x1, y1, x2, y2 = tracks.xyxy[row].tolist()
        cross = Event(
            "cross", "cam", "line", ("in", "out")[track_id % 2], track_id, class_id,
            result.class_names[class_id], result.frame.index, result.frame.pts_s, 0.0,
            (x1, y1, x2, y2),
        )  # fmt: skip
        leave = replace(cross, kind="leave", area="zone", direction="", dwell_s=1.0 + track_id % 50)
        events += [cross, leave]
    return replace(result, events=tuple(events))


def write(folder: Path, rows: int) -> int:
    """Write the dataset with at least `rows` rows of tracks, and the speeds; return the rows."""
    random = np.random.default_rng(13)
    segments = -(-rows // (FPS * SEGMENT_S * TRACKS))
    with dataset_job(folder, {"benchmark": True}, fresh=True):
        for number in range(segments):
            camera, first = ("gate", "yard")[number % 2], 1 + number * TRACKS
            path, utc = f"{camera}/{number}.mp4", START + number // 2 * SEGMENT_S
            name = segment_name(camera, path, utc)
            writer = SegmentWriter(folder, Segment(name, camera, path, "", utc))
            for index, result in enumerate(results(camera, number, TRACKS, first, random)):
                ids = range(first, first + TRACKS) if index == 900 else range(0)
                writer.add(with_events(result, ids))
            broken = {"status": "partial", "reason": "breaks off"} if number % 10 == 0 else {}
            writer.commit({"width": 1920, "height": 1080, "fps": FPS, **broken})
    return segments * FPS * SEGMENT_S * TRACKS


def write_speeds(path: Path, rows: int) -> None:
    """Write speeds of objects that are each seen for a hundred rows."""
    random = np.random.default_rng(14)
    arrays: dict[str, Any] = {}
    for column in COLUMNS:
        text = column.type == "text"
        arrays[column.name] = np.full(rows, "" if text else np.nan, object if text else float)
    ids = np.arange(rows) // 100 + 1
    arrays |= {
        "source": np.full(rows, "cam", object),
        "frame": np.arange(rows),
        "pts_s": np.arange(rows) / FPS,
        "track_id": ids,
        "class_name": np.where(ids % 3 == 0, "person", "car").astype(object),
        "speed_kmh": random.uniform(3, 60, rows),
    }
    write_columns(path, COLUMNS, arrays, lambda _: iter(()))


def write_csv(folder: Path) -> None:
    """Write the same tables as CSV, but for the paths, which are lists."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table in (*TABLES, "speeds"):
            glob = "speeds.parquet" if table == "speeds" else f"DATASET/{table}/**/*.parquet"
            left_out = "EXCLUDE (path_x, path_y, path_t_s)" if table == "trajectories" else ""
            found = f"SELECT * {left_out} FROM read_parquet('{glob}', hive_types_autocast = false)"
            connection.execute(f"COPY ({found}) TO '{folder / table}.csv' (HEADER)")


def questions() -> tuple[str, list[tuple[str, str, str]]]:
    """Return the page's views, and title, SQL and pandas of each question."""
    head, *sections = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)

    def block(text: str, language: str) -> str:
        found = re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        assert found, language
        return found[1]

    asked = [(part.splitlines()[0], block(part, "sql"), block(part, "python")) for part in sections]
    return block(head, "sql setup"), asked


def read_parquet(table: str, *columns: str) -> pandas.DataFrame:
    """Return columns of a table of the dataset, as the page does."""
    rows = pandas.read_parquet(
        "speeds.parquet" if table == "speeds" else f"DATASET/{table}", columns=[*columns]
    )
    return rows.astype(dict.fromkeys(rows.columns.intersection(["camera"]), str))


def read_csv(table: str, *columns: str) -> pandas.DataFrame:
    """Return the same columns of the CSV."""
    times = [name for name in columns if name in TIMES]
    return pandas.read_csv(
        f"csv/{table}.csv", usecols=[*columns], parse_dates=times, date_format="ISO8601"
    )


def by_sql(views: str, sql: str) -> Callable[[], Any]:
    """Return a function that asks in a connection that has the views."""
    connection = duckdb.connect()
    connection.execute(views)
    return lambda: connection.sql(sql).df()


def by_pandas(read: Callable[..., Any], code: str) -> Callable[[], Any]:
    """Return a function that evaluates the page's expression with a reader."""

    def ask() -> Any:
        scope: dict[str, Any] = {"read": read, "pandas": pandas}
        exec(code, scope)
        return scope["answer"]

    return ask


def least_s(ask: Callable[[], Any], runs: int) -> tuple[float, int]:
    """Return the least seconds of the runs, and the rows of the answer."""
    best, rows = float("inf"), 0
    for _ in range(runs):
        began = time.perf_counter()
        rows = len(ask())
        best = min(best, time.perf_counter() - began)
    return best, rows


def megabytes(folder: Path, pattern: str) -> float:
    """Return the size of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob(pattern)) / 2**20


def main() -> None:
    """Print a line per question, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000, help="at least so many rows")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=["duckdb", "pandas"])
    args = parser.parse_args()
    views, asked = questions()
    as_csv = re.sub(r"read_parquet\('(?:DATASET/)?(\w+)[^)]*\)", r"read_csv('csv/\1.csv')", views)
    with tempfile.TemporaryDirectory() as text:
        os.chdir(text)
        rows = write(Path("DATASET"), args.rows)
        write_speeds(Path("speeds.parquet"), rows // 10)
        Path("csv").mkdir()
        write_csv(Path("csv"))
        sizes = megabytes(Path(), "*.parquet"), megabytes(Path("csv"), "*.csv")
        print(f"{rows:,} rows of tracks; Parquet {sizes[0]:.0f} MiB, CSV {sizes[1]:.0f} MiB")
        ways: dict[str, Callable[[str, str], Callable[[], Any]]] = {
            "duckdb parquet": lambda sql, _: by_sql(views, sql),
            "duckdb csv": lambda sql, _: by_sql(as_csv, sql),
            "pandas parquet": lambda _, code: by_pandas(read_parquet, code),
            "pandas csv": lambda _, code: by_pandas(read_csv, code),
        }
        ways = {name: way for name, way in ways.items() if name.startswith(args.only or "")}
        print(f"{'seconds':46}", *(f"{name:>15}" for name in ways))
        sums = dict.fromkeys(ways, 0.0)
        for title, sql, code in asked:
            cells, lengths = [], set()
            for name, way in ways.items():
                spent, length = least_s(way(sql, code), args.runs)
                sums[name] += spent
                lengths.add(length)
                cells.append(f"{spent:15.3f}")
            assert len(lengths) == 1, (title, lengths)
            print(f"{title:46}", *cells, flush=True)
        print(f"{'all ten':46}", *(f"{spent:15.3f}" for spent in sums.values()))
        os.chdir("/")


if __name__ == "__main__":
    main()
