"""The package's modules and what each imports, read from the source and not by importing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.paths import PACKAGE


@dataclass(frozen=True)
class Import:
    """One imported module, where it stands and when it is imported."""

    target: str
    where: str
    at_import_time: bool
    for_types_only: bool


def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name below it ("sinks.csv")."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = path
    return found


MODULES = modules()
ROOMS = {name.partition(".")[0] for name in MODULES if "." in name}


def room(name: str) -> str:
    return name.partition(".")[0]


def is_package(name: str) -> bool:
    return MODULES[name].name == "__init__.py"


def is_helper(name: str) -> bool:
    """Return whether a module of a plug-in room is shared: in a subfolder, or `_named`."""
    return name.count(".") > 1 or is_package(name) or name.rpartition(".")[2].startswith("_")


@cache
def imports(name: str) -> tuple[Import, ...]:
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    return tuple(imports_in(name, tree, at_import_time=True, for_types_only=False))


def imports_in(
    name: str, tree: ast.AST, *, at_import_time: bool, for_types_only: bool
) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):
            continue  # an expression holds no import
        for target in targets(name, node):
            where = f"pipeline/{MODULES[name].relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
            yield Import(target, where, at_import_time and not for_types_only, for_types_only)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        yield from imports_in(
            name,
            node,
            at_import_time=at_import_time and not inside,
            for_types_only=for_types_only or typing,
        )


def targets(name: str, node: ast.AST) -> list[str]:
    """Return the dotted names a statement imports; "pipeline.x" for our own."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        package = ["pipeline", *name.split(".")]
        if MODULES[name].name == "__init__.py":
            package.append("")
        base = ".".join([*package[: -node.level], *([base] if base else [])])
    # `from pipeline.sources import file` imports a module, `from pipeline.api import run` not.
    below = base.removeprefix("pipeline").lstrip(".")
    return [
        f"{base}.{alias.name}"
        if base.startswith("pipeline") and ".".join(filter(None, [below, alias.name])) in MODULES
        else base
        for alias in node.names
    ]


def ours(one: Import) -> str | None:
    """Return the imported module below the package, "" for the package itself, None for others."""
    if one.target != "pipeline" and not one.target.startswith("pipeline."):
        return None
    return one.target.removeprefix("pipeline").lstrip(".")
