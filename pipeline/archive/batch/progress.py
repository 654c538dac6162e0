"""Progress of a batch job in numbers: files, hours of video, multiple of real time, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from pipeline.archive.batch.grouping import Recording

UPDATE_EVERY_S = 0.5

UpdateKind = Literal["begun", "frames", "done", "kept", "failed"]


@dataclass(frozen=True, slots=True)
class Update:
    """Update about one recording: `seconds` of it were read since the last update.

    "kept": it was already in the dataset. "failed" has a reason, and "done" if it broke off.
    """

    kind: UpdateKind
    camera: str
    path: str
    seconds: float = 0.0
    frames: int = 0
    reason: str = ""


Report = Callable[[Update], None]


class Pace:
    """Progress of a recording, and when a checkpoint or an update is due."""

    def __init__(self, checkpoint_s: float, first: int) -> None:
        self.frame = first - 1
        self._checkpoint_s = checkpoint_s
        self._checkpoint_at = time.monotonic() + checkpoint_s
        self._update_at = 0.0
        self._at_s = self._reported_s = 0.0
        self._reported_frame = first - 1

    def add(self, frame: int, pts_s: float) -> None:
        """Count a frame that was written."""
        self.frame, self._at_s = frame, pts_s

    @property
    def is_update_due(self) -> bool:
        """Return whether an update is due."""
        return time.monotonic() >= self._update_at

    def update(self, camera: str, recording: Recording) -> Update:
        """Return the update since the last one."""
        seconds, frames = self._at_s - self._reported_s, self.frame - self._reported_frame
        self._reported_s, self._reported_frame = self._at_s, self.frame
        self._update_at = time.monotonic() + UPDATE_EVERY_S
        return Update("frames", camera, str(recording.path), max(0.0, seconds), frames)

    @property
    def is_checkpoint_due(self) -> bool:
        """Return whether a checkpoint is due, after this much work since the last one."""
        return time.monotonic() >= self._checkpoint_at

    def checkpoint_made(self) -> None:
        """Restart the count of work since the last checkpoint."""
        self._checkpoint_at = time.monotonic() + self._checkpoint_s


@dataclass
class JobProgress:
    """Progress of a job according to the updates so far.

    Durations come from the files' headers; a finished file counts with that duration, so that the
    hours add up to the total even if a file is really shorter or longer.
    """

    files: int
    total_s: float
    durations: dict[str, float]
    files_done: int = 0
    files_kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    """Reasons by path: files that this run could not read, or that broke off."""
    failed_before: int = 0
    """The same for files of an earlier run; they are not tried again."""
    frames: int = 0
    read_s: float = 0.0
    _settled_s: float = 0.0
    _kept_s: float = 0.0
    _open: dict[str, float] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, recordings: Iterable[Recording]) -> JobProgress:
        """Return the progress of a job that has not started."""
        durations = {str(one.path): one.duration_s for one in recordings}
        return cls(len(durations), sum(durations.values()), durations)

    def add(self, update: Update) -> None:
        """Count an update.

        A recording ends once: a task restarted elsewhere finds the earlier ones in the dataset.
        """
        if update.path in self._ended:
            return
        path, duration_s = update.path, self.durations.get(update.path, 0.0)
        self.frames += update.frames
        self.read_s += update.seconds
        if update.kind in ("begun", "frames"):
            self._open[path] = min(self._open.get(path, 0.0) + update.seconds, duration_s)
            return
        self._open.pop(path, None)
        self._ended.add(path)
        self._settled_s += duration_s
        self.files_done += 1
        if update.kind == "kept":
            self.files_kept += 1
            self._kept_s += duration_s
            self.failed_before += bool(update.reason)
        elif update.reason:
            self.failures[path] = update.reason

    @property
    def done_s(self) -> float:
        """Return how many seconds of video are done."""
        return self._settled_s + sum(self._open.values())

    def speed(self, elapsed_s: float) -> float:
        """Return how many seconds of video this run processes per second, 0 at first."""
        done_s = self.done_s - self._kept_s
        return done_s / elapsed_s if elapsed_s > 0 else 0.0

    def left_s(self, elapsed_s: float) -> float | None:
        """Return the seconds left at this speed, None while unknown."""
        speed = self.speed(elapsed_s)
        return max(0.0, self.total_s - self.done_s) / speed if speed > 0 else None

    def line(self, elapsed_s: float) -> str:
        """Return the progress in one line."""
        parts = [
            f"{self.files_done} of {self.files} files",
            f"{hours(self.done_s)} of {hours(self.total_s)} of video",
        ]
        if speed := self.speed(elapsed_s):
            parts.append(f"{speed:.1f} x real time")
        if (left_s := self.left_s(elapsed_s)) is not None and self.files_done < self.files:
            parts.append(f"{hours(left_s)} left")
        if self.failures:
            parts.append(f"{len(self.failures)} failed")
        return ", ".join(parts)


def hours(seconds: float) -> str:
    """Return a duration as 0:59:03 (hours, minutes, seconds)."""
    whole = round(max(0.0, seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
