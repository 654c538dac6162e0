"""The output folder over all sinks: one run at a time, what is replaced, a disk that fills up."""

from __future__ import annotations

import csv
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.sink_program import sink_program
from support.sink_results import PLUGINS, opened, result, rich, run_info

from pipeline.core.data import Result
from pipeline.core.errors import OutputError
from pipeline.core.run_info import RunInfo, SourceInfo
from pipeline.core.track_files import read_recording
from pipeline.sinks import video
from pipeline.sinks._files import OutputFolder

FILES = {
    "csv": "tracks.csv",
    "jsonl": "tracks.jsonl",
    "mot": "cam.txt",
    "events_csv": "events.csv",
    "parquet": "tracks/part-00001.parquet",
    "video": "cam.mp4",
}
needs_flock = pytest.mark.skipif(sys.platform == "win32", reason="no such locks on Windows")


@pytest.mark.slow
@needs_flock
@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", ["orderly", "killed"])
def test_a_folder_is_written_by_one_run_at_a_time(tmp_path: Path, end: str) -> None:
    """Two runs with the same -o tore each other's rows; both ended with exit code 0."""
    holder = sink_program("hold", "csv", tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    for kind in PLUGINS:
        with pytest.raises(OutputError, match=rf"{tmp_path.name}.*process {holder.pid}\b") as told:
            opened(kind, tmp_path)
        assert told.value.exit_code == 2
        assert "\n" not in str(told.value)
    if end == "killed":
        holder.kill()
    holder.communicate("\n")
    for kind in PLUGINS:
        opened(kind, tmp_path).close()
    if end == "orderly":
        assert not [*tmp_path.glob(".*")]


def test_the_sinks_of_a_run_share_the_folder_but_not_a_file(tmp_path: Path) -> None:
    sinks = [opened(kind, tmp_path) for kind in PLUGINS]
    for kind in PLUGINS:
        other = PLUGINS[kind].build(PLUGINS[kind].Options())
        with pytest.raises(OutputError, match=rf"{FILES[kind]}: another run in this program"):
            other.open(run_info(tmp_path, "cam"))
        other.close()  # as the engine does
    for sink in sinks:
        sink.close()
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kind", FILES)
def test_what_is_replaced_is_said_in_one_line(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`for f in *.mp4; do trackline run $f -o out; done` kept the last table only, silently."""
    for count in (3, 2):
        caplog.clear()
        sink = opened(kind, tmp_path)
        for index in range(count):
            sink.write(rich(index))
        sink.close()
        (tmp_path / "report.json").write_text("{}")
    (line,) = [each for each in caplog.messages if "replaces" in each]
    assert FILES[kind] in line
    assert line.endswith("report.json of an earlier run")


def test_a_first_run_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for kind in PLUGINS:
        sink = opened(kind, tmp_path)
        sink.write(rich(0))
        sink.close()
    assert "replaces" not in caplog.text


def whole_csv(path: Path) -> int:
    with path.open(newline="", encoding="utf-8") as file:
        first, *table = csv.reader(file)
    assert {len(row) for row in table} <= {len(first)}
    return len(table)


def whole_mot(path: Path) -> int:
    lines = path.read_text().splitlines()
    assert {line.count(",") for line in lines} == {9}
    return len(lines)


WHOLE: dict[str, Callable[[Path], int]] = {
    "csv": whole_csv,
    "events_csv": whole_csv,
    "mot": whole_mot,
    "jsonl": lambda path: len([json.loads(line) for line in path.read_text("utf-8").splitlines()]),
}


@pytest.mark.slow
@needs_flock
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("limit", [20_001, 70_003])
def test_a_full_disk_leaves_whole_rows(tmp_path: Path, kind: str, limit: int) -> None:
    """A table on a full disk ended in the middle of a row, which no reader took."""
    said, _ = sink_program("fill", kind, tmp_path, limit).communicate()
    assert said == "full\n"
    path = tmp_path / FILES[kind]
    assert path.read_bytes().endswith(b"\n")
    assert limit / 2 < path.stat().st_size <= limit
    assert WHOLE[kind](path) > 50


@pytest.mark.slow
def test_a_file_without_one_whole_row_is_none(tmp_path: Path) -> None:
    said, _ = sink_program("fill", "csv", tmp_path, 20).communicate()
    assert said == "full\n"
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_each_row_names_its_file(tmp_path: Path, kind: str) -> None:
    """`cam-2` was tied to its path by the order of the arguments alone."""
    sink = opened(kind, tmp_path)
    one = result(0)
    frame = type(one.frame)(one.frame.image, "cam", 0, 0.0, 0.0, file="a,b/cam.mp4")
    sink.write(Result(frame, one.detections, one.tracks, one.class_names))
    sink.close()
    records = read_recording(tmp_path / FILES[kind]).records
    assert [record["file"] for record in records] == ["a,b/cam.mp4"] * 3


def test_every_json_line_has_the_same_keys_and_whole_ids(tmp_path: Path) -> None:
    """A header and events among the rows made pandas read every track id as a float."""
    sink = opened("jsonl", tmp_path)
    for index in range(3):
        sink.write(rich(index))
    sink.close()
    for name, count in (("tracks", 9), ("events", 9)):
        lines = (tmp_path / f"{name}.jsonl").read_text("utf-8").splitlines()
        table = [json.loads(line) for line in lines]
        assert len(table) == count
        assert len({tuple(row) for row in table}) == 1
        assert {type(row["track_id"]) for row in table} == {int}
    recording = read_recording(tmp_path / "tracks.jsonl")
    assert recording.header["sources"]["cam"]["width"] == 64


def test_names_that_are_one_file_somewhere_are_two_files(tmp_path: Path) -> None:
    folder = OutputFolder(run_info(tmp_path))
    names = ["x", "x-2", "X", "X-2", "caf\u00e9", "cafe\u0301", "a/b", "a:b"]
    paths = [folder.path_of(name, ".mp4").name.casefold() for name in names]
    assert len(set(paths)) == len(names)


def test_sound_that_is_left_out_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "trackline")
    for files in (["v/street.mp4"], ["v/a.mp4", "v/b.mp4"], []):
        infos = {name: SourceInfo(64, 48, file=name, has_sound=True) for name in files}
        sink = video.build(video.Options())
        sink.open(RunInfo(tmp_path, {}, infos, 0.0))
        sink.close()
    assert caplog.messages == [
        "street.mp4: its sound is not copied",
        "a.mp4 and 1 more: their sound is not copied",
    ]
