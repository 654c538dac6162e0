"""Rules every test file keeps: no test file imports another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT

TESTS = ROOT / "tests"
TREES = {
    str(path.relative_to(TESTS)): ast.parse(path.read_text("utf-8"))
    for path in sorted(TESTS.rglob("*.py"))
}
TEST_MODULES = {Path(name).stem for name in TREES if not name.startswith("support/")}


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


def test_no_test_file_imports_another() -> None:
    """What two files need is in tests/support; a file that is renamed then breaks no other."""
    wrong = [f"{name}, {each}" for name, tree in TREES.items() for each in imported_tests(tree)]
    assert not wrong, "move what is shared to tests/support/:\n" + "\n".join(wrong)


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
