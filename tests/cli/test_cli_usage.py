"""What the command says to somebody who types it for the first time."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.cli import bench
from pipeline.cli._console import output_console
from pipeline.cli._summary import counts_table
from pipeline.cli.eval import print_scores
from pipeline.cli.main import main
from pipeline.cli.refine import print_refined
from pipeline.core.options import split_names
from pipeline.detectors.yolo import Options
from pipeline.tools.evaluate.scoring import COMBINED


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "trackline run VIDEO"),
        (["--debug"], "trackline run VIDEO"),
        (["street.mp4"], "trackline run street.mp4"),
        (["my clips/street 1.mp4", "-o", "out"], "trackline run 'my clips/street 1.mp4' -o out"),
        (["rtsp://10.0.0.1/a"], "trackline run rtsp://10.0.0.1/a"),
        (["0"], "trackline run 0"),
        (["."], "trackline run ."),
        (["rum", "a.mp4"], "unknown command 'rum'; did you mean run"),
        (["colours"], "(known: run, live, detect"),
        (["--modl", "x"], "COMMAND"),
    ],
)
def test_without_a_command_it_says_what_to_type(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`the following arguments are required: COMMAND` and `invalid choice` were the answers."""
    told = [each for each in arguments if each != "--debug"]
    assert main(told) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_login_in_an_address_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rtsp://me:secret@10.0.0.1/a"]) == 2
    assert "secret" not in capsys.readouterr().err


def test_help_and_version_need_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--help", "--version"):
        with pytest.raises(SystemExit) as ended:
            main([option])
        assert ended.value.code == 0
    assert "trackline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("person,car", ["person", "car"]),
        (" person , car ", ["person", "car"]),
        ('"car, small"', ["car, small"]),
        ('"car, small",person', ["car, small", "person"]),
        ('person, "car, small"', ["person", "car, small"]),
        ('"say ""hi""",b', ['say "hi"', "b"]),
        ("potted plant", ["potted plant"]),
        ("o'clock,b", ["o'clock", "b"]),
        ("a,,b,", ["a", "b"]),
        ("", []),
    ],
)
def test_a_class_name_that_holds_a_comma_is_quoted(text: str, names: list[str]) -> None:
    assert split_names(text) == names
    if names:
        assert Options.model_validate({"classes": text}).classes == tuple(names)


def test_bench_measures_on_the_clip_that_its_help_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed without its checkout it measured a synthetic scene, and the help said otherwise."""
    clip = bench.measured_source(None)
    assert isinstance(clip, str)
    assert Path(clip).name == "street.mp4"


@pytest.mark.slow
def test_a_library_of_a_desktop_that_is_missing_is_one_line_with_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """README's first command ended in `ImportError: libGL.so.1` wherever there is no desktop."""

    class Missing:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "cv2":
                raise ImportError("libGL.so.1: cannot open shared object file")

    for name in [*sys.modules]:
        if name.partition(".")[0] == "cv2" or name.startswith("pipeline.detectors._o"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    assert main(["run", "synthetic", "--max-frames", "1", "-o", str(tmp_path)]) == 1
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "libGL" in each]
    assert line.endswith("install --force-reinstall --no-deps opencv-python-headless")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("render out -o later a.mp4", {"video": Path("a.mp4"), "output": Path("later")}),
        ("render out -o later -- -a.mp4", {"video": Path("-a.mp4"), "output": Path("later")}),
        ("clip out --track 8 --crop a.mp4 -o b.mp4", {"video": Path("a.mp4"), "track": 8}),
        ("run a.mp4 --save=csv b.mp4 --show c.mp4", {"sources": ["a.mp4", "b.mp4", "c.mp4"]}),
        ("run --detections a b --conf 0.3 a.mp4", {"detections": ["a", "b"], "sources": ["a.mp4"]}),
        ("run -oout a.mp4 -- -b.mp4 --show", {"sources": ["a.mp4", "-b.mp4", "--show"]}),
        ("geotag a.mp4 --offset -1.5 --gps b -o c.csv", {"offset": -1.5}),
        ("list --json trackers", {"plugin_type": "trackers", "json": True}),
    ],
)
def test_options_may_stand_between_the_other_arguments(
    line: str, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`render out -o later a.mp4` ended with "unexpected argument 'a.mp4'"."""
    words = line.split()
    came: list[Any] = []
    module = importlib.import_module(f"pipeline.cli.{words[0]}")
    monkeypatch.setattr(module, "execute", lambda args: came.append(args) or 0)
    assert main(words) == 0
    found = {name: getattr(came[0], name) for name in wanted}
    assert {k: str(v) if isinstance(v, Path) else v for k, v in found.items()} == {
        k: str(v) if isinstance(v, Path) else v for k, v in wanted.items()
    }


@pytest.mark.parametrize(
    "line",
    [
        "render out a.mp4 --labls none",
        "render --labls none out a.mp4",
        "report out -o b.html --labls none",
        "run a.mp4 --labls none -ob",
    ],
)
def test_an_unknown_option_is_named_not_what_follows_it(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`render out a.mp4 --labls none` ended with "unexpected argument 'none'"."""
    assert main(line.split()) == 2
    assert "unknown option '--labls'" in capsys.readouterr().err


def test_a_mistake_is_one_line_whatever_a_file_is_called(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line feed in a name made two lines of it, and an escape character coloured the terminal."""
    assert main(["run", "two\nlines\x1bc.mp4"]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line == r"trackline: two\nlines\x1bc.mp4: no such file"


@pytest.mark.parametrize(
    "show",
    [
        lambda name: print_scores({name: {"HOTA": 1.0}, COMBINED: {"HOTA": 1.0}}),
        lambda name: print_refined({name: (25.0, SimpleNamespace(joined=0, filled=0, ghosts=0))}),
        lambda name: output_console().print(counts_table({name: {"inside": {"zone": 2}}})),
        lambda name: output_console().print(f"written to {name}"),
    ],
    ids=["eval", "refine", "count", "a line"],
)
def test_a_table_shows_names_as_they_are(show: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """In a file the longest were cut, `[red]` was missing and `:car:` a picture of one."""
    name = f"[red]{'a long name ' * 20}:car:[/b]"
    show(name)
    assert name in capsys.readouterr().out
