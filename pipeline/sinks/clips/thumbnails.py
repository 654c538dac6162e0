"""Thumbnails of visits: a track's best moment, cut from the pictures that clips are made of.

Best is large, sharp and whole: size times sharpness, much less where the box is cut by the edge of
the picture. A first thumbnail is made from the seconds before the visit's first event, and replaced
whenever a clearly better moment comes. Looking for it is cheap on the thread that takes results (no
picture is touched); decoding, measuring and writing are on a thread of their own.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.core.atomic_file import replacing
from pipeline.core.data import Image
from pipeline.core.paths import safe_stem
from pipeline.core.scaling import averaged
from pipeline.core.worker import Fail, Worker
from pipeline.events.store.clip_files import make_private
from pipeline.sinks.clips.pre_roll import PreRollFrame, lower_priority

log = logging.getLogger("trackline")

SIZE = (320, 240)
"""Maximum size of a thumbnail, (width, height)."""
QUALITY = 82
MAX_VISITS = 2000
"""Maximum tracks followed at once."""
MAX_WAITING = 64
"""Maximum moments waiting for examination, about 3 MB; beyond it the oldest is dropped."""
FIRST_TRIES = 3
MARGIN = 1.5
"""Minimum height and width shown, relative to the box."""
MIN_SHARE = 0.3
"""Minimum share of the picture's height shown."""
_CLEARLY = 1.15
_PROMISING = 0.8
_EVERY_S = 0.3
_CUT = 0.3
_EDGE_PX = 3
_MEASURED_PX = 96

Box = tuple[float, float, float, float]


class Thumbnail(NamedTuple):
    """A thumbnail: its visit, and its file below the folder of clips."""

    visit: str
    camera: str
    began: float
    path: str
    jpeg: bytes


OnMade = Callable[[Thumbnail], object]


@dataclass(slots=True)
class _Followed:
    """A track whose best moment is searched."""

    uid: str
    unix_s: float
    best: float = 0.0  # by size alone
    asked_s: float = float("-inf")


@dataclass(frozen=True, slots=True)
class _Moment:
    uid: str
    unix_s: float
    picture: PreRollFrame
    box: Box


