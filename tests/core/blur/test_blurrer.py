"""What a blurrer leaves of a frame: boxes, or the outlines of networks that give masks."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from pipeline.core.blur.blurrer import Blurrer
from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.core.masks import Mask

SIZE = (100, 120)
BOX = (20, 20, 60, 80)
CLASSES = {0: "person", 1: "dog"}


def person(*, low: bool = False) -> np.ndarray:
    """The left half of the box, or its lower quarter."""
    pixels = np.zeros(SIZE, np.bool_)
    pixels[slice(65, 80) if low else slice(20, 80), 20 : 60 if low else 40] = True
    return pixels


def result(index: int, masks: list[np.ndarray] | None, *, found: bool = True) -> Result:
    """A frame with one person, tracked, or found and not tracked yet in the first frame."""
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    box = np.array([BOX], np.float32)
    shown = None if masks is None else tuple(Mask.from_pixels(each, BOX) for each in masks)
    one, score = np.zeros(1, np.int32), np.ones(1, np.float32)
    detections = Detections(box, score, one, shown) if found else Detections.empty()
    detection = np.array([0 if found else -1], np.int32)
    tracks = Tracks(box, score, one, np.array([1]), detection, np.zeros(1, np.float32))
    if index == 0:
        tracks = Tracks.empty()
    return Result(Frame(image, "a", index, index / 10, 0.0), detections, tracks, CLASSES)


def changed(blurrer: Blurrer, given: Result) -> np.ndarray:
    """bool[H,W]: the pixels that are not what they were."""
    image = given.frame.image.copy()
    blurrer.blur(image, given)
    return np.asarray((image != given.frame.image).any(axis=2))


@pytest.mark.parametrize("index", [0, 1], ids=["not a track yet", "tracked"])
@pytest.mark.parametrize("low", [False, True])
def test_by_mask_the_outline_and_a_margin_are_blurred(index: int, low: bool) -> None:
    mask = person(low=low)
    blurred = changed(Blurrer(["person"], CLASSES, "here", "mask"), result(index, [mask]))
    assert blurred[mask].mean() > 0.99
    far = np.zeros(SIZE, np.bool_)
    far[(slice(20, 55), slice(20, 60)) if low else (slice(20, 80), slice(50, 60))] = True
    assert not blurred[far].any()
    assert not blurred[:, 70:].any()


@pytest.mark.parametrize(
    ("shape", "masks", "found"),
    [
        ("box", [person()], True),
        ("mask", None, True),
        ("mask", [np.zeros(SIZE, np.bool_)], True),
        ("mask", None, False),
    ],
    ids=["boxes wanted", "no masks", "an empty mask", "coasting"],
)
def test_else_the_whole_box_is_blurred(
    shape: Literal["box", "mask"], masks: list[np.ndarray] | None, found: bool
) -> None:
    blurrer = Blurrer(["person"], CLASSES, "here", shape)
    left, top, right, bottom = BOX
    inside = changed(blurrer, result(1, masks, found=found))[top:bottom, left:right]
    assert inside.mean() > 0.99


def test_a_frame_that_misses_somebody_blurs_where_they_were() -> None:
    blurrer = Blurrer(["person"], CLASSES, "here", "mask")
    changed(blurrer, result(1, [person()]))
    missed = result(0, None, found=False)
    later = Result(
        Frame(missed.frame.image, "a", 2, 0.2, 0.0), missed.detections, missed.tracks, CLASSES
    )
    left, top, right, bottom = BOX
    assert changed(blurrer, later)[top:bottom, left:right].mean() > 0.99
