"""Sources added, changed and removed in a configuration's text."""

from __future__ import annotations

import json

import pytest
import yaml

pytest.importorskip("ruamel.yaml")

from pipeline.config.source_list import with_changed_source, with_source, without_source
from pipeline.core.errors import ConfigError

FILE = """\
# All cameras of the house.
detector: {model: yolox-s}   # small
sources:
  # towards the street
  - source: rtsp://viewer:${DOOR}@10.0.0.5/1
    name: door      # by the bell
    transport: udp

  # the old one
  - rtsp://10.0.0.6/1   # no login
  - kind: synthetic
    name: "no"
    # fps: 5

# What is kept.
sinks: [events]
"""
NEW = {"source": "rtsp://10.0.0.9/1", "name": "yes"}


def test_a_source_is_added_behind_the_others() -> None:
    text = with_source(FILE, NEW)
    added = '  - source: rtsp://10.0.0.9/1\n    name: "yes"\n'
    assert text == FILE.replace("    # fps: 5\n", f"    # fps: 5\n{added}")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_source_is_removed_and_no_comment_of_another(index: int) -> None:
    text = without_source(FILE, index)
    sources = yaml.safe_load(FILE)["sources"]
    assert yaml.safe_load(text)["sources"] == [s for i, s in enumerate(sources) if i != index]
    lines = ("# towards the street", "# the old one", "# All cameras", "# What is kept.", "# small")
    assert all(line in text for line in lines)
    assert ("# fps: 5" in text) == (index != 2), "it is the entry's own"


def test_keys_are_changed_and_all_else_stays() -> None:
    changes = {"name": "front: door", "transport": None, "detect": {"classes": ["person", "no"]}}
    text = with_changed_source(FILE, 0, changes)
    before, _, rest = FILE.partition("    name: door")
    assert text.startswith(before)
    assert text.endswith(rest.partition("transport: udp\n")[2])
    assert "# by the bell" in text
    assert yaml.safe_load(text)["sources"][0] == {
        "source": "rtsp://viewer:${DOOR}@10.0.0.5/1",
        "name": "front: door",
        "detect": {"classes": ["person", "no"]},
    }


def test_a_source_that_is_text_becomes_a_mapping() -> None:
    text = with_changed_source(FILE, 1, {"name": "back"})
    assert yaml.safe_load(text)["sources"][1] == {"source": "rtsp://10.0.0.6/1", "name": "back"}
    assert "# no login" in text


@pytest.mark.parametrize(
    "text",
    ["", "# nothing yet\n", "sources: []\n", "sources:\n", "sources: # none\nsinks: []\n",
     "sinks: []", "sources: [] # none\n", "sources: [rtsp://10.0.0.5/1]\nsinks: []\n",
     "sources:\n- rtsp://10.0.0.5/1\nsinks: []\n", "sources:\n-\n  source: a\n  name: b",
     json.dumps({"sources": [{"source": "a", "name": "b"}], "sinks": []}),
     json.dumps({"sources": [], "sinks": []}, indent=1), "\ufeffsources:\n  - a\n"],
)  # fmt: skip
def test_every_form_of_a_file_takes_a_source_and_gives_it_back(text: str) -> None:
    before = (yaml.safe_load(text) or {}).get("sources") or []
    added = with_source(text, NEW)
    tree = yaml.safe_load(added)
    assert tree["sources"] == [*before, NEW]
    changed = with_changed_source(added, len(before), {"name": None, "ca_file": "a.pem"})
    last = yaml.safe_load(changed)["sources"][-1]
    assert last == {"source": NEW["source"], "ca_file": "a.pem"}
    emptied = changed
    for _ in range(len(before) + 1):
        emptied = without_source(emptied, 0)
    assert yaml.safe_load(emptied) == {**tree, "sources": []}


@pytest.mark.parametrize(
    "text",
    ["sources: [", "sources: {a: 1}\n", "[1, 2]\n", "{detector: {}}",
     "base: &b {fps: 1}\nsources:\n  - <<: *b\n    name: x\n",
     "sources:\n  - &a\n    name: x\n  - *a\n", "sources:\n- ", "sources:\n- [a]\n",
     "sources:\n- \n    !!str \x85"],
)  # fmt: skip
def test_what_cannot_be_kept_is_left_to_a_person(text: str) -> None:
    with pytest.raises(ConfigError):
        with_changed_source(with_source(text, NEW), 0, {"name": "other"})


@pytest.mark.parametrize("index", [-1, 3])
def test_an_entry_that_is_not_there_is_an_error(index: int) -> None:
    for act in (lambda: without_source(FILE, index), lambda: with_changed_source(FILE, index, {})):
        with pytest.raises(ConfigError, match="has no entry"):
            act()
    with pytest.raises(ConfigError, match="has no entry"):
        without_source("sinks: []\n", 0)
