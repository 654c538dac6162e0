"""The questions of docs/analysis.md: their SQL, pandas and plots, as the page has them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from support.paths import ROOT


@dataclass(frozen=True)
class Question:
    """One section of the page."""

    title: str
    sql: str
    pandas: str
    plot: str


def _block(section: str, language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, (language, section)
    return str(found[0])


def page() -> tuple[str, str, list[Question]]:
    """Return the SQL and the Python that come first, and the questions."""
    head, *sections = re.split(r"^## ", (ROOT / "docs/analysis.md").read_text("utf-8"), flags=re.M)
    questions = [
        Question(
            section.splitlines()[0],
            *(_block(section, language) for language in ("sql", "python", "python plot")),
        )
        for section in sections
    ]
    return _block(head, "sql setup"), _block(head, "python setup"), questions
