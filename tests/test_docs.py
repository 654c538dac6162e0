"""What the pages in docs/ and README say of names that can be looked up in the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.paths import ROOT

from pipeline.sinks._rows import COLUMNS, EVENT_COLUMNS

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("columns", [COLUMNS, EVENT_COLUMNS], ids=["tracks", "events"])
def test_every_column_of_a_table_is_described(columns: tuple[str, ...]) -> None:
    """events.csv was nowhere described."""
    text = (ROOT / "docs" / "outputs.md").read_text("utf-8")
    lists = [set(re.split(r"[,\s]+", found)) for found in re.findall(r"`(source, [^`]+)`", text)]
    assert any(set(columns) <= each for each in lists), set(columns)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_programs_import_trackline(page: Path) -> None:
    """`pipeline` is a name that many others use, too."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert not [block for block in blocks if re.search(r"^(import|from) pipeline\b", block, re.M)]


def test_the_architecture_names_files_that_exist() -> None:
    """After a move half of the table named files that were gone."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`((?:[\w]+/)+[\w]*(?:\.py)?)`", text))
    folders = [ROOT, ROOT / "pipeline", ROOT / "pipeline" / "tools", ROOT / "pipeline" / "server"]
    missing = [name for name in named if not any((folder / name).exists() for folder in folders)]
    assert len(named) > 20
    assert not missing
