"""How the command ends when something is wrong with it or around it: one line, the right code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest
from support.paths import ROOT
from support.threads import in_thread, join

import pipeline
from pipeline.cli._signals import StopSignals
from pipeline.cli.main import main


def shell(command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `trackline COMMAND` through a shell, for its redirections."""
    line = f'"{sys.executable}" -m pipeline {command}'
    return subprocess.run(
        ["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **env}
    )


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def broken_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A detector of somebody's that has a bug."""
    (tmp_path / "their").mkdir()
    (tmp_path / "their" / "broken.py").write_text(
        "from pipeline.core.options import OptionsModel as Options\n"
        "def build(options):\n    raise ZeroDivisionError('two\\nlines')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "their.broken"


def test_a_bug_is_one_line_that_says_how_to_see_more(
    broken_plugin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever was not foreseen was answered with thirty lines of Python."""
    arguments = ["run", "synthetic", "--set", f"detector.kind={broken_plugin}"]
    assert main(arguments) == 1
    expected = "trackline: internal error: ZeroDivisionError: two lines (--debug shows where)\n"
    assert capsys.readouterr().err == expected
    assert main([*arguments, "--debug"]) == 1
    assert "broken.py" in capsys.readouterr().err


@pytest.mark.parametrize(("raised", "code"), [("SystemExit(143)", 143), ("KeyboardInterrupt", 130)])
def test_a_signal_while_options_are_written_out_ends_in_order(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: str,
    code: int,
) -> None:
    """A polite kill at the start of a run was answered with an internal error of Pydantic's."""
    (tmp_path / f"halting{code}").mkdir()
    (tmp_path / f"halting{code}" / "interrupted.py").write_text(
        "from pipeline.core.options import OptionsModel\n"
        "from pydantic import field_serializer\n"
        "class Options(OptionsModel):\n"
        "    one: int = 1\n"
        "    @field_serializer('one')\n"
        f"    def _shown(self, value):\n        raise {raised}\n"
        "def build(options):\n    raise NotImplementedError\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "config.yaml").write_text(f"detector: {{kind: halting{code}.interrupted}}\n")
    assert main(["check", str(tmp_path / "config.yaml")]) == code
    assert capsys.readouterr().err == ""


def test_debug_shows_where_and_keeps_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """With --debug a user's mistake ended with 1 instead of 2: scripts took it for a failure."""
    assert main(["run", "--debug", "absent.mp4", "--tracker", "srt"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "srt" in shown


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("list trackers >/dev/full", "standard output: No space left on device"),
        ("list trackers >&-", "standard output: Bad file descriptor"),
        ("list trackers >&- 2>&-", ""),
    ],
)
def test_output_that_cannot_be_written_is_one_line(
    command: str, says: str, unbuffered: str
) -> None:
    """A full disk gave "Exception ignored ..." and 120, a closed output an AttributeError."""
    if "full" in command and not Path("/dev/full").exists():
        pytest.skip("only Linux has /dev/full")
    done = shell(command, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (1, f"trackline: {says}\n" if says else "")


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_closed_error_output_is_no_failure() -> None:
    done = shell("list trackers 2>&-")
    assert done.returncode == 0
    assert "sort" in done.stdout


@pytest.mark.timeout(60)
@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("module", ["pydantic", "numpy", "pipeline.cli.list"])
@pytest.mark.slow
def test_a_signal_while_it_still_imports_ends_it_quietly(signal_name: str, module: str) -> None:
    """An early Ctrl-C, while libraries were still loading, printed a Python traceback."""
    done = python(
        "import os, signal, sys\n"
        "class Sender:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        f"            os.kill(os.getpid(), signal.{signal_name})\n"
        "sys.meta_path.insert(0, Sender())\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.argv = ['trackline', 'list']\n"
        "from pipeline.__main__ import main\n"
        "raise SystemExit(main())\n"
    )
    expected = {"SIGINT": 130, "SIGTERM": 143}[signal_name]
    assert (done.returncode, done.stdout, done.stderr) == (expected, "", "")


IN_ODD_PLACES = {
    "in code made of a text, as dataclasses are": (
        "command.program = lambda _: exec('raise KeyboardInterrupt')",
        130,
    ),
    "wrapped by a library": (
        "def broken(*_):\n"
        "    try: raise KeyboardInterrupt\n"
        "    except KeyboardInterrupt as error: raise ImportError('no multiarray') from error\n"
        "import pipeline.cli.list\n"
        "pipeline.cli.list.execute = broken\n"
        "sys.argv = ['trackline', 'list']",
        130,
    ),
    "in a destructor": (
        "import time\n"
        "class Swallows:\n"
        "    def __del__(self): signal.raise_signal(signal.SIGINT)\n"
        "command.program = lambda _: (Swallows() and 0, time.sleep(600)) and 0",
        130,
    ),
    "SIGTERM in a destructor": (
        "import time\n"
        "class Swallows:\n"
        "    def __del__(self): signal.raise_signal(signal.SIGTERM)\n"
        "command.program = lambda _: (Swallows() and 0, time.sleep(600)) and 0",
        143,
    ),
    "in the import of a Rust library, which panics": (
        "class Panic(BaseException): pass\n"
        "def program(_):\n"
        "    try: signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt: raise Panic('no datetime') from None\n"
        "command.program = program",
        130,
    ),
    "in C code, which raises something else": (
        "def broken(*_):\n"
        "    try: signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt: pass\n"
        "    raise ImportError('could not import module datetime')\n"
        "import pipeline.cli.list\n"
        "pipeline.cli.list.execute = broken\n"
        "sys.argv = ['trackline', 'list']",
        130,
    ),
    "in an import, which then looks like a missing package": (
        "from pipeline.core.errors import MissingExtraError\n"
        "def broken(*_):\n"
        "    try: signal.raise_signal(signal.SIGTERM)\n"
        "    except SystemExit: raise MissingExtraError('install it') from None\n"
        "import pipeline.cli.list\n"
        "pipeline.cli.list.execute = broken\n"
        "sys.argv = ['trackline', 'list']",
        143,
    ),
    "SIGTERM": ("command.program = lambda _: signal.raise_signal(signal.SIGTERM)", 143),
    "while the interpreter ends": (
        "import atexit\n"
        "command.program = lambda _: 0\n"
        "atexit.register(lambda: signal.raise_signal(signal.SIGINT))",
        -signal.SIGINT,
    ),
}


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.slow
@pytest.mark.parametrize("place", IN_ODD_PLACES)
def test_a_signal_in_an_odd_place_ends_it_quietly(place: str) -> None:
    """A traceback of atexit's, an "internal error", or death by SIGINT in place of 130."""
    change, expected = IN_ODD_PLACES[place]
    done = python(
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import pipeline.cli.main as command\n"
        f"{change}\n"
        "from pipeline.__main__ import main\n"
        "raise SystemExit(main())\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (expected, "", "")


def test_a_command_on_another_thread_leaves_signals_alone() -> None:
    """Only the main thread may set handlers: "internal error: ValueError: signal only works"."""
    used: list[int] = []

    def work() -> None:
        with StopSignals():
            used.append(1)

    join(in_thread(work))
    assert used == [1]


def test_importing_the_package_or_its_command_loads_no_library() -> None:
    """`import pipeline` took 0.4 s, most of it for pydantic and numpy nobody had asked for yet."""
    third_party = {"numpy", "pydantic", "yaml", "rich"}
    code = f"import sys, pipeline.cli.main; sys.exit(str(loaded) if (loaded := {third_party} & "
    done = python(code + "{*sys.modules}) else 0)")
    assert (done.returncode, done.stderr) == (0, "")


def test_every_public_name_is_there_when_asked_for() -> None:
    found = {name: getattr(pipeline, name) for name in pipeline.__all__}
    named = {name: one for name, one in found.items() if isinstance(one, type | FunctionType)}
    assert all(one.__name__ == name for name, one in named.items())
    assert {*found} - {*named} == {"Address", "ClassNames", "EventKind", "Image", "Secret"}
    assert {*pipeline.__all__, "__version__"} <= {*dir(pipeline)}
    with pytest.raises(AttributeError, match="no attribute 'trak'"):
        pipeline.trak  # noqa: B018


@pytest.mark.slow
def test_a_thread_that_hangs_does_not_hold_up_or_spoil_the_end() -> None:
    """A camera's thread left behind in FFmpeg: the interpreter's own teardown crashed around it."""
    program = (
        "import atexit, sys, threading\n"
        "atexit.register(print, 'torn down')\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "sys.argv = ['trackline', 'list', 'trackers']\n"
        "from pipeline.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0
    assert "torn down" not in ended.stdout
    assert ended.stdout.strip(), "what was printed before is there"