class ThumbnailMaker:
    """Takes pictures (`begin`, `add`, `end`, any thread), writes thumbnails on its own thread."""

    def __init__(self, folder: Path, on_made: OnMade) -> None:
        self._folder = folder
        self._on_made = on_made
        self._followed: dict[str, dict[int, _Followed]] = {}
        self._waiting: deque[_Moment] = deque(maxlen=MAX_WAITING)
        self._changed = threading.Condition()
        self._closing = False
        self._is_problem_logged = False
        self._made: OrderedDict[str, tuple[str, float]] = OrderedDict()  # path and score by visit
        self._worker = Worker("events: thumbnails", self._work, lambda: None)

    def start(self, fail: Fail) -> None:
        """Begin on a thread."""
        self._worker.start(fail)

    def begin(self, uid: str, track_id: int, unix_s: float, before: Sequence[PreRollFrame]) -> None:
        """Follow the track of a visit from now on; `before` are the pictures up to its event."""
        one = _Followed(uid, unix_s)
        with self._changed:
            known = self._followed.setdefault(before[-1].source, {})
            if track_id in known or len(known) >= MAX_VISITS:
                return
            known[track_id] = one
        found = [
            (_size(picture.width, picture.height, box), picture, box)
            for picture in before
            if (box := _box_of(picture, track_id)) is not None
        ]
        found.sort(key=lambda each: -each[0])
        for score, picture, box in found[:FIRST_TRIES]:
            one.best = max(one.best, score)
            self._put(_Moment(uid, unix_s, picture, box))

    def add(self, picture: PreRollFrame) -> None:
        """Look for followed tracks in a new picture."""
        with self._changed:  # cameras that fall silent end visits on another thread
            followed = list(self._followed.get(picture.source, {}).items())
        for track_id, one in followed:
            if picture.time_s - one.asked_s < _EVERY_S:
                continue
            box = _box_of(picture, track_id)
            score = 0.0 if box is None else _size(picture.width, picture.height, box)
            if box is not None and score > one.best * _PROMISING:
                one.best, one.asked_s = max(one.best, score), picture.time_s
                self._put(_Moment(one.uid, one.unix_s, picture, box))

    def end(self, uids: Sequence[str]) -> None:
        """Stop following the tracks of these visits."""
        gone = set(uids)
        with self._changed:
            for known in self._followed.values():
                for track_id in [key for key, one in known.items() if one.uid in gone]:
                    del known[track_id]

    def close(self, timeout_s: float) -> None:
        """Write waiting thumbnails and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._worker.join(timeout_s)

    def _put(self, moment: _Moment) -> None:
        with self._changed:
            self._waiting.append(moment)
            self._changed.notify_all()

    # -- the thread that writes -------------------------------------------------------------------

    def _work(self) -> None:
        lower_priority()
        while (moment := self._next()) is not None:
            image = moment.picture.result().frame.image
            score = quality_of(image, moment.box)
            path, best = self._made.get(moment.uid, ("", 0.0))
            if score <= best * _CLEARLY:
                continue
            stamp = datetime.fromtimestamp(moment.unix_s, UTC).strftime("%Y%m%d-%H%M%S")
            path = path or f"{safe_stem(moment.picture.source)}/{stamp}-{moment.uid[:8]}.jpg"
            part = cut_out(image, moment.box)
            jpeg = cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
            if self._write(self._folder / path, jpeg):
                self._made[moment.uid] = path, score
                if len(self._made) > MAX_VISITS:
                    self._made.popitem(last=False)
                camera = moment.picture.source
                self._on_made(Thumbnail(moment.uid, camera, moment.unix_s, path, jpeg))

    def _next(self) -> _Moment | None:
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return None
                self._changed.wait(1.0)
            return self._waiting.popleft()

    def _write(self, file: Path, jpeg: bytes) -> bool:
        """Write a file readable by its owner only; return False if that fails."""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as partial:
                make_private(partial)
                partial.write_bytes(jpeg)
        except OSError as error:
            if not self._is_problem_logged:
                log.warning("events: %s: cannot be written: %s", file, error.strerror)
            self._is_problem_logged = True
            return False
        self._is_problem_logged = False
        return True


def _box_of(picture: PreRollFrame, track_id: int) -> Box | None:
    """Return the box of a track that was detected in a picture."""
    tracks = picture.tracks
    for row in np.flatnonzero((tracks.track_id == track_id) & (tracks.detection >= 0)).tolist():
        x1, y1, x2, y2 = tracks.xyxy[row].tolist()
        return x1, y1, x2, y2
    return None


def _size(width: int, height: int, box: Box) -> float:
    """Return the visible size of a box in pixels; much less if the picture's edge cuts it."""
    x1, y1, x2, y2 = box
    is_cut = x1 < _EDGE_PX or y1 < _EDGE_PX or x2 > width - _EDGE_PX or y2 > height - _EDGE_PX
    across = min(x2, width) - max(x1, 0)
    down = min(y2, height) - max(y1, 0)
    size = float(np.sqrt(max(across, 0) * max(down, 0)))
    return size * (_CUT if is_cut else 1.0)


def quality_of(image: Image, box: Box) -> float:
    """Return size times sharpness of the content of the box, 0 for an empty one.

    Sharpness is the standard deviation of the Laplacian (Pech-Pacheco et al. 2000) at one common
    size, so that large and small boxes compare.
    """
    height, width = image.shape[:2]
    x1, y1 = max(int(box[0]), 0), max(int(box[1]), 0)
    part = image[y1 : int(box[3]) + 1, x1 : int(box[2]) + 1]
    if min(part.shape[:2]) < 2:
        return 0.0
    grey = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY)
    scale = _MEASURED_PX / max(grey.shape)
    if scale < 1:
        size = max(round(grey.shape[1] * scale), 2), max(round(grey.shape[0] * scale), 2)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).std())
    return _size(width, height, box) * (1.0 + sharpness)


def cut_out(image: Image, box: Box) -> Image:
    """Return the box with its surroundings, four to three, at most `SIZE`, within the picture."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    aspect = SIZE[0] / SIZE[1]
    down = max(MARGIN * (y2 - y1), MARGIN * (x2 - x1) / aspect, MIN_SHARE * height)
    down = min(down, height, width / aspect)
    across = down * aspect
    left = min(max((x1 + x2 - across) / 2, 0), width - across)
    top = min(max((y1 + y2 - down) / 2, 0), height - down)
    part = image[round(top) : round(top + down), round(left) : round(left + across)]
    if part.shape[0] > SIZE[1]:
        return averaged(part, (SIZE[1], SIZE[0]))
    return np.ascontiguousarray(part)
