"""Findings of `trackline doctor`: one fact each, with its state and plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

State = Literal["works", "limited", "absent", "broken"]
"""`absent` is something this machine does not have and may do without; `broken` needs repair."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact: what was looked at, how it stands, in words, and the plain values behind it."""

    section: str
    name: str
    state: State
    words: str
    values: dict[str, Any] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


Probe = Callable[[], Iterable[Finding]]


def installed(package: str) -> str | None:
    """Return the version of an installed distribution without importing it, None if absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def look(section: str, name: str, probe: Probe) -> Iterator[Finding]:
    """Yield what `probe` finds; a library that cannot be loaded is a finding of its own."""
    found: list[Finding] = []
    with _noting_failure(section, name, found):
        found += probe()
    yield from found


@contextmanager
def _noting_failure(section: str, name: str, found: list[Finding]) -> Iterator[None]:
    """Turn a library that does not load into a finding; anything else is a bug and is raised."""
    try:
        yield
    except (ImportError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        found.append(Finding(section, name, "broken", f"cannot be loaded: {lines[0]}"))
