"""Blurs regions of result frames before anything is drawn on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.core.blur.faces import FaceDetector, FaceTracker
from pipeline.core.blur.pixels import obscure
from pipeline.core.blur.regions import BlurGroup, BlurShape, Boxes, HeldRegions, classes_of
from pipeline.core.boxes import usable_xyxy
from pipeline.core.data import ClassNames, Image, Int64, Result
from pipeline.core.masks import Mask

FACE_HOLD_S = 1.0
"""Faces are held longer: they are missed more often, for instance when a head turns."""


class Blurrer:
    """Blurs the classes of some groups, and faces, in the results of any number of sources.

    Detections count as well as tracks, so an object is blurred before its track is confirmed. With
    the shape `mask` objects are blurred by their outline where the network gives one; faces, and
    frames without a detection, are blurred by boxes. Raises UsageError for a group none of whose
    classes the detector has, MissingExtraError if the face detector is not installed.
    """

    def __init__(
        self,
        groups: Sequence[BlurGroup],
        class_names: ClassNames,
        where: str,
        shape: BlurShape = "box",
    ) -> None:
        self._groups, self._where, self._shape = tuple(groups), where, shape
        self._sources: dict[str, _SourceBlur] = {}
        self._faces = FaceDetector() if "face" in groups else None
        self._use(class_names)

    def _use(self, class_names: ClassNames) -> None:
        """Look up the class ids of the groups; called again when the detector was replaced."""
        self._class_names = class_names
        classes = classes_of(self._groups, class_names, self._where)
        self._classes = np.array(sorted(classes), np.int64)
        persons = [number for number, name in class_names.items() if name.lower() == "person"]
        self._persons = np.array(persons, np.int64)

    def blur(self, image: Image, result: Result) -> None:
        """Blur `image`, BGR u8[H,W,3], the result's frame, in place."""
        if result.class_names is not self._class_names:
            self._use(result.class_names)
        source = self._sources.setdefault(result.frame.source, _SourceBlur())
        source.follow(result)
        regions = [source.classes(result, self._classes)]
        masks = _masks_of(result, self._classes) if self._shape == "mask" else []
        if self._faces is not None:
            persons = _boxes_of(result, self._persons)
            regions.append(source.faces(result, self._faces.detect(image, persons)))
        obscure(image, np.concatenate(regions), masks)

    def forget(self, source: str) -> None:
        """Forget a source that has ended."""
        self._sources.pop(source, None)


class _SourceBlur:
    """Held regions of tracks and faces of one source."""

    def __init__(self) -> None:
        self._held = HeldRegions()
        self._held_faces = HeldRegions(FACE_HOLD_S)
        self._tracker = FaceTracker(FACE_HOLD_S)
        self._seen: tuple[int, tuple[int, ...], float] | None = None

    def follow(self, result: Result) -> None:
        """Start over if a frame does not continue the previous one."""
        frame = result.frame
        seen, self._seen = self._seen, (frame.epoch, frame.shape, frame.pts_s)
        if seen is not None and (seen[:2] != self._seen[:2] or frame.pts_s < seen[2]):
            self._held.reset()
            self._held_faces.reset()
            self._tracker.reset()

    def classes(self, result: Result, classes: Int64) -> Boxes:
        """Regions of the classes, including those of tracks lost a moment ago."""
        mine, others = _rows_of(result, classes)
        loose = result.detections.xyxy[others].astype(float)
        ids = [*result.tracks.track_id[mine].tolist(), *[0] * len(loose)]
        boxes = np.concatenate([result.tracks.xyxy[mine].astype(float), loose])
        return self._held.update(result.frame.pts_s, ids, boxes)

    def faces(self, result: Result, heads: Boxes) -> Boxes:
        """Regions of the faces, including those lost a moment ago."""
        now_s = result.frame.pts_s
        return self._held_faces.update(now_s, self._tracker.update(now_s, heads), heads)


def _rows_of(result: Result, classes: Int64) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which tracks, and which detections, belong to the classes."""
    return (
        np.isin(result.tracks.class_id, classes),
        np.isin(result.detections.class_id, classes),
    )


def _masks_of(result: Result, classes: Int64) -> list[Mask | None]:
    """Return the masks of the first regions that `_SourceBlur.classes` returns, in its order."""
    tracks, loose = result.tracks, result.detections
    if loose.masks is None:
        return []
    mine, others = _rows_of(result, classes)
    masks = np.full(len(tracks) + len(loose), None)
    masks[:] = [*(tracks.masks(loose) or ()), *loose.masks]
    boxes = np.concatenate([tracks.xyxy[mine], loose.xyxy[others]]).astype(float)
    there = usable_xyxy(boxes)  # unusable boxes have no region
    found: list[Mask | None] = masks[np.concatenate([mine, others])][there].tolist()
    return found


def _boxes_of(result: Result, classes: Int64) -> Boxes:
    """Return the boxes [N,4] of the classes, one per object.

    Those are tracks, and detections without a track.
    """
    tracks, loose = result.tracks, result.detections
    free = np.isin(loose.class_id, classes)
    free[tracks.detection[(tracks.detection >= 0) & (tracks.detection < len(loose))]] = False
    mine = tracks.xyxy[np.isin(tracks.class_id, classes)]
    return np.concatenate([mine, loose.xyxy[free]]).astype(float)
