"""Words for tags: ImageNet's 1000 classes, what each word is a kind of, and synonyms.

The table words.json is written by training/tag_words.py from WordNet 3.0 and other sources; their
licences are in models/tags.LICENSE.txt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Words:
    """Names of ImageNet's classes in order; parents of words, the nearest first; synonyms."""

    classes: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]
    synonyms: Mapping[str, str]

    def same(self, word: str) -> str:
        """Return the word that is used for this one: `sofa` is a couch."""
        return self.synonyms.get(word.strip().casefold(), word.strip())

    def parents_of(self, word: str) -> tuple[str, ...]:
        """Return what a word is a kind of, the nearest first: a minibus is a bus, a vehicle."""
        return self.parents.get(word, ())


@cache
def load_words() -> Words:
    """Return the table, read once."""
    text = resources.files("pipeline.classifiers._tags").joinpath("words.json").read_text("utf-8")
    tree = json.loads(text)
    parents = {word: tuple(above) for word, above in tree["parents"].items()}
    in_any_case = {word.casefold(): word for word in (*parents, *tree["classes"])}
    synonyms = MappingProxyType(in_any_case | tree["synonyms"])
    return Words(tuple(tree["classes"]), MappingProxyType(parents), synonyms)
