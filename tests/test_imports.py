"""Who may import whom: the picture in docs/architecture.md, walked without importing anything.

A module that is not in the picture yet fails with a line that says so: whoever adds one decides
where it stands.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest
from support.import_walk import (
    MODULES,
    PACKAGE,
    ROOMS,
    imports,
    imports_in,
    is_helper,
    is_package,
    ours,
    room,
    targets,
)

# Arrows only down: each room may import itself and what is named after it.
CORE = {"core"}
BELOW_PLUGINS = CORE | {"models", "events"}
PLUGIN_ROOMS = {"sources", "detectors", "classifiers", "embedders", "trackers", "sinks"}
BELOW_CONFIG = BELOW_PLUGINS | PLUGIN_ROOMS | {"engine"}
BELOW_API = BELOW_CONFIG | {"config"}
BELOW_CLI = BELOW_API | {"report", "api", "tools", "server", "archive"}
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "models": CORE,
    "events": CORE,
    "engine": CORE,
    **dict.fromkeys(PLUGIN_ROOMS, BELOW_PLUGINS),
    "config": BELOW_CONFIG,
    "report": BELOW_API,
    "api": BELOW_API | {"report"},
    "tools": BELOW_API | {"report", "api"},
    "server": BELOW_API | {"report", "api"},
    "archive": BELOW_API | {"report", "api"},
    "interop": CORE,
    "cli": BELOW_CLI,
    "__main__": {"cli"},
    "__init__": BELOW_CLI | {"interop"},
}
FORMATS = "archive.formats"
"""The room of export formats, inside another one: its plug-ins keep the rules of plug-ins."""
# The package's own name holds the version; only what stands above everything may ask it.
MAY_IMPORT_THE_PACKAGE = {"cli", "report", "server", "__main__"}

HEAVY = {
    "cv2",
    "av",
    "openvino",
    "torch",
    "torchvision",
    "ultralytics",
    "nncf",
    "onnx",
    "onnxruntime",
    "sqlalchemy",
    "paho",
    "pyarrow",
    "fsspec",
    "upath",
    "ray",
    "pandas",
    "polars",
    "supervision",
}
MAY_IMPORT_HEAVY = PLUGIN_ROOMS | {"models", "events", "server", "tools", "archive"}
CORE_LIBRARIES = {"numpy", "pydantic", "pydantic_core", "yaml"}
"""What the core may import at import time besides the standard library."""


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "core"])
def test_the_core_imports_only_its_four_libraries(name: str) -> None:
    wrong = [
        f"{one.where}: {one.target}"
        for one in imports(name)
        if one.at_import_time
        and (top := one.target.partition(".")[0]) not in CORE_LIBRARIES | {"pipeline"}
        and top not in sys.stdlib_module_names
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.slow
def test_imports_go_down(name: str) -> None:
    here = room(name)
    assert here in ALLOWED, f"pipeline.{here} is not in the picture: say where it stands in ALLOWED"
    wrong = []
    for one in imports(name):
        target = ours(one)
        if target is None:
            continue
        if target == "":
            fine = here in MAY_IMPORT_THE_PACKAGE
        elif room(target) == here and here in ROOMS:
            # Plug-ins never see each other, only their room's helpers. Other rooms are one thing.
            fine = here not in PLUGIN_ROOMS or is_helper(target) or target == here
        else:
            fine = room(target) in ALLOWED[here]
        if not fine:
            wrong.append(f"{one.where}: pipeline.{name} must not import {one.target}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(f"{FORMATS}.")])
def test_formats_import_only_the_core_and_what_they_share(name: str) -> None:
    wrong = [
        f"{one.where}: {target}"
        for one in imports(name)
        if (target := ours(one)) is not None
        and room(target) != "core"
        and not target.startswith(f"{FORMATS}._")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "name", [name for name in MODULES if room(name) not in MAY_IMPORT_HEAVY | CORE]
)
def test_only_plugins_import_heavy_libraries(name: str) -> None:
    wrong = [
        f"{one.where}: {one.target}"
        for one in imports(name)
        if one.target.partition(".")[0] in HEAVY and not one.for_types_only
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_by_a_detour() -> None:
    below = {
        name: {
            target
            for one in imports(name)
            if one.at_import_time and (target := ours(one)) and target in MODULES
        }
        for name in MODULES
    }

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        for target in below[name] - done:
            walk(target, (*path, name))
        done.add(name)

    done: set[str] = set()
    for name in MODULES:
        walk(name, ())


PLUGINS = [
    name
    for name in MODULES
    if room(name) in PLUGIN_ROOMS
    and name.count(".") == 1
    and not name.rpartition(".")[2].startswith("_")
    and not is_package(name)
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("also", [[], PLUGINS], ids=["the package", "every plug-in"])
@pytest.mark.slow
def test_importing_loads_no_heavy_library(also: list[str]) -> None:
    """Users of one plug-in must not wait, nor have installed, what another one needs."""
    wanted = ["pipeline", *(f"pipeline.{name}" for name in also)]
    code = (
        "import importlib, json, sys\n"
        f"for name in {wanted!r}: importlib.import_module(name)\n"
        "sys.modules['pipeline'].Pipeline, sys.modules['pipeline'].track\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(run.stdout))
    slow = HEAVY | {"rich", "scipy", "pandas", "matplotlib", "aiohttp", "fastapi", "asyncio"}
    assert "numpy" in loaded
    assert not loaded & slow


# -- the test itself ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import av.video", ["av.video"]),
        ("from pipeline import engine, __version__", ["pipeline.engine", "pipeline"]),
        ("from pipeline.core.data import Frame", ["pipeline.core.data"]),
        ("from pipeline.detectors.common import nms", ["pipeline.detectors.common.nms"]),
        ("from .common import nms", ["pipeline.detectors.common.nms"]),
        ("from .common.nms import suppress", ["pipeline.detectors.common.nms"]),
        ("from ..engine import Pipeline", ["pipeline.engine"]),
    ],
)
def test_every_way_to_import_is_seen(statement: str, expected: list[str]) -> None:
    assert targets("detectors.yolo", ast.parse(statement).body[0]) == expected


def test_imports_at_run_time_and_for_types_are_distinguished() -> None:
    text = (
        "import a\nif TYPE_CHECKING:\n    import b\nclass C:\n    import c\n"
        "    def g(self):\n        import d\n"
        "try:\n    import e\nexcept ImportError:\n    import f\n"
    )
    found = {
        one.target: (one.at_import_time, one.for_types_only)
        for one in imports_in("engine", ast.parse(text), at_import_time=True, for_types_only=False)
    }
    assert found == {
        "a": (True, False),
        "b": (False, True),
        "c": (True, False),
        "d": (False, False),
        "e": (True, False),
        "f": (True, False),
    }
