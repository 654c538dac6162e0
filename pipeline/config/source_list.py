"""Edits of the list `sources` in a configuration file's text; everything else in it is kept.

Only the lines of one entry are rewritten: comments, order and formatting of everything else stay.
Each change is verified by reading the new text: the result is the old configuration with that one
change, or an error.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pipeline.core.errors import ConfigError
from pipeline.core.yaml_file import parse_yaml

_KEY = "sources"
_INDENT = 2
"""Indentation of entries in a newly created list."""
_BY_HAND = f"{_KEY}: its layout cannot be edited automatically"

Entry = str | Mapping[str, Any]


def sources_of(text: str) -> Sequence[Entry]:
    """Return the entries of the list; raises ConfigError."""
    tree = _parsed(text) or {}
    entries = tree.get(_KEY) if isinstance(tree, dict) else None
    if not (entries is None or isinstance(entries, list)):
        raise ConfigError(f"{_KEY}: want a list")
    return entries or []


def with_source(text: str, entry: Mapping[str, Any]) -> str:
    """Return the text with a source added after the others; raises ConfigError."""
    return _Change(text).add(entry)


def without_source(text: str, index: int) -> str:
    """Return the text without one source; raises ConfigError."""
    return _Change(text).remove(index)


def with_changed_source(text: str, index: int, changes: Mapping[str, Any]) -> str:
    """Return the text with keys of one source changed, or removed if their value is None.

    A source written as text becomes a mapping. Raises ConfigError.
    """
    return _Change(text).change(index, changes)


class _Change:
    """One change of a configuration's text."""

    def __init__(self, text: str) -> None:
        self._text = text if not text or text.endswith("\n") else f"{text}\n"
        self._tree = _parsed(self._text) or {}
        if not isinstance(self._tree, dict):
            raise ConfigError("want sections (sources, detector, ...)")
        root = yaml.compose(self._text, yaml.SafeLoader)
        self._root: Any = root if isinstance(root, yaml.MappingNode) else None
        pairs: Any = [] if self._root is None else self._root.value
        found: Any = next((pair for pair in pairs if pair[0].value == _KEY), (None, None))
        self._key: Any = found[0]
        self._list: Any = found[1]
        self._entries = sources_of(self._text)
        starts = [each.start_mark.index for each in self._list.value] if self._entries else []
        if starts != sorted(set(starts)):  # an alias has the position of its anchor
            raise ConfigError(_BY_HAND)

    def add(self, entry: Mapping[str, Any]) -> str:
        wanted = [*self._entries, dict(entry)]
        if self._is_flow and (self._entries or self._root.flow_style):
            return self._checked(self._flow([*self._raw(), json.dumps(entry)]), wanted)
        if self._entries:
            _, end = self._lines_of(len(self._entries) - 1)
            return self._checked(self._spliced(end, end, _rendered(entry, self._column)), wanted)
        if self._key is not None:
            new = f"\n{_rendered(entry, _INDENT)}".rstrip("\n")
            start, end = self._empty_value()
            return self._checked(self._text[:start] + new + self._text[end:], wanted)
        if self._root is not None and self._root.flow_style:
            raise ConfigError(f'{_KEY}: needed but not given; write "{_KEY}": [] first')
        return self._checked(f"{self._text}{_KEY}:\n{_rendered(entry, _INDENT)}", wanted)

    def remove(self, index: int) -> str:
        self._check_index(index)
        wanted = [each for i, each in enumerate(self._entries) if i != index]
        if self._is_flow:
            kept = [each for i, each in enumerate(self._raw()) if i != index]
            return self._checked(self._flow(kept), wanted)
        text = self._spliced(*self._lines_of(index), "")
        if not wanted:  # a key without a value would not mean that there should be none
            colon = self._colon()
            text = f"{text[:colon]} []{text[colon:]}"
        return self._checked(text, wanted)

    def change(self, index: int, changes: Mapping[str, Any]) -> str:
        self._check_index(index)
        before = self._entries[index]
        if not isinstance(before, str | Mapping):
            raise ConfigError(f"{_KEY}.{index}: want a source, got {before!r}")
        mapping = {"source": before} if isinstance(before, str) else before
        merged = {**mapping, **changes}
        changed = {key: value for key, value in merged.items() if value is not None}
        wanted = [changed if i == index else each for i, each in enumerate(self._entries)]
        if self._is_flow:
            raw = self._raw()
            raw[index] = json.dumps(changed)
            return self._checked(self._flow(raw), wanted)
        start, end = self._lines_of(index)
        lines = self._text.splitlines(keepends=True)[start:end]
        new = _edited(lines, self._column, changes)
        return self._checked(self._spliced(start, end, new), wanted)

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self._entries):
            raise ConfigError(f"{_KEY}: has no entry {index}")

    @property
    def _is_flow(self) -> bool:
        """Return whether the list is written in brackets."""
        return isinstance(self._list, yaml.SequenceNode) and bool(self._list.flow_style)

    @property
    def _column(self) -> int:
        """Return the column of the list's dashes."""
        column: int = self._list.start_mark.column
        return column

    def _raw(self) -> list[str]:
        """Return the entries of a list in brackets as written."""
        return [
            self._text[each.start_mark.index : each.end_mark.index] for each in self._list.value
        ]

    def _flow(self, entries: Sequence[str]) -> str:
        """Return the text with other entries in the list in brackets, each on its own line."""
        inner = ",\n".join(f"  {each}" for each in entries)
        shown = f"[\n{inner}\n]" if entries else "[]"
        if self._root is not None and not self._root.flow_style:
            shown = shown.replace("\n", "\n  ")  # the closing bracket belongs behind the key
        start, end = self._list.start_mark.index, self._list.end_mark.index
        return self._text[:start] + shown + self._text[end:]

    def _empty_value(self) -> tuple[int, int]:
        """Return the span of a key's empty value, including the space before it."""
        colon = self._colon()
        if self._is_flow or (self._list.end_mark.index > self._list.start_mark.index):
            return colon, self._list.end_mark.index
        return colon, colon

    def _colon(self) -> int:
        """Return the position after the key's colon."""
        return self._text.index(":", self._key.end_mark.index) + 1

    def _lines_of(self, index: int) -> tuple[int, int]:
        """Return the first line of an entry, and the one after its last.

        Comments after an entry belong to the next one, unless they are indented like its keys.
        """
        lines = self._text.splitlines()
        items = self._list.value
        start = self._dash(lines, items[index].start_mark.line)
        if index + 1 < len(items):
            end = self._dash(lines, items[index + 1].start_mark.line)
        else:
            end = min(self._list.end_mark.line, len(lines))
        while end > start + 1 and self._is_between(lines[end - 1]):
            end -= 1
        return start, end

    def _dash(self, lines: Sequence[str], line: int) -> int:
        """Return the line of the dash before a value that begins in `line`."""
        while not lines[line][self._column :].startswith("-"):
            line -= 1
        return line

    def _is_between(self, line: str) -> bool:
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        return not text or (text.startswith("#") and indent <= self._column)

    def _spliced(self, start: int, end: int, new: str) -> str:
        lines = self._text.splitlines(keepends=True)
        return "".join([*lines[:start], new, *lines[end:]])

    def _checked(self, text: str, wanted: Sequence[Entry]) -> str:
        """Return the new text, if it is the old configuration with these sources."""
        expected = {**self._tree, _KEY: list(wanted)}
        try:
            found = parse_yaml(text)
        except (yaml.YAMLError, ValueError):
            found = None
        if found != expected:
            raise ConfigError(_BY_HAND)
        return text


