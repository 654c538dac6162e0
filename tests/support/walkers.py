"""A person who walks, and trackers that have seen one: the small scenes of the tracker tests."""

from __future__ import annotations

import importlib

import numpy as np

from pipeline.core.data import Detections, Frame, Tracks
from pipeline.trackers._options import TrackerOptions

PICTURE = np.zeros((1, 1, 3), np.uint8)


def boxes(*xyxy, class_id=0, score=0.9) -> Detections:
    n = len(xyxy)
    return Detections(
        np.array(xyxy, np.float32).reshape(n, 4),
        np.broadcast_to(np.float32(score), n).copy(),
        np.broadcast_to(np.int32(class_id), n).copy(),
    )


def feed(tracker, at_s: float, detections: Detections) -> Tracks:
    return tracker.update(Frame(PICTURE, "test", 0, at_s, 0.0), detections)


def held_tracks(tracker) -> int:
    """The number of tracks in a tracker's state, tentative and lost ones included."""
    state = tracker.save_state()
    assert state["tracks"].shape[1] == state["filters"].shape[1]
    return state["tracks"].shape[1]


def walker(at_s: float, speed: float = 60.0):
    """A person who walks to the right."""
    left = 100 + speed * at_s
    return (left, 100, left + 50, 250)


def tracker_after(seconds: float, options: TrackerOptions, fps: float = 30.0):
    """A tracker of the kind that the options are for, and what it says after so long."""
    tracker = importlib.import_module(type(options).__module__).build(options)
    for k in range(round(seconds * fps) + 1):
        tracks = feed(tracker, k / fps, boxes(walker(k / fps)))
    return tracker, tracks
