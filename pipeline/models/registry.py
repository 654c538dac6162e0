"""Registry of published networks by name; the facts are in registry.json.

Sizes and SHA-256 are null where nothing reliable is known; such a file is then checked by its
structure only. `hash_from` says where a SHA-256 comes from: `release` is the digest that the
release page itself publishes, `pinned` one that independent public projects pin for that address.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

BUILTIN = "builtin"
TAGS = "tags"
"""Names of the detector and the classifier in this package."""


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """Published network; `url` is None for those inside this package.

    `size` is in bytes, `classes` is "coco80", "imagenet1000", "vector" (re-identification: no
    classes) or the names in order, `licence` an SPDX identifier. `beside` is a second file that the
    first needs: the numbers of an OpenVINO network.
    """

    name: str
    file: str
    publisher: str
    licence: str
    classes: str | tuple[str, ...]
    url: str | None
    size: int | None
    sha256: str | None
    hash_from: str | None
    beside: PublishedModel | None = None


@cache
def published() -> Mapping[str, PublishedModel]:
    """Return every network of the registry by name, in the registry's order."""
    text = resources.files("pipeline.models").joinpath("registry.json").read_text("utf-8")
    tree = json.loads(text)
    entries = (_entry(row, tree["publishers"][row["publisher"]]) for row in tree["models"])
    return MappingProxyType({entry.name: entry for entry in entries})


def find(name: str) -> PublishedModel | None:
    """Return the network of that name, ignoring case; None if there is none."""
    return published().get(name.casefold())


def _entry(row: Mapping[str, Any], publisher: Mapping[str, Any]) -> PublishedModel:
    classes = publisher["classes"]
    url = publisher["url"]
    beside = row.get("beside")
    return PublishedModel(
        name=row["name"],
        file=row["file"],
        publisher=row["publisher"],
        licence=publisher["licence"],
        classes=classes if isinstance(classes, str) else tuple(classes),
        url=None if url is None else url.format(file=row["file"], path=row.get("path")),
        size=row["size"],
        sha256=row["sha256"],
        hash_from=row["hash_from"],
        beside=None if beside is None else _entry({**row, "beside": None, **beside}, publisher),
    )
