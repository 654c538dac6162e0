"""Write the words for tags: the names of ImageNet's 1000 classes and what they are kinds of.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wordnet
    pip install --no-deps timm open_clip_torch
    python -m training.tag_words wordnet/usr/share/wordnet pipeline/classifiers/_tags/words.json

The order of the classes is that of timm's `imagenet_synsets.txt` (Apache-2.0), their names those of
open_clip (MIT), and what is a kind of what comes from WordNet 3.0 (Princeton's licence), whose
places are ImageNet's numbers. Of WordNet's parents ("placental", "conveyance") only words that
people use are kept: COCO's and those below. The licences are in pipeline/models/tags.LICENSE.txt.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

from pipeline.models.class_names import COCO

GENERAL = (
    "animal", "aircraft", "antelope", "ape", "bag", "ball", "beetle", "beverage", "boat", "bread",
    "bridge", "building", "butterfly", "camera", "clothing", "coat", "computer", "crab",
    "crocodilian", "curtain", "dress", "drum", "duck", "eagle", "factory", "fence", "fish",
    "flower", "footwear", "fox", "frog", "fruit", "fungus", "furniture", "glass", "guitar",
    "gun", "hat",
    "helmet", "house", "insect", "jellyfish", "jewelry", "kitchen appliance", "lamp",
    "lizard", "lobster", "monkey", "mountain", "musical instrument", "owl", "parrot",
    "piano", "pot", "rabbit", "rodent", "salamander", "shark", "ship", "shoe", "shop", "sled",
    "snail", "snake", "spider", "squash", "swimsuit", "telephone", "tower", "tractor", "turtle",
    "van", "vegetable", "vehicle", "weapon", "wheel", "wolf", "worm",
)  # fmt: skip
"""Words for several classes that are not COCO's."""
OTHER_SENSES = {
    "ball": "02778669",  # the round thing; COCO's sports ball is the same
    "cat": "02121808",  # the pet, not every cat down to the lion
    "coat": "03057021",
    "cow": "02402010",  # cattle
    "dress": "03236735",
    "glass": "03438257",
    "kite": "03621473",  # the toy, not the bird
    "pot": "03990474",
    "swimsuit": "04371563",
}
"""Where the sense with the most classes is not the one that is meant: its place in WordNet."""
SYNONYMS = {
    "cell phone": "cellular telephone", "hair drier": "hand blower", "potted plant": "",
    "remote": "remote control", "sports ball": "ball", "tv": "television",
}  # fmt: skip
"""What WordNet calls some of COCO's classes; "" for what it does not know."""
ALSO_A = {
    "bus": "vehicle",
    "vespa": "motorcycle",
    "minivan": "van",
    "tractor trailer": "truck",
}
"""What people would say against WordNet."""


class WordNet:
    """WordNet's nouns, read from its files data.noun and index.noun (see wndb(5WN))."""

    def __init__(self, folder: Path) -> None:
        self.lemmas: dict[str, list[str]] = {}
        self._parents: dict[str, list[str]] = {}
        for line in (folder / "data.noun").read_text("latin-1").splitlines():
            if line.startswith(" "):
                continue
            words = line.split(" | ")[0].split()
            count = int(words[3], 16)
            self.lemmas[words[0]] = [words[4 + 2 * n].replace("_", " ") for n in range(count)]
            at = 4 + 2 * count
            pointers = [words[at + 1 + 4 * n : at + 3 + 4 * n] for n in range(int(words[at]))]
            self._parents[words[0]] = [to for kind, to in pointers if kind in ("@", "@i")]
        self._senses: dict[str, list[str]] = {}
        for line in (folder / "index.noun").read_text("latin-1").splitlines():
            if not line.startswith(" "):
                words = line.split()
                self._senses[words[0].replace("_", " ")] = words[-int(words[2]) :]

    def senses(self, word: str) -> list[str]:
        """Return the places of a word's senses, the usual one first."""
        return self._senses.get(word.casefold(), [])

    def above(self, place: str) -> list[str]:
        """Return the places of all that a sense is a kind of, the nearest first."""
        found: list[str] = []
        waiting = [*self._parents[place]]
        while waiting:
            each = waiting.pop(0)
            if each not in found:
                found.append(each)
                waiting += self._parents[each]
        return found


def package_file(package: str, *parts: str) -> str:
    """Return the text of a file of an installed package, without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"pip install {package}")
    return Path(spec.submodule_search_locations[0]).joinpath(*parts).read_text("utf-8")


def class_names() -> list[str]:
    """Return open_clip's names of the 1000 classes."""
    tree = ast.parse(package_file("open_clip", "zero_shot_metadata.py"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and "IMAGENET_CLASSNAMES" in ast.unparse(
            statement.targets[0]
        ):
            names: list[str] = list(ast.literal_eval(statement.value))
            return names
    raise SystemExit("open_clip: no IMAGENET_CLASSNAMES")


def choose_senses(net: WordNet, classes: list[str]) -> dict[str, str]:
    """Return {place in WordNet: word} for the words that are used for several classes."""
    below: dict[str, int] = defaultdict(int)
    for place in classes:
        for each in [place, *net.above(place)]:
            below[each] += 1
    chosen: dict[str, str] = {}
    for word in (*GENERAL, *COCO):
        lemma = SYNONYMS.get(word, word)
        senses = net.senses(lemma)
        if not senses:
            print(f"{word}: not in WordNet")
            continue
        place = OTHER_SENSES.get(word) or max(senses, key=lambda each: below[each])
        print(f"{word}: {', '.join(net.lemmas[place][:4])} ({below[place]} classes)")
        if below[place] or word in COCO:
            chosen[place] = word
    return chosen


def words(net: WordNet) -> dict[str, object]:
    """Return what is written: class names, the parents of each word, and other names of some."""
    places = [
        line.strip().removeprefix("n")
        for line in package_file("timm", "data", "_info", "imagenet_synsets.txt").splitlines()
    ]
    chosen = choose_senses(net, places)
    names = class_names()
    parents: dict[str, list[str]] = {}
    synonyms: dict[str, str] = {}
    taken = {name.casefold() for name in names} | set(chosen.values())
    for place, name in zip(places, names, strict=True):
        known = [chosen[each] for each in [place, *net.above(place)] if each in chosen]
        known = [each for each in dict.fromkeys(known) if each != name]
        if known or name in ALSO_A:
            parents[name] = known
        if place in chosen and chosen[place] != name:
            synonyms[name.casefold()] = chosen[
                place
            ]  # the class is what a detector has another word for
        for lemma in net.lemmas[place]:
            if lemma.casefold() not in taken and net.senses(lemma)[:1] == [place]:
                synonyms[lemma.casefold()] = name
    for place, word in chosen.items():
        known = [chosen[each] for each in net.above(place) if each in chosen]
        if known or word in ALSO_A:
            parents[word] = known
        for lemma in net.lemmas[place]:
            if lemma.casefold() not in taken and net.senses(lemma)[:1] == [place]:
                synonyms[lemma.casefold()] = word
    for word, above in parents.items():
        added = [ALSO_A[each] for each in (word, *above) if each in ALSO_A]
        parents[word] = list(dict.fromkeys([*above, *added]))
    return {"classes": names, "parents": parents, "synonyms": synonyms}


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wordnet", type=Path, help="the folder with data.noun and index.noun")
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    table = words(WordNet(args.wordnet))
    rows = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in table.items())
    args.output.write_text(f"{{\n{rows}\n}}\n", encoding="utf-8")
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
