"""Tags as JSON, in trackline's own shape or that of well-known tagging services.

filestack: https://www.filestack.com/docs/transformations/intelligence/tagging/ (whole per cent).
rekognition: DetectLabels of Amazon Rekognition, API reference, data type Label (per cent, boxes as
shares of the picture's sides, all that a word is a kind of).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.classifiers._tags.words import Words, load_words
from pipeline.core.data import Detection


@dataclass(frozen=True, slots=True)
class Tagged:
    """Tags of one picture, best first, and its detected objects.

    `size` is the picture's (height, width).
    """

    tags: Mapping[str, float]
    objects: Sequence[Detection]
    size: tuple[int, int]


def trackline(tagged: Tagged) -> dict[str, Any]:
    """Return {"tags": {word: score from 0 to 1}}."""
    return {"tags": dict(tagged.tags)}


def filestack(tagged: Tagged) -> dict[str, Any]:
    """Return {"tags": {"auto": {word: per cent}, "user": None}}."""
    auto = {word: round(100 * score) for word, score in tagged.tags.items()}
    return {"tags": {"auto": auto, "user": None}}


def rekognition(tagged: Tagged) -> dict[str, Any]:
    """Return {"Labels": [{"Name", "Confidence", "Instances", "Parents"}]}.

    Instances are the detected objects that the word stands for, of a more general name too.
    """
    words = load_words()
    labels = [
        {
            "Name": _title(word),
            "Confidence": round(100 * score, 2),
            "Instances": _instances(word, tagged, words),
            "Parents": [{"Name": _title(each)} for each in words.parents_of(word)],
        }
        for word, score in tagged.tags.items()
    ]
    return {"Labels": labels}


SHAPES = {"trackline": trackline, "filestack": filestack, "rekognition": rekognition}
"""What writes each shape, by its name."""


def _instances(word: str, tagged: Tagged, words: Words) -> list[dict[str, Any]]:
    return [
        {
            "BoundingBox": _shares(each, tagged.size),
            "Confidence": round(100 * each.score, 2),
        }
        for each in tagged.objects
        if words.same(each.class_name) in (word, *words.parents_of(word))
    ]


def _shares(found: Detection, size: tuple[int, int]) -> dict[str, float]:
    """Return a box as shares of the picture's sides."""
    (height, width), (left, top, right, bottom) = size, found.xyxy
    return {
        "Width": round((right - left) / width, 5),
        "Height": round((bottom - top) / height, 5),
        "Left": round(left / width, 5),
        "Top": round(top / height, 5),
    }


def _title(word: str) -> str:
    return " ".join(part[:1].upper() + part[1:] for part in word.split(" "))
