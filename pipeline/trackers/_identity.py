"""Re-identification by appearance of tracks that were lost or in contact with another track.

Appearance is compared only if motion is ambiguous. While the identity of a track is certain, small
crops of it are stored but not embedded. When a track that was lost or touched another is in the
clear again, or a new one starts, it is embedded and compared with the candidates: identities that
are in doubt themselves, lost or remembered, of the same class and a similar size, and near enough
to have come from there. One assignment decides; a track keeps its identity unless another one
matches clearly better. So nothing is embedded in frames in which no two objects meet.

Appearance for association: Wojke, Bewley, Paulus, Simple Online and Realtime Tracking with a Deep
Association Metric, ICIP 2017; used only if motion is ambiguous, similar to Deep OC-SORT
(Maggiolino et al. 2023), which weighs appearance by how discriminative it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import overlapping_pairs
from pipeline.core.data import Frame, Image
from pipeline.core.errors import UsageError
from pipeline.core.interfaces import Embedder
from pipeline.trackers._association import assign
from pipeline.trackers._camera_motion import Similarity
from pipeline.trackers._gallery import Gallery, KnownObject
from pipeline.trackers._track_table import Float64, Rows, TrackTable

# Two boxes touch if they share more than this part of the smaller one.
_CONTACT = 0.15
# In pixels: smaller boxes show too little, boxes at the edge of the picture show only a part.
_MIN_WIDTH, _MIN_HEIGHT, _EDGE = 8, 16, 2
# How far away an object may have been, in lengths of its longer side: at first, and per second.
_START, _PER_SECOND = 0.5, 1.5
_MAX_SIZE_RATIO = 2.0
# Minimum lead in similarity: of another identity over a track's own, and over the threshold for a
# lost identity (twice that if it may be anywhere, after a break). The second is also the lead over
# all other candidates that makes an identity certain at once.
_LEAD, _LEAD_OF_LOST = 0.08, 0.05
# Penalty for a position at the end of the reach; none at its centre.
_FAR = 0.05
# Checks of a track in doubt, and the seconds between them.
_CHECKS = 3
_CHECK_EVERY_S = 0.4


class _Scene(NamedTuple):
    """Tracks of one frame: boxes f64[4,T], which are detected, and which are in the clear."""

    boxes: Float64
    seen: NDArray[np.bool_]
    free: NDArray[np.bool_]
    now_s: float


class _Question(NamedTuple):
    """Identities a track could have besides its own; open: others, hidden now, are possible too."""

    near: list[int]
    is_open: bool


class Identities:
    """Identities of one source's tracks, current and remembered ones."""

    def __init__(self, embedder: Embedder, remember_s: float) -> None:
        self._embedder = embedder
        self.remember_s = remember_s
        self._gallery = Gallery(embedder)
        # Time, monotonic time and epoch of the last frame; None before the first.
        self._last: tuple[float, float, int] | None = None
        self._is_broken_off = False
        self.exchanged: list[tuple[int, int, int]] = []
        """Swaps of the last frame: a track's former id, its row, the row of the id's new track."""

    def open(self) -> None:
        """Load the embedder; raises ModelError."""
        self._embedder.open()

    def close(self) -> None:
        """Release the embedder."""
        self._embedder.close()

    def break_off(self, now_s: float) -> None:
        """Restart at time 0: known objects may be anywhere now, but still look the same."""
        self._is_broken_off = True
        self._gallery.break_off(now_s)

    def warp(self, motion: Similarity) -> None:
        """Move the known positions along with the camera."""
        self._gallery.warp(motion)

    def resolve(self, frame: Frame, tracks: TrackTable, boxes: Float64, now_s: float) -> Rows:
        """Give each track the identity it looks like; return the rows left without an identity.

        `boxes` f64[4,T] are the tracks' current positions. Raises UsageError if the frame has no
        picture.
        """
        self._note(frame, now_s)
        self.exchanged = []
        seen = tracks.detection >= 0
        scene = _Scene(boxes, seen, seen & _free(boxes, seen, frame.shape), now_s)
        row_of = self._look_around(tracks, scene)
        checked = self._to_check(tracks, scene, row_of)
        gone = self._check(frame.image, checked, tracks, scene, row_of) if checked else []
        self._keep_crops(frame, scene, row_of)
        self._gallery.forget(row_of, now_s, self.remember_s)
        return np.array(gone, np.intp)

    def _note(self, frame: Frame, now_s: float) -> None:
        """Store the frame's times; after too long a break forget everything before it."""
        if frame.shape[:2] == (1, 1):
            raise UsageError("tracker.embedder: wants pictures, and these frames have none")
        if self._is_broken_off and self._last is not None:
            pts_s, captured_at, epoch = self._last
            gap_s = frame.captured_at - captured_at if frame.epoch != epoch else 0.0
            gap_s = max(gap_s, frame.pts_s - pts_s, 0.0)
            for each in self._gallery.values():
                each.seen_s -= gap_s if math.isfinite(gap_s) else math.inf
            self._is_broken_off = False
            self._gallery.forget((), now_s, self.remember_s)
        self._last = frame.pts_s, frame.captured_at, frame.epoch

    def _look_around(self, tracks: TrackTable, scene: _Scene) -> dict[int, int]:
        """Update position and doubt of the tracks with an id; return their rows by id."""
        row_of: dict[int, int] = {}
        lost: list[int] = []
        rows = (tracks.track_id > 0).nonzero()[0]
        ids, classes = tracks.track_id.take(rows), tracks.class_id.take(rows)
        for row, number, class_id in zip(
            rows.tolist(), ids.tolist(), classes.tolist(), strict=True
        ):
            row_of[int(number)] = row
            known = self._gallery.get(int(number))
            if known is None:
                born_s = float(tracks.born_s[row])
                known = self._gallery[int(number)] = KnownObject(class_id, born_s, scene.now_s)
            known.class_id = class_id
            if scene.seen[row]:
                known.seen_s = scene.now_s
            if not scene.free[row]:
                if not (scene.seen[row] or known.is_in_doubt):
                    lost.append(row)
                known.doubt()
            if not known.is_in_doubt or known.place is None:
                known.place, known.place_s = scene.boxes[:, row].copy(), scene.now_s
        # A track that hides another one may have been matched with its detection.
        for row in np.unique(_touching(scene.boxes, np.array(lost, np.intp))).tolist():
            if (known := self._gallery.get(int(tracks.track_id[row]))) is not None:
                known.doubt()
        return row_of

    def _to_check(
        self, tracks: TrackTable, scene: _Scene, row_of: Mapping[int, int]
    ) -> dict[int, _Question]:
        """Return the free tracks to check, by row; tracks without other candidates become certain.

        Two tracks that are detected swap identities only if both are in the clear.
        """
        open_ids = [
            number for number, each in self._gallery.items() if each.is_in_doubt and not each.is_new
        ]
        found: dict[int, _Question] = {}
        fresh = tracks.due_for_id() & scene.free
        for row in fresh.nonzero()[0].tolist():
            lost = [g for g in open_ids if g not in row_of or not scene.seen[row_of[g]]]
            if near := self._near(row, lost, tracks, scene, row_of):
                found[row] = _Question(near, is_open=False)
        for number, row in row_of.items():
            known = self._gallery[number]
            if not (known.is_in_doubt and scene.free[row]):
                continue
            others = [g for g in open_ids if g != number]
            near = self._near(row, others, tracks, scene, row_of)
            if not near:
                known.is_in_doubt = False
            elif scene.now_s - known.check_s >= _CHECK_EVERY_S:
                clear = [g for g in near if g not in row_of or not _hidden(row_of[g], scene)]
                if clear:
                    found[row] = _Question(clear, is_open=len(clear) < len(near))
        asked = {g for question in found.values() for g in question.near if g in row_of}
        for number in sorted(asked):
            row = row_of[number]
            if row not in found and scene.free[row]:
                others = [int(tracks.track_id[each]) for each in found if tracks.track_id[each]]
                near = self._near(row, others, tracks, scene, row_of)
                found[row] = _Question(near, is_open=True)
        return found

    def _near(
        self,
        row: int,
        numbers: list[int],
        tracks: TrackTable,
        scene: _Scene,
        row_of: Mapping[int, int],
    ) -> list[int]:
        """Return those of the ids that a track could have by class, size and position."""
        box, class_id = scene.boxes[:, row], float(tracks.class_id[row])
        return [
            number
            for number in numbers
            if self._gallery[number].class_id == class_id
            and self._distance(box, number, scene, row_of) <= 1
        ]

    def _distance(
        self, box: Float64, number: int, scene: _Scene, row_of: Mapping[int, int]
    ) -> float:
        """Return a box's distance from the last or predicted place of an object, over its reach.

        0 for an object that may be anywhere, infinity for one of another size.
        """
        known = self._gallery[number]
        if known.place is None:
            return 0.0
        ratio = (box[3] - box[1]) / (known.place[3] - known.place[1])
        if not 1 / _MAX_SIZE_RATIO <= ratio <= _MAX_SIZE_RATIO:
            return math.inf
        size = max(known.place[2] - known.place[0], known.place[3] - known.place[1])
        reach = (_START + _PER_SECOND * (scene.now_s - known.place_s)) * size
        far = _apart(box, known.place)
        if number in row_of:
            far = min(far, _apart(box, scene.boxes[:, row_of[number]]))
        return far / float(reach)

    def _check(
        self,
        image: Image,
        questions: Mapping[int, _Question],
        tracks: TrackTable,
        scene: _Scene,
        row_of: dict[int, int],
    ) -> list[int]:
        """Compare the tracks with their candidates and assign identities; return rows to remove."""
        rows = [*questions]
        vectors = self._embedder.embed(image, scene.boxes.T[rows].astype(np.float32))
        pairs: list[tuple[int, int, float]] = []
        leads: dict[int, list[float]] = {}
        numbers = sorted({g for each in questions.values() for g in each.near} | {*row_of})
        for place, row in enumerate(rows):
            own = int(tracks.track_id[row])
            likeness = {g: self._gallery.likeness(g, vectors[place]) for g in questions[row].near}
            is_new = not own or self._gallery[own].is_new
            for g, alike in likeness.items():
                is_lost = is_new or g not in row_of or not scene.seen[row_of[g]]
                less = _LEAD_OF_LOST * (is_lost + (self._gallery[g].place is None))
                less += _FAR * self._distance(scene.boxes[:, row], g, scene, row_of)
                pairs.append((place, numbers.index(g), alike - less))
            likeness[own] = 0.0 if is_new else self._gallery.likeness(own, vectors[place])
            if not is_new:
                pairs.append((place, numbers.index(own), likeness[own] + _LEAD))
            leads[row] = sorted(likeness.values())
        if not pairs:
            return []
        i, j, benefit = map(np.array, zip(*pairs, strict=True))
        tracks_at, numbers_at, _ = assign(i, j, benefit, (len(rows), len(numbers)))
        gone: list[int] = []
        chosen = dict(zip(tracks_at.tolist(), numbers_at.tolist(), strict=True))
        for place, row in enumerate(rows):
            own = int(tracks.track_id[row])
            number = numbers[chosen[place]] if place in chosen else own
            if number != own:
                gone += self._give(row, number, tracks, scene, row_of)
            if number:
                known = self._gallery[number]
                known.check_s = scene.now_s
                known.checks += 1
                is_clear = len(leads[row]) < 2 or leads[row][-1] - leads[row][-2] >= _LEAD_OF_LOST
                if not questions[row].is_open and (is_clear or known.checks >= _CHECKS):
                    known.is_in_doubt = False
        return gone

    def _give(
        self, row: int, number: int, tracks: TrackTable, scene: _Scene, row_of: dict[int, int]
    ) -> list[int]:
        """Give a track the identity `number`; return the rows left without an identity."""
        own, other = int(tracks.track_id[row]), row_of.get(number)
        if other is not None and own and (scene.seen[other] or not self._gallery[own].is_new):
            tracks.swap_ids(row, other)
            row_of[own], row_of[number] = other, row
            self.exchanged.append((own, row, other))
            return []
        if own:
            row_of.pop(own)
            if self._gallery[own].is_new:  # the new id belonged to this object all along
                del self._gallery[own]
        tracks.set_id(row, number, self._gallery[number].born_s)
        row_of[number] = row
        self._gallery[number].seen_s = scene.now_s
        return [] if other is None else [other]

    def _keep_crops(self, frame: Frame, scene: _Scene, row_of: Mapping[int, int]) -> None:
        """Store small crops of tracks that are in the clear and certain."""
        for number, row in row_of.items():
            if scene.free[row] and not self._gallery[number].is_in_doubt:
                self._gallery.keep_crop(number, frame, scene.boxes[:, row], scene.now_s)

    def save(self) -> dict[str, Any]:
        """Return the state by name, as plain data."""
        return {
            "objects": self._gallery.save(),
            "last": None if self._last is None else list(self._last),
            "is_broken_off": self._is_broken_off,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from what `save` returned; raises KeyError, TypeError or ValueError."""
        self._gallery.load(state["objects"])
        last = state["last"]
        self._last = None if last is None else (float(last[0]), float(last[1]), int(last[2]))
        self._is_broken_off = bool(state["is_broken_off"])


def _free(boxes: Float64, seen: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return bool[T]: large enough, inside the picture, and touching no other detected box."""
    height, width = shape[:2]
    free = (boxes[:2] > _EDGE).all(0)
    free &= (boxes[2] < width - _EDGE) & (boxes[3] < height - _EDGE)
    sides = boxes[2:] - boxes[:2]
    free &= (sides[0] >= _MIN_WIDTH) & (sides[1] >= _MIN_HEIGHT)
    at = seen.nonzero()[0]
    free[at[_touching(boxes.take(at, 1), np.arange(len(at)))]] = False
    unhidden: NDArray[np.bool_] = free
    return unhidden


def _touching(boxes: Float64, rows: Rows) -> Rows:
    """Return which boxes of f64[4,T] touch one of `rows` other than themselves."""
    if not len(rows):
        return rows
    i, j = overlapping_pairs(boxes.take(rows, 1).T, boxes.T)
    one, other = boxes.take(rows.take(i), 1), boxes.take(j, 1)
    shared = (np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])).prod(0)
    area = np.minimum((one[2:] - one[:2]).prod(0), (other[2:] - other[:2]).prod(0))
    touching: Rows = j[(rows.take(i) != j) & (shared > _CONTACT * area)]
    return touching


def _hidden(row: int, scene: _Scene) -> bool:
    """Return whether a track is detected but not in the clear, so it cannot be checked now."""
    return bool(scene.seen[row] and not scene.free[row])


def _apart(one: Float64, other: Float64) -> float:
    """Return the distance between the centres of two boxes f64[4]."""
    x, y = one[:2] + one[2:] - other[:2] - other[2:]
    return math.hypot(x, y) / 2
