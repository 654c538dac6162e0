"""Names of a network's classes."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import ModelError

# fmt: off
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
"""The 80 classes of COCO (Lin et al., 2014) in the order every YOLO uses."""

_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Unused numbers among COCO's categories 1 to 90."""

MAX_UNKNOWN_CLASSES = 1000


def parse_names(text: str) -> dict[int, str]:
    """Return {class id: name} from metadata text, a dict or list literal, else {}."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {}
    if isinstance(value, dict):
        pairs = [(str(key), name) for key, name in value.items()]
        return {int(key): str(name) for key, name in pairs if key.isdecimal()}
    if isinstance(value, list | tuple):
        return {index: str(name) for index, name in enumerate(value)}
    return {}


def default_names(count: int | None, *, gaps: bool = False) -> dict[int, str]:
    """Return names for a network without any: COCO's if there are 80, else class_0 ...

    With `gaps` 90 classes are COCO's too, by their numbers minus one, as in torchvision and
    TensorFlow. A count of None stands for a network with an unknown number of classes.
    """
    if count == len(COCO):
        return dict(enumerate(COCO))
    if gaps and count == len(COCO) + len(_UNUSED):
        numbers = [number for number in range(1, count + 1) if number not in _UNUSED]
        known = {number - 1: name for number, name in zip(numbers, COCO, strict=True)}
        return {index: known.get(index, f"class_{index}") for index in range(count)}
    return {index: f"class_{index}" for index in range(count or MAX_UNKNOWN_CLASSES)}


def names_from(given: Sequence[str]) -> dict[int, str]:
    """Return names given by the user in order; a single file name stands for its lines.

    Raises ModelError for a file that cannot be read or holds no name.
    """
    if len(given) == 1 and Path(given[0]).suffix.lower() in (".txt", ".names"):
        path = Path(given[0]).expanduser()
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"names: {path} cannot be read as text: {error}") from error
        given = [line.strip() for line in lines if line.strip()]
        if not given:
            raise ModelError(f"names: {path} holds no name; want one per line")
    return dict(enumerate(given))
