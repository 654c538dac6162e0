"""Rules every test file keeps: no test file imports another, and only public names are used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT

TESTS = ROOT / "tests"
NAMES = sorted(str(path.relative_to(TESTS)) for path in TESTS.rglob("*.py"))
ACCESSORS = {"getattr", "setattr", "hasattr", "delattr"}

# Names of other people's code that begin with an underscore and have no public twin.
EXCEPTIONS = {
    "os._exit": "ends a forked child without the parent's clean-up, as documented",
    "out._obj": "what ctypes.byref refers to: a fake library writes its answer there",
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_names(tree: ast.AST) -> set[str]:
    """Return the names that the classes and functions of a test file define themselves."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and on_self(node):
            found.add(node.attr)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def on_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    """The test files by name. Not parsed on import, which every worker of every run would do."""
    return {name: ast.parse((TESTS / name).read_text("utf-8")) for name in NAMES}


TEST_MODULES = {Path(name).stem for name in NAMES if not name.startswith("support/")}


def imported_tests(tree: ast.AST) -> Iterator[str]:
    """Yield the test files and conftests that are imported, and imports by way of `tests`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module or ''}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            parts = module.split(".")
            test = any(part.startswith("test_") or part == "conftest" for part in parts[:-1])
            if test or parts[0] in TEST_MODULES or parts[0] == "tests" or parts[-1] in TEST_MODULES:
                yield f"line {node.lineno}: {module}"


def private_names(tree: ast.AST, own: set[str]) -> Iterator[str]:
    """Yield private names of others: attributes, imports, and names given to getattr or setattr.

    Modules may begin with an underscore: they are private to a room of the package, not to a file.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            text = ast.unparse(node)
            if not (on_self(node) and node.attr in own) and text not in EXCEPTIONS:
                yield f"line {node.lineno}: {text}"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = ROOT.joinpath(*(node.module or "").split("."), f"{alias.name}.py")
                if is_private(alias.name) and not module.is_file():
                    yield f"line {node.lineno}: {node.module}.{alias.name}"
        elif isinstance(node, ast.Call):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
            name = function if isinstance(function, str) else ast.unparse(function)
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            for text in texts if name in ACCESSORS else ():
                if isinstance(text, str) and is_private(text.rpartition(".")[2]):
                    yield f"line {node.lineno}: {name} of {text}"


@pytest.mark.slow
def test_no_test_file_imports_another(trees: dict[str, ast.Module]) -> None:
    """What two files need is in tests/support; a file that is renamed then breaks no other."""
    wrong = [f"{name}, {each}" for name, tree in trees.items() for each in imported_tests(tree)]
    assert not wrong, "move what is shared to tests/support/:\n" + "\n".join(wrong)


@pytest.mark.slow
def test_tests_use_public_names_only(trees: dict[str, ast.Module]) -> None:
    """Tests of privates hold a refactoring up, and say nothing of what users get."""
    own = set().union(*map(own_names, trees.values()))
    wrong = [f"{name}, {each}" for name, tree in trees.items() for each in private_names(tree, own)]
    assert not wrong, "\n".join(wrong)


# -- the rules themselves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "caught"),
    [
        ("from test_docs import PAGES", True),
        ("import test_docs", True),
        ("from conftest import shared", True),
        ("from tests.conftest import shared", True),
        ("from tests import conftest", True),
        ("from tests.support.paths import ROOT", True),
        ("def f():\n    from test_docs import PAGES", True),
        ("from support.paths import ROOT", False),
        ("from support import rtsp_server", False),
        ("import pytest", False),
    ],
)
def test_every_way_to_import_a_test_file_is_seen(code: str, caught: bool) -> None:
    assert bool(list(imported_tests(ast.parse(code)))) == caught


@pytest.mark.parametrize(
    ("code", "caught"),
    [
        ("sink._writers", True),
        ("build(config)._sources.open_files()", True),
        ("tracker._tracks = []", True),
        ("self._unknown", True),
        ("from pipeline.cli.main import _Formatter", True),
        ("monkeypatch.setattr(time, '_sleep', print)", True),
        ("monkeypatch.setattr('pipeline.api._run', print)", True),
        ("getattr(sink, '_files')", True),
        ("self._known = 1\nself._known", False),
        ("def _help(self): ...\nself._help()", False),
        ("from pipeline.trackers import _kalman", False),
        ("from pipeline.sinks._files import OutputFolder", False),
        ("sink.__class__", False),
        ("os._exit(0)", False),
    ],
)
def test_every_way_to_a_private_name_is_seen(code: str, caught: bool) -> None:
    tree = ast.parse(code)
    assert bool(list(private_names(tree, own_names(tree)))) == caught