def _parsed(text: str) -> Any:
    try:
        return parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError("not valid YAML") from None


def _rendered(entry: Mapping[str, Any], column: int) -> str:
    """Return a new entry of the list as lines with the dash at `column`."""
    return _dumped([_styled(entry)], column)


def _edited(lines: Sequence[str], column: int, changes: Mapping[str, Any]) -> str:
    """Return an entry's lines with keys changed, the comments in it kept."""
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    try:
        items = _round_trip().load("".join(line[column:] or "\n" for line in lines))
    except YAMLError:  # for example an alias of an anchor outside
        raise ConfigError(_BY_HAND) from None
    if isinstance(items[0], str):
        items[0] = CommentedMap(source=items[0])
    if not isinstance(items[0], CommentedMap):
        raise ConfigError(_BY_HAND)
    for key, value in changes.items():
        if value is None:
            items[0].pop(key, None)
        else:
            items[0][key] = _styled(value, flow=True)
    return _dumped(items, column)


def _dumped(items: Any, column: int) -> str:
    out = io.StringIO()
    _round_trip().dump(items, out)
    return "".join(" " * column + line for line in out.getvalue().splitlines(keepends=True))


def _round_trip() -> Any:
    from ruamel.yaml import YAML

    rules = YAML(typ="rt")
    rules.preserve_quotes = True
    rules.width = 1 << 20  # no line is broken
    rules.allow_unicode = True
    return rules


def _styled(value: Any, *, flow: bool = False) -> Any:
    """Return a value as ruamel writes it: mappings and lists in one line within an entry.

    Text is quoted wherever YAML 1.1, which is used to read it, would take it for something else.
    """
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, str):
        plain = yaml.safe_dump(value, allow_unicode=True, width=1 << 20)
        return value if plain.startswith(value) else DoubleQuotedScalarString(value)
    styled: Any
    if isinstance(value, Mapping):
        styled = CommentedMap({key: _styled(each, flow=True) for key, each in value.items()})
    elif isinstance(value, list | tuple):
        styled = CommentedSeq([_styled(each, flow=True) for each in value])
    else:
        return copy.copy(value)
    if flow:
        styled.fa.set_flow_style()
    return styled
