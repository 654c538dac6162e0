"""Folders of small text files."""

from __future__ import annotations

from pathlib import Path


def write_files(root: Path, content: dict[str, str]) -> Path:
    """Write {relative path: text} below `root` and return it."""
    for name, text in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
