"""The worked example of docs/plugins.md, run as it is written there."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
NAMED = re.compile(r"^`(gate[\w./]*\.(?:py|yaml))`.*?\n```\w+\n(.*?)^```", re.DOTALL | re.MULTILINE)
PROGRAM = re.compile(r"^or, in a program:\n+```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = dict(NAMED.findall(PAGE))
    assert sorted(found) == [
        "gate.yaml", "gate/board.py", "gate/bright.py", "gate/database.py", "gate_objects.py",
    ]  # fmt: skip
    (tmp_path / "gate").mkdir()
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "program.py").write_text(PROGRAM.findall(PAGE)[0])
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def rows(database: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute("SELECT * FROM tracks ORDER BY frame").fetchall()
    finally:
        connection.close()


def check(found: list[tuple[object, ...]]) -> None:
    assert len(found) >= 36, "all but the frames before the track is confirmed"
    assert {(row[0], row[3], row[4]) for row in found} == {("board", 1, "light")}
    last = found[-1]
    assert last[1] == 39
    assert last[2] == pytest.approx(3.9)
    assert last[6:] == pytest.approx((78, 40, 98, 60), abs=3)


@pytest.mark.slow
def test_the_command_runs_it(folder: Path) -> None:
    done = python(folder, "-m", "trackline", "run", "-c", "gate.yaml", "-o", "out")
    assert done.returncode == 0, done.stderr
    check(rows(folder / "out" / "gate.db"))


@pytest.mark.slow
def test_a_program_runs_it(folder: Path) -> None:
    done = python(folder, "program.py")
    assert (done.returncode, done.stdout) == (0, "40 frames\n"), done.stderr
    check(rows(folder / "out" / "gate.db"))


@pytest.mark.slow
def test_a_pipeline_of_objects_runs_it(folder: Path) -> None:
    """The README promised it; no page showed a `Pipeline`, nor a tracker of one's own."""
    done = python(folder, "gate_objects.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{index} [1]" for index in range(40)]
    check(rows(folder / "out" / "gate.db"))


@pytest.mark.slow
def test_a_database_that_cannot_be_made_is_one_line(folder: Path) -> None:
    (folder / "out" / "gate.db").mkdir(parents=True)
    done = python(folder, "-m", "trackline", "run", "-c", "gate.yaml", "-o", "out")
    assert done.returncode == 2
    assert "database: out/gate.db: unable to open" in done.stderr.splitlines()[-1]
