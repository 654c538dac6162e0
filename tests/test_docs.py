"""What the pages in docs/ and README say of names that can be looked up in the program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from support.paths import ROOT

from pipeline.archive.dataset.schema import PARTITIONS, TABLES
from pipeline.archive.ground.export import COLUMNS as SPEED_COLUMNS
from pipeline.archive.ground.geotag import POSITION_COLUMNS
from pipeline.core.output_columns import EVENT_COLUMNS, TRACK_COLUMNS, Column

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize(
    ("page", "heading", "columns"),
    [
        ("outputs.md", "## The columns of tracks", TRACK_COLUMNS),
        ("outputs.md", "## The columns of events", EVENT_COLUMNS),
        ("ground.md", "### The columns of speeds", SPEED_COLUMNS),
        ("ground.md", "### The columns of positions", POSITION_COLUMNS),
        *(("dataset.md", f"### `{table.name}`", table.columns) for table in TABLES.values()),
        ("dataset.md", "### Columns of every table", PARTITIONS),
    ],
)
def test_every_column_of_a_table_is_described(
    page: str, heading: str, columns: Sequence[Column]
) -> None:
    """events.csv was nowhere described; a table in a page says what the code says."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    section = re.split(r"\n#+ ", text.partition(f"\n{heading}\n")[2])[0]
    found = [line for line in section.splitlines() if line.startswith("| `")]
    assert found == [
        f"| `{column.name}` | {column.type} | {column.unit} | {column.meaning} |"
        for column in columns
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_on_a_page_can_be_read(page: Path) -> None:
    """A key was indented as if it belonged to the one above it; what is copied must work."""
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
        assert yaml.safe_load(block) is not None, block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_programs_import_trackline(page: Path) -> None:
    """`pipeline` is a name that many others use, too."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert not [block for block in blocks if re.search(r"^(import|from) pipeline\b", block, re.M)]


def test_the_architecture_names_files_that_exist() -> None:
    """After a move half of the table named files that were gone."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`((?:[\w]+/)+[\w]*(?:\.py)?)`", text))
    folders = [
        ROOT,
        ROOT / "pipeline",
        ROOT / "pipeline" / "tools",
        ROOT / "pipeline" / "server",
        ROOT / "pipeline" / "archive",
    ]
    missing = [name for name in named if not any((folder / name).exists() for folder in folders)]
    assert len(named) > 20
    assert not missing
