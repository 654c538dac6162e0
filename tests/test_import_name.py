"""`import trackline`: the name to import, whatever else is called `pipeline`."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.paths import ROOT

import pipeline
import trackline

FOREIGN = "VALUE = 'somebody else'\n"


def python(*arguments: str, cwd: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python elsewhere; our own packages are found, as when installed, behind `path`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, str(ROOT)]))}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def local_module(folder: Path) -> None:
    (folder / "pipeline.py").write_text(FOREIGN)


def local_package(folder: Path) -> None:
    (folder / "pipeline").mkdir()
    (folder / "pipeline" / "__init__.py").write_text(FOREIGN)
    (folder / "pipeline" / "cli.py").write_text(FOREIGN)


def local_folder(folder: Path) -> None:
    """A folder without `__init__.py` is a namespace package."""
    (folder / "pipeline").mkdir()


SHADOWS = pytest.mark.parametrize("shadow", [local_module, local_package, local_folder])


def test_every_public_name_is_the_same_object() -> None:
    assert trackline.__all__ == pipeline.__all__
    for name in pipeline.__all__:
        assert getattr(trackline, name) is getattr(pipeline, name)
        assert name in dir(trackline)
    assert trackline.__version__ == pipeline.__version__
    with pytest.raises(AttributeError, match="module 'trackline' has no attribute 'trak'"):
        _ = trackline.trak


@pytest.mark.parametrize(
    "name",
    [
        "core.data",
        "core.interfaces",
        "core.options",
        "core.errors",
        "sinks.csv",
        "sources.file",
        "trackers",
    ],
)
def test_every_submodule_is_the_same_module(name: str) -> None:
    """A second copy would have classes of its own, and `isinstance` and `except` would miss."""
    ours = importlib.import_module(f"pipeline.{name}")
    assert importlib.import_module(f"trackline.{name}") is ours
    assert ours.__spec__ is not None
    assert ours.__spec__.name == f"pipeline.{name}"


def test_a_submodule_that_is_none_is_named_as_it_was_asked_for() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"'trackline\.no_such'"):
        importlib.import_module("trackline.no_such")


@pytest.mark.slow
@SHADOWS
@pytest.mark.parametrize(
    "code",
    [
        "import trackline; from trackline import track, Frame",
        "from trackline.core.interfaces import Source; import trackline; trackline.run",
        "import trackline.sinks.csv; trackline.Config()",
    ],
)
def test_a_pipeline_in_the_current_folder_is_not_taken_for_ours(shadow, code, tmp_path) -> None:
    """`import pipeline` was answered by any local pipeline.py."""
    shadow(tmp_path)
    done = python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@SHADOWS
def test_the_command_runs_beside_a_pipeline(shadow, tmp_path) -> None:
    shadow(tmp_path)
    done = python("-m", "trackline", "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"trackline {pipeline.__version__}\n"


@pytest.mark.slow
@SHADOWS
def test_the_command_runs_with_a_pipeline_on_pythonpath(shadow, tmp_path) -> None:
    (tmp_path / "lib").mkdir()
    shadow(tmp_path / "lib")
    script = "from trackline.__main__ import main; raise SystemExit(main())"  # as the command's
    done = python("-c", script, "check", "--help", cwd=tmp_path, path=str(tmp_path / "lib"))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_script_may_be_called_pipeline(tmp_path) -> None:
    (tmp_path / "pipeline.py").write_text("import trackline\nprint(trackline.Frame.__name__)\n")
    done = python("pipeline.py", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("Frame\n", "")


def test_another_pipeline_in_use_already_is_refused_by_its_file(tmp_path) -> None:
    """One program cannot hold two modules of a name: said in one line, not as AttributeError."""
    local_module(tmp_path)
    code = "import pipeline\ntry: import trackline\nexcept ImportError as error: print(error)"
    done = python("-c", code, cwd=tmp_path)
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"trackline: {tmp_path / 'pipeline.py'} was imported as 'pipeline'")


def test_another_package_installed_over_ours_is_refused(tmp_path) -> None:
    local_package(tmp_path)
    (tmp_path / "trackline").mkdir()
    for name in ("__init__.py", "__main__.py"):
        (tmp_path / "trackline" / name).write_text((ROOT / "trackline" / name).read_text())
    done = python("-m", "trackline", "--version", cwd=tmp_path)
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert "is not Trackline's: another package named 'pipeline' was installed over it" in line


def test_importing_takes_no_library(tmp_path) -> None:
    code = "import sys, trackline; print(sorted({'numpy', 'cv2', 'yaml', 'rich'} & {*sys.modules}))"
    assert python("-c", code, cwd=tmp_path).stdout == "[]\n"


def test_the_metadata_say_what_an_index_and_a_reader_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for key in ("description", "authors", "license", "requires-python", "keywords", "readme"):
        assert project[key], key
    for file in (project["readme"], *project["license-files"]):
        assert (ROOT / file).read_text("utf-8").strip()
    assert "Typing :: Typed" in project["classifiers"]
    assert not [each for each in project["classifiers"] if each.startswith("License ::")]
    assert any(need.startswith("opencv-python-headless") for need in project["dependencies"])
    # Whose wheel is used where both are there is left to chance, so the plain one is never needed.
    assert not any(need.startswith("opencv-python>") for need in project["dependencies"])
    assert project["optional-dependencies"]["window"][0].startswith("opencv-python>")
