"""Trackline: cameras and video files in, tracked objects out. The name to import.

for result in trackline.track("video.mp4"):
    print(result.frame.pts_s, result.tracks.track_id, result.tracks.xyxy)

The code lies in the package `pipeline`, beside this one. That name is a common one, so it is not
looked up on the path: our own files are loaded, also where a `pipeline.py` lies in the current
folder. `trackline.x.y` is the module `pipeline.x.y` itself, not a second copy of it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline import *  # noqa: F403
    from pipeline import __version__ as __version__

_INNER = "pipeline"
_FILE = Path(__file__).resolve().parent.parent / _INNER / "__init__.py"


def _load_inner() -> ModuleType:
    """Return our package `pipeline`, whatever else of that name is on the path.

    Raises ImportError, naming the file, where another `pipeline` is in use in this program already
    or was installed over ours: from inside they look the same.
    """
    there = sys.modules.get(_INNER)
    if there is None:
        spec = spec_from_file_location(
            _INNER, _FILE, submodule_search_locations=[str(_FILE.parent)]
        )
        if spec is None or spec.loader is None or not _FILE.is_file():
            raise ImportError(f"trackline: {_FILE} is missing; install trackline again")
        there = sys.modules[_INNER] = module_from_spec(spec)
        try:
            spec.loader.exec_module(there)
        except BaseException:
            del sys.modules[_INNER]
            raise
        if getattr(there, "__distribution__", None) != "trackline":
            del sys.modules[_INNER]
            raise ImportError(
                f"trackline: {_FILE} is not Trackline's: another package named 'pipeline' was "
                "installed over it; uninstall that one and install trackline again"
            )
        return there
    if getattr(there, "__distribution__", None) != "trackline":
        file = getattr(there, "__file__", None) or next(iter(getattr(there, "__path__", ["?"])))
        raise ImportError(
            f"trackline: {file} was imported as 'pipeline', a name that Trackline uses inside; "
            "rename it, or import trackline in a program of its own"
        )
    return there


class _SameModules(MetaPathFinder, Loader):
    """Answers `import trackline.x.y` with the module `pipeline.x.y`."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        """Return a spec for our submodules; others are looked for as usual."""
        del path, target
        if not fullname.startswith(f"{__name__}.") or fullname == f"{__name__}.__main__":
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module itself; raises ModuleNotFoundError under the name that was asked."""
        inner = _INNER + spec.name.removeprefix(__name__)
        try:
            module = import_module(inner)
        except ModuleNotFoundError as error:
            if error.name != inner:
                raise
            raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name) from None
        # The import system is about to write down this spec as the module's own.
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back; it has run already."""
        asked = module.__spec__
        if asked is not None:
            module.__spec__ = asked.loader_state


_inner = _load_inner()
if not any(type(each).__name__ == "_SameModules" for each in sys.meta_path):
    sys.meta_path.insert(0, _SameModules())

__all__ = [*_inner.__all__]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Return a public name of the package, imported when it is first used."""
    try:
        return getattr(_inner, name)
    except AttributeError:
        raise AttributeError(f"module 'trackline' has no attribute '{name}'") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_inner)})
