"""The page's files as they lie in the package: no browser needed."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

import pipeline

PAGE = Path(pipeline.__file__).parent / "server" / "page"
FILES = sorted(path for path in PAGE.iterdir() if path.is_file())
TEXTS = [path for path in FILES if path.suffix != ".png"]
SCRIPTS = [path for path in FILES if path.suffix == ".js"]

# Ways for text to become HTML, a script or a style, and for the page to need the internet.
FORBIDDEN = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment",
    r"\beval\(|new Function|setTimeout\(\s*[\"'`]",
    r"setAttribute\(\s*[\"']style|style=|<style|\son\w+=[\"']",
    r"<script(?![^>]*src=)",
    r"https?://(?!www\.w3\.org/2000/svg)|//cdn",
)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_keeps_to_a_strict_policy(path: Path) -> None:
    """What a Content-Security-Policy refuses in a browser is not even written."""
    text = path.read_text("utf-8")
    found = [match.group() for each in FORBIDDEN for match in re.finditer(each, text)]
    assert found == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_short_and_say_what_they_are(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].startswith("// ")
    assert len(lines) < 250


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_refers_to_files_that_are_there(path: Path) -> None:
    """Relative, so that the page also works under a path behind a proxy."""
    text = path.read_text("utf-8")
    if path.suffix == ".html":
        named = re.findall(r'(?:src|href)="(?!#)([^"]+)"', text)
        assert named
    elif path.suffix == ".webmanifest":
        named = [one["src"] for one in json.loads(text)["icons"]]
        assert named
    else:
        found = re.findall(r'(?:from |import\()"(\./[^"]+)"', text)
        named = [name.removeprefix("./") for name in found]
    missing = [name for name in named if not (PAGE / name).is_file()]
    assert missing == []


def test_the_live_page_stays_light() -> None:
    """What a browser fetches for it, compressed as the server does."""
    needed, todo = set[str](), ["index.html"]
    while todo:
        name = todo.pop()
        if name in needed:
            continue
        needed.add(name)
        text = (PAGE / name).read_text("utf-8")
        if name == "index.html":
            todo += re.findall(r'(?:src|href)="([^"#]+\.(?:js|css|svg))"', text)
        todo += re.findall(r'from "\./([^"]+)"', text)
    assert {"app.js", "visits.js", "base.css"} <= needed
    assert sum(len(gzip.compress((PAGE / name).read_bytes())) for name in needed) < 80_000


def test_every_script_is_used() -> None:
    """An unused file would be shipped for nothing."""
    texts = [path.read_text("utf-8") for path in TEXTS]
    unused = [path.name for path in SCRIPTS if not any(f'{path.name}"' in text for text in texts)]
    assert unused == []
