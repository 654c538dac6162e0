"""Install hints: every command that an error names works as printed."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.paths import ROOT

from pipeline.core import install_hints
from pipeline.core.install_hints import install_command, is_opencv, pip_command

HINTS = Path(install_hints.__file__)
METADATA = (
    "Metadata-Version: 2.4\nName: trackline\nVersion: 0.1.0\n"
    "Requires-Dist: numpy>=2.0\n"
    'Requires-Dist: fastapi>=0.165; extra == "live"\n'
    'Requires-Dist: psycopg[binary]>=3.2 ; python_version > "3" and extra == "postgres"\n'
)


def installed(tmp_path: Path, url: str | None) -> Path:
    """Return a folder that looks like site-packages after an installation from `url`."""
    site = tmp_path / "site"
    (site / "pipeline" / "core").mkdir(parents=True)
    shutil.copy(HINTS, site / "pipeline" / "core" / HINTS.name)
    information = site / "trackline-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(METADATA)
    if url is not None:
        (information / "direct_url.json").write_text(json.dumps({"url": url}))
    return site


def hint(site: Path, extra: str, cwd: Path) -> list[str]:
    """Return the words of the command after `install`."""
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.path.insert(0, sys.path[0] + "
        "'/pipeline/core'); import install_hints; print(install_hints.install_command(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, extra]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    words = shlex.split(done.stdout)
    return words[words.index("install") + 1 :]


def test_from_an_editable_checkout_it_stays_editable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hints named `trackline[live]`, which is on no index."""
    monkeypatch.chdir(ROOT)
    assert install_command("live").endswith(" install -e '.[live]'")
    monkeypatch.chdir(ROOT.parent)
    assert f"./{ROOT.name}[live]" in install_command("live")


@pytest.mark.slow
def test_a_checkout_elsewhere_is_named_by_its_path(tmp_path: Path) -> None:
    checkout = tmp_path / "my clones" / "trackline"
    checkout.mkdir(parents=True)
    (checkout / "pyproject.toml").write_text('[project]\nname = "trackline"\n')
    site = installed(tmp_path, checkout.as_uri())
    assert hint(site, "live", tmp_path / "site") == [f"{checkout}[live]"]
    assert hint(site, "live", checkout) == [".[live]"]


def test_a_wheel_is_named_by_its_path(tmp_path: Path) -> None:
    wheel = tmp_path / "trackline-0.1.0-py3-none-any.whl"
    zipfile.ZipFile(wheel, "w").close()
    site = installed(tmp_path, wheel.as_uri())
    assert hint(site, "live", tmp_path) == [f"./{wheel.name}[live]"]


@pytest.mark.parametrize("url", [None, "file:///nowhere/trackline", "https://example.org/t.whl"])
@pytest.mark.slow
def test_without_its_origin_the_requirements_themselves_are_named(
    tmp_path: Path, url: str | None
) -> None:
    site = installed(tmp_path, url)
    assert hint(site, "live", tmp_path) == ["fastapi>=0.165"]
    assert hint(site, "postgres", tmp_path) == ["psycopg[binary]>=3.2"]


@pytest.mark.slow
def test_the_pip_is_that_of_the_interpreter() -> None:
    words = shlex.split(pip_command("torch", "x>=1"))
    assert words[-3:] == ["install", "torch", "x>=1"]
    pip = words[: words.index("install")]
    done = subprocess.run(
        [*pip, "--version"] if pip != ["pip"] else [sys.executable, "-m", "pip", "--version"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_hint_goes_through_this_module() -> None:
    """One place decides what works; no other module writes a command of its own."""
    wrong = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "pipeline").rglob("*.py")
        if path != HINTS and "pip install" in path.read_text("utf-8")
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (ImportError("libGL.so.1: cannot open shared object file"), True),
        (ImportError("libgthread-2.0.so.0: cannot open shared object file"), True),
        (ModuleNotFoundError("No module named 'cv2'", name="cv2"), True),
        (ImportError("libcuda.so.1: cannot open shared object file"), False),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), False),
        (OSError("libGL.so.1"), False),
    ],
)
def test_an_opencv_that_does_not_load_is_recognised(error: BaseException, is_it: bool) -> None:
    assert is_opencv(error) is is_it
