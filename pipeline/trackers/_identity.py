"""Re-identification: which track is which, by looks, after it was lost or in contact with another.

Looks are compared only where motion leaves doubt. While a track is certain, small pictures of it
are kept, and not looked at. When a track that was lost or touched another stands free again, or a
new one begins, it is embedded and compared with those it could be: themselves in doubt, lost or
remembered, of its class and size, and near enough to have come from there. One assignment decides;
a track keeps its identity unless another one suits clearly better. So nothing is embedded in frames
in which every object goes its own way.

Appearance for association: Wojke, Bewley, Paulus, Simple Online and Realtime Tracking with a Deep
Association Metric, ICIP 2017; its use where motion is ambiguous only, in the way of Deep OC-SORT
(Maggiolino et al. 2023), which weighs it by how much detections tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import overlapping_pairs
from pipeline.core.data import Float32, Frame, Image
from pipeline.core.errors import UsageError
from pipeline.core.interfaces import Embedder
from pipeline.trackers._association import assign
from pipeline.trackers._camera_motion import Similarity
from pipeline.trackers._track_table import Float64, Rows, TrackTable

# Two boxes touch from this part of the smaller one on.
_CONTACT = 0.15
# A picture of a certain track is kept this often, the last few of them, no higher than this.
_CROP_EVERY_S = 0.5
_CROPS = 3
_CROP_HEIGHT = 256
# Smaller boxes, in pixels, show too little; those at the edge of the picture only a part.
_MIN_WIDTH, _MIN_HEIGHT, _EDGE = 8, 16, 2
# How much of what was known of an object's looks a new picture replaces.
_NEW_PART = 0.3
# An object may have come from so far, in its longer sides: to begin with, and more each second.
_START, _PER_SECOND = 0.5, 1.5
_MAX_SIZE_RATIO = 2.0
# By so much another identity must look more like a track than its own, and by so much a track more
# than it has to like one that is lost; as much again if that may be anywhere, after a break. A lead
# of as much over all others is certain at once.
_LEAD, _LEAD_OF_LOST = 0.08, 0.05
# A place at the end of the reach is worth so much less than one in the middle.
_FAR = 0.05
# Looks at a track in doubt, and the seconds between them.
_CHECKS = 3
_CHECK_EVERY_S = 0.4

_STATE = ("class_id", "born_s", "seen_s", "place_s", "crop_s", "check_s", "checks", "is_in_doubt")


@dataclass
class _Object:
    """What is known of one identity; times in seconds of the tracker's clock."""

    class_id: float
    born_s: float
    seen_s: float
    place: Float64 | None = None
    """f64[4] xyxy where it was last free and certain; None: anywhere, as the source broke off."""
    place_s: float = 0.0
    crop_s: float = -math.inf
    check_s: float = -math.inf
    checks: int = 0
    is_in_doubt: bool = True
    looks: Float32 | None = None
    """f32[2,D]: the running mean of its unit vectors, and the last one."""
    pending: list[Any] = field(default_factory=list)
    """The last pictures that nothing had to be compared with yet, or vectors f32[D] of them."""

    @property
    def is_new(self) -> bool:
        """Whether nothing is known of how it looks."""
        return self.looks is None and not self.pending

    def learn(self, vector: Float32) -> None:
        """Take in one more unit vector f32[D]."""
        mean = vector if self.looks is None else self.looks[0]
        mean = (1 - _NEW_PART) * mean + _NEW_PART * vector
        mean /= max(float(np.linalg.norm(mean)), 1e-6)
        self.looks = np.stack((mean, vector)).astype(np.float32)

    def doubt(self) -> None:
        """Begin to doubt it."""
        if not self.is_in_doubt:
            self.is_in_doubt, self.checks = True, 0


class _Scene(NamedTuple):
    """The tracks of one frame: boxes f64[4,T], which are detected, and which stand free."""

    boxes: Float64
    seen: NDArray[np.bool_]
    free: NDArray[np.bool_]
    now_s: float


