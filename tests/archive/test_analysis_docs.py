"""The lines of docs/analysis.md: DuckDB and pandas give the same answers, the right ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dataset_results import START, moving
from support.page_queries import Question, page

from pipeline.archive.dataset.header import dataset_job
from pipeline.archive.dataset.schema import Segment, segment_name
from pipeline.archive.dataset.writer import SegmentWriter
from pipeline.archive.ground.export import COLUMNS as SPEED_COLUMNS
from pipeline.archive.ground.export import write_columns

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")

SQL_SETUP, PYTHON_SETUP, QUESTIONS = page()
BEGAN = START + 39  # 22:13:59 UTC: a second before the minute is over
ANSWERS: list[list[tuple[Any, ...]]] = [
    [
        ("2023-11-14T22:00:00+00:00", "car", 1),
        ("2023-11-14T22:00:00+00:00", "person", 2),
        ("2023-11-14T23:00:00+00:00", "car", 1),
        ("2023-11-14T23:00:00+00:00", "person", 1),
    ],
    [
        ("yard", "2023-11-14T22:13:00+00:00", 3),
        ("yard", "2023-11-14T22:14:00+00:00", 3),
        ("gate", "2023-11-14T23:13:00+00:00", 2),
    ],
    [("yard", "stop", "car", 1, 5, 5, 5), ("yard", "stop", "person", 2, 6, 6, 7.6)],
    [("gate", "gate", "in", "person", 1), ("yard", "gate", "in", "person", 2)],
    [
        ("yard", 1, "person", 1.9, 38),
        ("yard", 2, "car", 1.9, 38),
        ("yard", 3, "person", 1.8, 36),
        ("gate", 1, "person", 0.9, 18),
        ("gate", 2, "car", 0.9, 18),
    ],
    [
        ("gate", "2023-11-14T23:13:00+00:00", 2),
        ("yard", "2023-11-14T22:13:00+00:00", 3),
        ("yard", "2023-11-14T22:14:00+00:00", 3),
    ],
    [
        ("gate", "car", 180, 1),
        ("gate", "person", 180, 1),
        ("yard", "car", 0, 1),
        ("yard", "person", 0, 2),
    ],
    [(0, 40, 13), (40, 40, 15), (80, 40, 15), (120, 40, 12)],
    [("car", 2, 42.5, 47.75), ("person", 1, 6, 6)],
    [("gate", "gate.mp4", "partial", "breaks off", 10, 0), ("yard", "x.mp4", "failed", "no", 0, 0)],
]
"""By hand: three move right for 20 frames and two left for 10, by 2 px a frame."""


def _segment(path: Path, file: str, start: float) -> SegmentWriter:
    camera = "gate" if file == "gate.mp4" else "yard"
    return SegmentWriter(
        path, Segment(segment_name(camera, file, start), camera, file, file, start)
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset of three recordings, one of them broken, and speeds.parquet."""
    with dataset_job(tmp_path_factory.mktemp("questions") / "DATASET", {}) as path:
        yard = _segment(path, "yard.mp4", BEGAN)
        for index in range(20):
            yard.add(moving(index))
        cross = moving(5).events[0]
        stays = (("person", 4.0), ("person", 8.0), ("car", 5.0))
        leave = replace(cross, kind="leave", area="stop", direction="")
        events = tuple(replace(leave, class_name=name, dwell_s=s) for name, s in stays)
        yard.add(replace(moving(20, tracks=0), events=events))
        yard.commit({})
        gate = _segment(path, "gate.mp4", BEGAN + 3600)
        for index in range(10):
            gate.add(moving(index, first=20 - 2 * index, tracks=2))
        gate.commit({"status": "partial", "reason": "breaks off"})
        _segment(path, "x.mp4", BEGAN + 7200).commit({"status": "failed", "reason": "no"})
    _write_speeds(path.parent / "speeds.parquet")
    return path


def _write_speeds(path: Path) -> None:
    ids = np.array([3, 3, 1, 1, 1, 2])  # "person" comes before "car", as no order by name does
    arrays: dict[str, Any] = {}
    for column in SPEED_COLUMNS:
        text = column.type == "text"
        arrays[column.name] = np.full(len(ids), "x" if text else np.nan, object if text else float)
    arrays |= {
        "track_id": ids,
        "class_name": np.where(ids == 3, "person", "car").astype(object),
        "speed_kmh": np.array([5.0, 7.0, 30.0, 40.0, np.nan, 50.0]),
    }
    write_columns(path, SPEED_COLUMNS, arrays, lambda _: iter(()))


def _by_sql(question: Question) -> Any:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(SQL_SETUP)
        return connection.sql(question.sql).df()


def _by_pandas(question: Question) -> Any:
    scope: dict[str, Any] = {}
    exec(PYTHON_SETUP + question.pandas, scope)
    return scope["answer"]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, str):
        return value
    return pytest.approx(float(value), rel=1e-4)


def test_there_are_ten_questions() -> None:
    assert [each.title.split(".")[0] for each in QUESTIONS] == [str(n) for n in range(1, 11)]


@pytest.mark.parametrize(
    ("question", "answer"),
    list(zip(QUESTIONS, ANSWERS, strict=True)),
    ids=[each.title for each in QUESTIONS],
)
@pytest.mark.slow
def test_a_question_has_its_answer(
    dataset: Path,
    question: Question,
    answer: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(dataset.parent)
    found, other = _by_sql(question), _by_pandas(question)
    for each in (found, other):
        assert answer == [tuple(map(_plain, row)) for row in each.itertuples(index=False)]
    assert list(found.columns) == list(other.columns)
    assert (
        found.astype(str).values.tolist() == other.astype(found.dtypes).astype(str).values.tolist()
    )


@pytest.mark.parametrize("question", QUESTIONS, ids=[each.title for each in QUESTIONS])
@pytest.mark.slow
def test_a_plot_shows_the_answer(
    dataset: Path, question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    monkeypatch.chdir(dataset.parent)
    for answer in (_by_sql(question), _by_pandas(question)):
        exec(question.plot, {"answer": answer})
        axes = pyplot.gcf().axes[0]
        assert axes.has_data()
        pyplot.gcf().canvas.draw()
        pyplot.close("all")
