"""Tags of one picture: merges the words of classifier and detector into one list.

Words of which one is a kind of the other say the same thing twice. A *general* word (bus) gives
way to more *specific* ones (minibus) where these hold most of its score; elsewhere it stands for
them: five breeds at 0.19 each are a dog at 0.95.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.classifiers._tags.words import Words, load_words
from pipeline.core.data import ClassNames, Detection

PERSON = "person"
DEFAULT_TOP, DEFAULT_THRESHOLD = 5, 0.1
"""Most words of a picture, and their lowest score, where nothing else is asked for."""
MIN_SHARE = 0.5
"""A more specific word replaces a general one if it has this share of its score."""
MIN_GENERAL = 0.5
"""Least score of a word that neither a class nor an object has as its name: what is left over of a
picture's scores adds up to something for the hundreds of classes that are animals."""

SURE_OBJECT, MIN_OBJECT = 0.6, 0.4
MIN_SUPPORT = 0.02
"""An object counts from the score SURE_OBJECT on: what the detector in the package sees with a
lower one is wrong more often than right. Below that, it counts if the classifier gives its word
MIN_SUPPORT at least; people, and what the classifier knows no word for, from MIN_OBJECT on."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen on one picture: the score of each class, and of each detected object.

    Names may come several times: ImageNet has two classes of missiles.
    """

    classes: Sequence[tuple[str, float]]
    objects: Sequence[tuple[str, float]] = ()


def tags_of(
    names: ClassNames,
    scores: Iterable[float],
    objects: Iterable[Detection],
    *,
    top: int = DEFAULT_TOP,
    threshold: float = DEFAULT_THRESHOLD,
) -> dict[str, float]:
    """Return the words of one picture and their scores.

    `scores` are a classifier's, by class id, `names` its classes; `objects` are those detected.
    """
    classes = [(names.get(place, f"class_{place}"), score) for place, score in enumerate(scores)]
    seen = Seen(classes, [(each.class_name, each.score) for each in objects])
    return merge(seen, load_words(), threshold, top)


def merge(seen: Seen, words: Words, threshold: float, top: int) -> dict[str, float]:
    """Return at most `top` words with a score from `threshold` on: people first, then the best.

    The score of a word is the chance that the picture shows it: of the classifier's the sum of all
    classes that are kinds of it, of the detector's its best box, of both the higher. Where the
    detector is surer of a bus than the classifier, so it is of the minibus that the bus is.
    """
    by_class = _with_parents(seen.classes, words)
    by_object: dict[str, float] = {}
    for name, score in seen.objects:
        word = words.same(name)
        support = None if word == PERSON else by_class.get(word)
        if score < SURE_OBJECT and (
            score < MIN_OBJECT if support is None else support < MIN_SUPPORT
        ):
            continue
        by_object[word] = max(by_object.get(word, 0), score)
    scores = {
        word: max(by_class.get(word, 0), by_object.get(word, 0)) for word in {*by_class, *by_object}
    }
    for word, score in by_class.items():
        above = [
            each
            for each in words.parents_of(word)
            if each in by_class and by_object.get(each, 0) > by_class[each]
        ]
        if score >= threshold and above:
            scores[word] = max(scores[word], *(by_object[a] * score / by_class[a] for a in above))
    named = {words.same(name) for name, _ in seen.classes} | set(by_object)
    scores = {
        word: min(score, 1.0)
        for word, score in scores.items()
        if score >= (threshold if word in named else max(threshold, MIN_GENERAL))
    }
    kept = _folded(scores, words, {word for word in scores if by_object.get(word, 0) >= threshold})
    best_first = sorted(kept, key=lambda word: (word != PERSON, -scores[word], word))
    return {word: round(scores[word], 4) for word in best_first[:top]}


def _with_parents(classes: Sequence[tuple[str, float]], words: Words) -> dict[str, float]:
    """Return the classes' scores by word, and those of all that the words are kinds of."""
    found: dict[str, float] = defaultdict(float)
    for name, score in classes:
        word = words.same(name)
        for each in {word, *words.parents_of(name), *words.parents_of(word)}:
            found[each] += score
    return dict(found)


def _folded(scores: Mapping[str, float], words: Words, detected: set[str]) -> list[str]:
    """Return the words that are left when general and specific ones are folded."""
    dropped: set[str] = set()
    for word in sorted(scores, key=lambda word: len(words.parents_of(word))):  # general ones first
        if word in dropped:
            continue
        below = [each for each in scores if word in words.parents_of(each) and each not in dropped]
        if word == PERSON or not below:
            continue
        if any(scores[each] >= MIN_SHARE * scores[word] for each in below):
            dropped.add(word)
        else:
            dropped |= {each for each in below if each not in detected}
    return [word for word in scores if word not in dropped]