class _Question(NamedTuple):
    """Which identities a track could have beside its own; open: others too, not to be seen now."""

    near: list[int]
    is_open: bool


class Identities:
    """The identities of one source's tracks: those there are, and those remembered."""

    def __init__(self, embedder: Embedder, remember_s: float) -> None:
        self._embedder = embedder
        self.remember_s = remember_s
        self._objects: dict[int, _Object] = {}
        # Of the last frame: time, monotonic time, epoch; None before the first.
        self._last: tuple[float, float, int] | None = None
        self._is_broken_off = False
        self.exchanged: list[tuple[int, int, int]] = []
        """In the last frame: the id that a track had, its row, the row of the track that has it."""

    def open(self) -> None:
        """Load the embedder; raises ModelError."""
        self._embedder.open()

    def close(self) -> None:
        """Release the embedder."""
        self._embedder.close()

    def break_off(self, now_s: float) -> None:
        """Begin anew at time 0: what was known may be anywhere now, and wears what it wore."""
        self._is_broken_off = True
        for number, each in [*self._objects.items()]:
            if each.is_new:
                del self._objects[number]
            each.place, each.is_in_doubt = None, True
            each.seen_s -= now_s
            each.born_s -= now_s
            each.crop_s = each.check_s = -math.inf

    def warp(self, motion: Similarity) -> None:
        """Move the places along with the camera."""
        for each in self._objects.values():
            if each.place is not None:
                each.place = motion.boxes(each.place[:, None])[:, 0]

    def resolve(self, frame: Frame, tracks: TrackTable, boxes: Float64, now_s: float) -> Rows:
        """Give each track the identity it looks like; return the rows that are left without one.

        `boxes` f64[4,T] are where the tracks now are. Raises UsageError where a frame has no
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
        self._forget(row_of, now_s)
        return np.array(gone, np.intp)

    def _note(self, frame: Frame, now_s: float) -> None:
        """Note the frame's times; forget what was before a break that lasted too long."""
        if frame.shape[:2] == (1, 1):
            raise UsageError("tracker.embedder: wants pictures, and these frames have none")
        if self._is_broken_off and self._last is not None:
            pts_s, captured_at, epoch = self._last
            gap_s = frame.captured_at - captured_at if frame.epoch != epoch else 0.0
            gap_s = max(gap_s, frame.pts_s - pts_s, 0.0)
            for each in self._objects.values():
                each.seen_s -= gap_s if math.isfinite(gap_s) else math.inf
            self._is_broken_off = False
            self._forget({}, now_s)
        self._last = frame.pts_s, frame.captured_at, frame.epoch

    def _look_around(self, tracks: TrackTable, scene: _Scene) -> dict[int, int]:
        """Note where the tracks with an id are, and which are in doubt now; return their rows."""
        row_of: dict[int, int] = {}
        lost: list[int] = []
        rows = (tracks.track_id > 0).nonzero()[0]
        ids, classes = tracks.track_id.take(rows), tracks.class_id.take(rows)
        for row, number, class_id in zip(
            rows.tolist(), ids.tolist(), classes.tolist(), strict=True
        ):
            row_of[int(number)] = row
            known = self._objects.get(int(number))
            if known is None:
                born_s = float(tracks.born_s[row])
                known = self._objects[int(number)] = _Object(class_id, born_s, scene.now_s)
            known.class_id = class_id
            if scene.seen[row]:
                known.seen_s = scene.now_s
            if not scene.free[row]:
                if not (scene.seen[row] or known.is_in_doubt):
                    lost.append(row)
                known.doubt()
            if not known.is_in_doubt or known.place is None:
                known.place, known.place_s = scene.boxes[:, row].copy(), scene.now_s
        # Who hides another one may have got its detection.
        for row in np.unique(_touching(scene.boxes, np.array(lost, np.intp))).tolist():
            if (known := self._objects.get(int(tracks.track_id[row]))) is not None:
                known.doubt()
        return row_of

    def _to_check(
        self, tracks: TrackTable, scene: _Scene, row_of: Mapping[int, int]
    ) -> dict[int, _Question]:
        """Return the free tracks to look at, by row; those that nobody else could be are certain.

        Two tracks that are detected change identities only where both stand free.
        """
        open_ids = [
            number for number, each in self._objects.items() if each.is_in_doubt and not each.is_new
        ]
        found: dict[int, _Question] = {}
        fresh = tracks.due_for_id() & scene.free
        for row in fresh.nonzero()[0].tolist():
            lost = [g for g in open_ids if g not in row_of or not scene.seen[row_of[g]]]
            if near := self._near(row, lost, tracks, scene, row_of):
                found[row] = _Question(near, is_open=False)
        for number, row in row_of.items():
            known = self._objects[number]
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
        """Return those of the ids that a track could be by class, size and place."""
        box, class_id = scene.boxes[:, row], float(tracks.class_id[row])
        return [
            number
            for number in numbers
            if self._objects[number].class_id == class_id
            and self._distance(box, number, scene, row_of) <= 1
        ]

    def _distance(
        self, box: Float64, number: int, scene: _Scene, row_of: Mapping[int, int]
    ) -> float:
        """Return how far a box is from where an object was or is expected, in parts of its reach.

        0 for one that may be anywhere, infinity for one of another size.
        """
        known = self._objects[number]
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
        """Compare the tracks with who they could be, and decide; return rows to remove."""
        rows = [*questions]
        vectors = self._embedder.embed(image, scene.boxes.T[rows].astype(np.float32))
        pairs: list[tuple[int, int, float]] = []
        leads: dict[int, list[float]] = {}
        numbers = sorted({g for each in questions.values() for g in each.near} | {*row_of})
        for place, row in enumerate(rows):
            own = int(tracks.track_id[row])
            likeness = {g: self._likeness(g, vectors[place]) for g in questions[row].near}
            is_new = not own or self._objects[own].is_new
            for g, alike in likeness.items():
                is_lost = is_new or g not in row_of or not scene.seen[row_of[g]]
                less = _LEAD_OF_LOST * (is_lost + (self._objects[g].place is None))
                less += _FAR * self._distance(scene.boxes[:, row], g, scene, row_of)
                pairs.append((place, numbers.index(g), alike - less))
            likeness[own] = 0.0 if is_new else self._likeness(own, vectors[place])
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
                known = self._objects[number]
                known.check_s = scene.now_s
                known.checks += 1
                is_clear = len(leads[row]) < 2 or leads[row][-1] - leads[row][-2] >= _LEAD_OF_LOST
                if not questions[row].is_open and (is_clear or known.checks >= _CHECKS):
                    known.is_in_doubt = False
        return gone

    def _likeness(self, number: int, vector: Float32) -> float:
        """Return by how much a vector is more like an object than it has to be."""
        known = self._objects[number]
        for each in self._vectors(known):
            known.learn(each)
        known.pending.clear()
        if known.looks is None:
            return 0.0
        return float((known.looks @ vector).max()) - self._embedder.min_similarity

    def _vectors(self, known: _Object) -> list[Float32]:
        """Return f32[D] of each picture of an object that is pending."""
        return [
            each if each.ndim == 1 else self._embedder.embed(each, _whole(each))[0]
            for each in known.pending
        ]

    def _give(
        self, row: int, number: int, tracks: TrackTable, scene: _Scene, row_of: dict[int, int]
    ) -> list[int]:
        """Give a track the identity `number`; return the rows that are nobody's any more."""
        own, other = int(tracks.track_id[row]), row_of.get(number)
        if other is not None and own and (scene.seen[other] or not self._objects[own].is_new):
            tracks.swap_ids(row, other)
            row_of[own], row_of[number] = other, row
            self.exchanged.append((own, row, other))
            return []
        if own:
            row_of.pop(own)
            if self._objects[own].is_new:  # it was this one all along
                del self._objects[own]
        tracks.set_id(row, number, self._objects[number].born_s)
        row_of[number] = row
        self._objects[number].seen_s = scene.now_s
        return [] if other is None else [other]

    def _keep_crops(self, frame: Frame, scene: _Scene, row_of: Mapping[int, int]) -> None:
        """Keep small pictures of tracks that stand free and are certain."""
        for number, row in row_of.items():
            known = self._objects[number]
            if known.is_in_doubt or not scene.free[row]:
                continue
            if scene.now_s - known.crop_s < _CROP_EVERY_S:
                continue
            known.crop_s = scene.now_s
            known.pending = [*known.pending[1 - _CROPS :], _cut(frame.image, scene.boxes[:, row])]

    def _forget(self, row_of: Mapping[int, int], now_s: float) -> None:
        """Forget objects that are no track any more and were not seen for too long."""
        for number, known in [*self._objects.items()]:
            if number not in row_of and (known.is_new or now_s - known.seen_s > self.remember_s):
                del self._objects[number]

    def save(self) -> dict[str, Any]:
        """Return all there is by name, as plain data; pictures as the vectors they stand for."""
        for known in self._objects.values():
            known.pending = [*self._vectors(known)]  # still pending: what comes out is the same
        return {
            "objects": [self._saved(*each) for each in self._objects.items()],
            "last": None if self._last is None else list(self._last),
            "is_broken_off": self._is_broken_off,
        }

    def _saved(self, number: int, known: _Object) -> dict[str, Any]:
        numbers = {name: getattr(known, name) for name in _STATE}
        place = None if known.place is None else known.place.copy()
        looks = None if known.looks is None else known.looks.copy()
        pending = [each.copy() for each in known.pending]
        return {"id": number, **numbers, "place": place, "looks": looks, "pending": pending}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `save` returned; raises KeyError, TypeError or ValueError."""
        self._objects = {}
        for saved in state["objects"]:
            known = _Object(**{name: saved[name] for name in _STATE})
            known.place, known.looks = saved["place"], saved["looks"]
            known.pending = [*saved["pending"]]
            self._objects[int(saved["id"])] = known
        last = state["last"]
        self._last = None if last is None else (float(last[0]), float(last[1]), int(last[2]))
        self._is_broken_off = bool(state["is_broken_off"])


def _free(boxes: Float64, seen: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return bool[T]: boxes large enough, inside the picture, that touch no other detected one."""
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
    """Return the boxes of f64[4,T] that touch one of `rows`, which is another."""
    if not len(rows):
        return rows
    i, j = overlapping_pairs(boxes.take(rows, 1).T, boxes.T)
    one, other = boxes.take(rows.take(i), 1), boxes.take(j, 1)
    shared = (np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])).prod(0)
    area = np.minimum((one[2:] - one[:2]).prod(0), (other[2:] - other[:2]).prod(0))
    touching: Rows = j[(rows.take(i) != j) & (shared > _CONTACT * area)]
    return touching


def _hidden(row: int, scene: _Scene) -> bool:
    """Return whether a track is detected but not free: nothing can be said of it now."""
    return bool(scene.seen[row] and not scene.free[row])


def _whole(picture: Image) -> Float32:
    height, width = picture.shape[:2]
    return np.array([[0, 0, width, height]], np.float32)


def _apart(one: Float64, other: Float64) -> float:
    """Return the distance of the centres of two boxes f64[4]."""
    x, y = one[:2] + one[2:] - other[:2] - other[2:]
    return math.hypot(x, y) / 2


def _cut(image: Image, box: Float64) -> Image:
    """Return a copy of what a box inside the picture covers, made smaller where it is large."""
    left, top, right, bottom = box.astype(int).tolist()
    part = image[top : bottom + 1, left : right + 1]
    if part.shape[0] <= _CROP_HEIGHT:
        return part.copy()
    import cv2

    size = max(round(part.shape[1] * _CROP_HEIGHT / part.shape[0]), 1), _CROP_HEIGHT
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
