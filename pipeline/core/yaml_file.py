"""YAML: loading with errors that name file and line, and writing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import ConfigError, reading


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file as a mapping; raises ConfigError naming the file and line."""
    with reading(path, ConfigError):
        text = path.read_text(encoding="utf-8")
    try:
        tree = parse_yaml(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        shown = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid YAML: {shown}") from None
    except RecursionError:
        raise ConfigError(f"{path}: sections are nested too deeply") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: want sections (sources, detector, ...), got {_kind(tree)}")
    return tree


def dump(tree: Mapping[str, Any]) -> str:
    """Return `tree` as YAML text that `load_config` can read."""
    return yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """YAML loader that refuses a duplicate key; PyYAML silently keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if (one := (key.tag, str(key.value))) in seen and isinstance(key, yaml.ScalarNode):
                problem = f"key '{key.value}' is there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(one)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text; a key given twice is an error."""
    return yaml.load(text, _Loader)


def _kind(tree: object) -> str:
    return "a list" if isinstance(tree, list) else f"'{tree}'"
