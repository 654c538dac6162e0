"""Thinned tracks of each camera's last minute, for counting edited zones before they are saved."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pipeline.core.data import ClassNames, Frame, Result
from pipeline.core.run_info import RunInfo
from pipeline.events.zones.count_table import count_rows
from pipeline.events.zones.replay import Step, replayed
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.watcher import ZoneWatcher
from pipeline.server.schemas import Count, ZonePreview

KEPT_S = 60.0
SAMPLE_S = 0.1
"""Minimum interval between two frames kept per camera."""
MAX_FRAMES = round(2 * KEPT_S / SAMPLE_S)
"""Limit per camera: more than a minute holds, unless its clock stands still."""
_JITTER_S = 0.01


class _Kept(NamedTuple):
    step: Step
    names: ClassNames


class RecentTracks:
    """Sink that keeps the tracks of the last minute, without pictures; any thread may count."""

    own_thread = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counting = threading.Lock()  # one at a time: it takes processor time from cameras
        self._kept: dict[str, deque[_Kept]] = {}

    def open(self, run: RunInfo) -> None:
        """Do nothing: no part of the run is needed."""
        del run

    def write(self, result: Result) -> None:
        """Keep the result's tracks; forget older ones, and those of cameras that are gone."""
        kept = _Kept(Step(_without_picture(result.frame), result.tracks), result.class_names)
        oldest = result.frame.captured_at - KEPT_S
        with self._lock:
            _add(self._kept.setdefault(result.frame.source, deque(maxlen=MAX_FRAMES)), kept)
            for name, frames in list(self._kept.items()):
                while frames and frames[0].step.frame.captured_at < oldest:
                    frames.popleft()
                if not frames:
                    del self._kept[name]

    def close(self) -> None:
        """Do nothing: no resource is open."""

    def preview(self, camera: str, zones: CameraZones) -> ZonePreview:
        """Return what these zones and lines would have counted; no seconds without any track."""
        with self._lock:
            kept = list(self._kept.get(camera, ()))
        if not kept:
            return ZonePreview(seconds=0, counts=[])
        watcher = ZoneWatcher(zones, warn=False, beyond="ignore")
        with self._counting:
            for _ in replayed((each.step for each in kept), watcher, kept[-1].names):
                pass
        first, last = kept[0].step.frame, kept[-1].step.frame
        rows = count_rows(watcher.counts(), zones)
        return ZonePreview(
            seconds=round(last.captured_at - first.captured_at, 1),
            counts=[Count(camera=camera, **row) for row in rows],
        )


def _add(frames: deque[_Kept], new: _Kept) -> None:
    """Add a frame unless one was kept a moment ago; a detected frame replaces a skipped one.

    With frame skipping, the samples would otherwise be predictions only, which no zone counts.
    """
    if frames:
        last = frames[-1].step
        passed = new.step.frame.captured_at - last.frame.captured_at
        if passed < SAMPLE_S - _JITTER_S:
            if not _is_detected(last) and _is_detected(new.step):
                frames[-1] = new
            return
    frames.append(new)


def _is_detected(step: Step) -> bool:
    return bool((step.tracks.detection >= 0).any())


def _without_picture(frame: Frame) -> Frame:
    """Return a frame whose picture has only a size, and takes no memory."""
    return replace(frame, image=np.broadcast_to(np.uint8(0), frame.shape))
