"""What every sink plug-in must keep, run on each one that is found in its room."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.fake_gui import FakeGui
from support.plugin_contracts import check_all_have_options, plugins_in

import pipeline.sinks
from pipeline.core.data import Detections, Event, Frame, Result, Tracks
from pipeline.core.errors import OutputError
from pipeline.core.options import descriptions
from pipeline.core.run_info import RunInfo, SourceInfo

PLUGINS = plugins_in(pipeline.sinks)

# How each plug-in is set up for a test, and how one is made where no screen or server is.
OPTIONS: dict[str, dict[str, Any]] = {
    "coco": {},
    "csv": {},
    "events": {"webhooks": [{"url": "http://localhost:9/nobody", "name": "nobody"}]},
    "events_csv": {},
    "jsonl": {},
    "mot": {"coasting": True},
    "parquet": {"part_rows": 1000},
    "subtitles": {"mkv": True},
    "video": {"preset": "ultrafast", "threads": 1},
    "window": {},
    "yolo": {"scores": True},
}
MADE_BY: dict[str, Callable[[Any, Any, FakeGui], Any]] = {
    "window": lambda plugin, options, gui: plugin.WindowSink(options, gui),
}
WRITES_FILES = {
    "coco", "csv", "events", "events_csv", "jsonl", "mot", "parquet", "subtitles", "video", "yolo",
}  # fmt: skip

HEAVY = ("cv2", "av", "pyarrow", "openvino", "torch", "ultralytics")
NAMES = {0: "person", 1: 'a "quoted", long\nname'}


def test_every_plugin_has_options_here() -> None:
    check_all_have_options(pipeline.sinks, OPTIONS)


@pytest.fixture(params=PLUGINS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def plugin(kind: str) -> Any:
    return importlib.import_module(f"pipeline.sinks.{kind}")


@pytest.fixture
def gui() -> FakeGui:
    return FakeGui()


@pytest.fixture
def sink(kind: str, plugin: Any, gui: FakeGui) -> Any:
    options = plugin.Options(**OPTIONS[kind])
    make = MADE_BY.get(kind, lambda plugin, options, _: plugin.build(options))
    return make(plugin, options, gui)


def run_info(output: Path, *sources: str) -> RunInfo:
    infos = {name: SourceInfo(64, 48, 10.0) for name in sources}
    return RunInfo(output, NAMES, infos, utc_at_monotonic_zero=1.7e9, metadata={"run": "test"})


def result(index: int, tracks: int = 2, source: str = "cam") -> Result:
    frame = Frame(np.full((48, 64, 3), index, np.uint8), source, index, index / 10, index / 10)
    t = np.arange(tracks)
    found = Tracks(
        np.stack([t * 5, t * 5, t * 5 + 9, t * 5 + 9], 1).astype(np.float32).reshape(tracks, 4),
        np.full(tracks, 0.5, np.float32),
        (t % 3).astype(np.int32),
        (t + 1).astype(np.int64),
        (t - 1).astype(np.int32),
        np.zeros(tracks, np.float32),
    )
    return Result(frame, Detections.empty(), found, NAMES)


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_options_are_strict_frozen_and_described(kind: str, plugin: Any) -> None:
    options = plugin.Options(**OPTIONS[kind])
    with pytest.raises(ValidationError):
        plugin.Options(**OPTIONS[kind], no_such_option=1)
    assert descriptions(plugin.Options).keys() == plugin.Options.model_fields.keys()
    for name in plugin.Options.model_fields:
        with pytest.raises(ValidationError):
            setattr(options, name, None)


@pytest.mark.slow
def test_import_and_build_load_no_heavy_library(kind: str, plugin: Any) -> None:
    code = (
        "import sys, importlib\n"
        "plugin = importlib.import_module(sys.argv[1])\n"
        "sink = plugin.build(plugin.Options())\n"
        "assert isinstance(sink.own_thread, bool)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, plugin.__name__], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_open_and_close_without_a_result_leave_nothing(sink: Any, tmp_path: Path) -> None:
    """When another sink cannot open, no half-written file may suggest that there was a run."""
    sink.open(run_info(tmp_path / "new" / "out", "cam"))
    sink.close()
    assert files(tmp_path) == []


def test_close_is_safe_when_never_opened_and_twice(sink: Any, tmp_path: Path) -> None:
    sink.close()
    sink.open(run_info(tmp_path, "cam"))
    sink.write(result(0))
    sink.close()
    sink.close()


def test_results_without_tracks_are_fine(kind: str, sink: Any, tmp_path: Path) -> None:
    sink.open(run_info(tmp_path, "cam"))
    for index in range(3):
        sink.write(result(index, tracks=0))
    sink.close()
    assert bool(files(tmp_path)) == (kind in WRITES_FILES), "an empty table is an answer too"


def test_a_source_that_appears_later_is_written_too(
    kind: str, sink: Any, gui: FakeGui, tmp_path: Path
) -> None:
    """A camera that was down at the start is missing in RunInfo.sources."""
    crossing = Event("cross", "late", "gate", "in", 1, 0, "person", 0, 0.0, 0.0, (0, 0, 9, 9))
    sink.open(run_info(tmp_path))
    sink.write(replace(result(0, source="late"), events=(crossing,)))
    shown = [title for title, _ in gui.shown]
    sink.close()
    if kind == "window":
        assert shown == ["Trackline: late"]
        return
    written = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in files(tmp_path)
        if path.is_file()
    }
    assert any("late" in name or b"late" in data for name, data in written.items()), [*written]


def test_frames_are_left_unchanged_and_let_go(sink: Any, tmp_path: Path) -> None:
    """Frame memory is pooled: a slot is used again once nobody refers to its array."""
    sink.open(run_info(tmp_path, "cam"))
    one = result(7)
    owner = one.frame.image.base
    references = sys.getrefcount(owner)
    sink.write(one)
    assert sys.getrefcount(owner) == references
    assert (one.frame.image == 7).all()
    sink.close()


def test_stage_times_are_milliseconds_by_name(sink: Any, tmp_path: Path) -> None:
    sink.open(run_info(tmp_path, "cam"))
    sink.write(result(0))
    stages = getattr(sink, "stage_ms", {})
    assert all(isinstance(name, str) and value >= 0 for name, value in stages.items())
    sink.close()


@pytest.mark.parametrize("kind", sorted(WRITES_FILES))
@pytest.mark.parametrize("below", [False, True])
def test_an_output_that_is_a_file_is_one_clear_line(sink: Any, tmp_path: Path, below: bool) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("mine")
    with pytest.raises(OutputError) as caught:
        sink.open(run_info(blocked / "out" if below else blocked, "cam"))
    sink.close()
    message = str(caught.value)
    assert str(blocked) in message
    assert "\n" not in message
    assert files(tmp_path) == [blocked]
    assert blocked.read_text() == "mine"


def test_write_before_open_is_a_programming_error(sink: Any) -> None:
    with pytest.raises(ValueError, match="open"):
        sink.write(result(0))
