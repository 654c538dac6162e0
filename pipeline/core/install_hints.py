"""Install commands for error messages: each works as printed, in the running environment.

The package is not on an index, so `pip install 'trackline[live]'` would find nothing (or something
else). The commands name the origin of this installation instead: a checkout, a wheel's path, or, if
neither exists any more, the extra's own requirements.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TypeGuard
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "trackline"
GUI_WHEEL, HEADLESS_WHEEL = "opencv-python", "opencv-python-headless"

_CHECKOUT = Path(__file__).resolve().parents[2]


def install_command(extra: str) -> str:
    """Return the command that installs an extra of this package ("live") into this environment."""
    where, editable = _origin()
    if where is not None:
        return pip_command(*(["-e"] if editable else []), f"{where}[{extra}]")
    return pip_command(*(_requirements(extra) or [f"{DISTRIBUTION}[{extra}]"]))


def pip_command(*arguments: str) -> str:
    """Return `pip install ARGUMENTS` with the pip that belongs to this interpreter."""
    return f"{_pip()} install {' '.join(map(shlex.quote, arguments))}"


def window_command() -> str:
    """Return the command that gives OpenCV its windows.

    Both OpenCV wheels write to the folder `cv2`, and the one installed last wins. pip installs the
    extra over the headless one; if both are installed already, reinstalling decides.
    """
    if is_installed(GUI_WHEEL):
        return pip_command("--force-reinstall", "--no-deps", GUI_WHEEL)
    return install_command("window")


def headless_command() -> str:
    """Return the command after which OpenCV needs no desktop libraries (libGL, glib)."""
    return pip_command("--force-reinstall", "--no-deps", HEADLESS_WHEEL)


def broken_opencv(error: ImportError) -> str:
    """Return one line about an OpenCV that does not load, with the command that repairs it."""
    why = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"OpenCV cannot be loaded: {why}; {headless_command()}"


def is_opencv(error: BaseException) -> TypeGuard[ImportError]:
    """Return whether an import failed on OpenCV, or on a library that OpenCV needs."""
    if not isinstance(error, ImportError):
        return False
    return error.name == "cv2" or "/cv2/" in (error.path or "") or bool(_DESKTOP.search(str(error)))


_DESKTOP = re.compile(r"\b(libGL|libgthread|libEGL|libX11|libSM|libICE|libxcb)[\w.-]*\.so|\bcv2\b")
"""System libraries that the OpenCV wheel with windows needs, as the loader names them."""


def gui_toolkit(build_information: str) -> str | None:
    """Return OpenCV's window toolkit ("QT5"), None for a headless build."""
    found = re.search(r"^\s*GUI:\s*(\S+)", build_information, re.MULTILINE)
    return found[1] if found and found[1].upper() != "NONE" else None


def is_installed(package: str) -> bool:
    """Return whether a distribution is installed, without importing it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _origin() -> tuple[str | None, bool]:
    """Return the origin of this installation as a pip argument, and whether it is editable."""
    if _is_checkout(_CHECKOUT):
        return _shown(_CHECKOUT), True
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        text = None
    url = urlsplit(json.loads(text)["url"] if text else "")
    from urllib.request import url2pathname  # loads an HTTP client, which no start should

    path = Path(url2pathname(unquote(url.path)))
    if url.scheme == "file" and (path.is_file() or _is_checkout(path)):
        return _shown(path), False
    return None, False


def _is_checkout(folder: Path) -> bool:
    try:
        return f'name = "{DISTRIBUTION}"' in (folder / "pyproject.toml").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _shown(path: Path) -> str:
    """Return the shortest path that works: "." in the checkout itself, "./dist/a.whl" below it."""
    try:
        below = path.relative_to(Path.cwd().resolve()).as_posix()
    except (OSError, ValueError):
        return str(path)
    return below if below == "." else f"./{below}"


def _requirements(extra: str) -> list[str]:
    """Return the requirements of an extra, from the package's metadata."""
    from importlib.metadata import Distribution, PackageNotFoundError

    try:
        lines = Distribution.from_name(DISTRIBUTION).requires or []
    except PackageNotFoundError:
        return []
    wanted = re.compile(rf"^(.+?)\s*;.*\bextra\s*==\s*['\"]{re.escape(extra)}['\"]")
    return [found[1].replace(" ", "") for line in lines if (found := wanted.match(line))]


def _pip() -> str:
    """Return how to call this interpreter's pip: "pip" alone if the shell finds that one."""
    python = Path(sys.executable)
    pip = python.with_name("pip.exe" if os.name == "nt" else "pip")
    if not pip.is_file():
        return f"{shlex.quote(_below_here(python))} -m pip"
    if (found := shutil.which("pip")) and Path(found) == pip:
        return "pip"
    return shlex.quote(_below_here(pip))


def _below_here(path: Path) -> str:
    """Return the path relative to the current folder if it lies below it, else in full."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)
