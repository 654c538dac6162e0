"""Checks of the machine: cores, memory, open files, screen, disk."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.core import cpu_count as processors
from pipeline.core.install_hints import (
    GUI_WHEEL,
    HEADLESS_WHEEL,
    broken_opencv,
    gui_toolkit,
    headless_command,
    window_command,
)
from pipeline.models.cache import cache_folder
from pipeline.tools.doctor import limits
from pipeline.tools.doctor.findings import Finding, installed

MACHINE, SCREEN, FILES = "machine", "screen", "files"
FILES_PER_SOURCE = 8
"""Descriptors one camera may need at worst, with what is written about it."""
_LITTLE_MEMORY = 2**30
_LITTLE_DISK = 2**30


def machine(root: Path = Path("/")) -> Iterable[Finding]:
    """Yield the processor, its cores and the memory, as far as this process may use them."""
    yield Finding(MACHINE, "processor", "works", limits.cpu_name(root))
    yield cores(processors.cores(root))
    if (memory := limits.memory_of_machine(root)) is not None:
        yield memory_left(*memory, limits.memory_limit(root))


def cores(found: processors.Cores) -> Finding:
    """Return how many cores there are to use, and what takes the others away."""
    values = {"machine": found.machine, "allowed": found.allowed, "quota": found.quota}
    why = []
    if found.allowed < found.machine:
        why.append(f"affinity allows {found.allowed}")
    if found.rationed:
        why.append(f"the control group's quota is {found.quota:g}")
    words = f"{found.usable:g} of {found.machine}" + (f": {', '.join(why)}" if why else "")
    if found.rationed:
        words += "; threads beyond the quota are stopped now and then"
    return Finding(MACHINE, "cores", "limited" if why else "works", words, values)


def memory_left(total: int, available: int, limit: int | None) -> Finding:
    """Return how much memory there is, of the machine or of the control group."""
    values = {"total": total, "available": available, "limit": limit}
    gib = f"{available / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if limit is not None and limit < total:
        gib += f"; the control group allows {limit / 2**30:.1f} GiB"
    little = min(available, limit or available) < _LITTLE_MEMORY
    return Finding(MACHINE, "memory", "limited" if little else "works", gib, values)


def open_files(limit: tuple[int, int] | None) -> Iterable[Finding]:
    """Yield how many files may be open, and how many cameras that is enough for."""
    if limit is None:
        return
    soft, hard = limit
    values = {"soft": soft, "hard": hard}
    cameras = soft // FILES_PER_SOURCE
    words = f"{soft} at a time (ulimit -n goes up to {hard}): enough for {cameras} sources"
    yield Finding(FILES, "open files", "works" if cameras >= 32 else "limited", words, values)


def model_cache(folder: Path) -> Finding:
    """Return where weights and compiled networks are kept, and whether more can be written."""
    kept = [each for each in folder.rglob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in kept)
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    values = {"path": str(folder), "files": len(kept), "bytes": size, "free_bytes": free}
    words = f"{folder}: {len(kept)} files, {size / 1e6:.0f} MB; {free / 1e9:.1f} GB free"
    if not os.access(there, os.W_OK):
        words += "; not writable: set TRACKLINE_CACHE to a folder that is"
        return Finding(FILES, "model cache", "broken", words, values)
    return Finding(
        FILES, "model cache", "limited" if free < _LITTLE_DISK else "works", words, values
    )


def files() -> Iterable[Finding]:
    """Yield what concerns files."""
    yield from open_files(limits.open_files())
    yield model_cache(cache_folder())


def opencv() -> Iterable[Finding]:
    """Yield whether a window can be shown; raises ImportError where OpenCV cannot be loaded."""
    try:
        import cv2
    except ImportError as error:
        words = broken_opencv(error)
        yield Finding(SCREEN, "opencv", "broken", words, {"wheels": opencv_wheels()})
        return
    toolkit = gui_toolkit(cv2.getBuildInformation())
    yield window(cv2.__version__, toolkit, opencv_wheels(), has_screen=_has_screen())


def opencv_wheels() -> dict[str, str]:
    """Return {distribution: version} of the OpenCV wheels that are installed; one would do."""
    found = {name: installed(name) for name in (HEADLESS_WHEEL, GUI_WHEEL)}
    return {name: version for name, version in found.items() if version is not None}


def window(
    version: str, toolkit: str | None, wheels: Mapping[str, str], *, has_screen: bool
) -> Finding:
    """Return whether `--show` works, from what OpenCV was built with and what is attached.

    Both wheels fill the folder `cv2`. Where both are installed one lies over the other, and
    removing or updating the lower one takes files away from the upper one.
    """
    values = {"opencv": version, "toolkit": toolkit, "screen": has_screen, "wheels": {**wheels}}
    words = f"OpenCV {version}"
    if len({*wheels.values()}) > 1:
        both = " and ".join(f"{name} {each}" for name, each in wheels.items())
        command = headless_command() if toolkit is None else window_command()
        words += f", of two wheels that share a folder and differ ({both}): {command}"
        return Finding(SCREEN, "window", "limited", words, values)
    if toolkit is None:
        over = f" (over {GUI_WHEEL}, which is installed, too)" if GUI_WHEEL in wheels else ""
        words += f", a headless build{over}: --show needs {window_command()}"
        return Finding(SCREEN, "window", "absent", words, values)
    if not has_screen:
        words += f" with {toolkit}, but no screen here: --show cannot be used"
        return Finding(SCREEN, "window", "absent", words, values)
    return Finding(SCREEN, "window", "works", f"{words} with {toolkit}: --show works", values)


def _has_screen() -> bool:
    on_unix_desktop = sys.platform in ("win32", "darwin")
    return on_unix_desktop or any(os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY"))
