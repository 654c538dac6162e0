"""Damage log of a video file, its summary in one line, and signs of possible losses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.sources._file.container_structure import empty_frames, structure_fault
from pipeline.sources._file.declared_length import is_whole, missing_bytes
from pipeline.sources._file.time_steps import JUMP_RATIO, TimeSteps

if TYPE_CHECKING:
    from av.video.stream import VideoStream

    from pipeline.sources._file.times import StepsBack

# A healthy variable-rate file may show its last picture for long, so its declared duration alone
# is no proof: the silence at the end must also dwarf every pause before it.
_MIN_GAP_S = 1.0
_GAP_RATIO = 4.0
_MARK_AHEAD = 3
# Longer steps than this justify the cost of checking the container's structure.
_DOUBT_RATIO = 1.5
# A difference of a few frames from an AVI's header may be the recorder's way of counting.
_COUNT_SHARE = 0.95


class DamageLog:
    """Counts packets and pictures while a file is read, and judges it at the end."""

    def __init__(self) -> None:
        self.packets = 0
        self.frames = 0
        self.joins = 0
        self.begins_with_key = False
        self._marked: tuple[int, float | None] | None = None
        self.stopped_by: str | None = None
        self.too_large = 0
        self._bad = 0
        self._first_bad: tuple[int, float] | None = None
        self._last_s = 0.0
        self._first_s = 0.0
        self._last_shown_s = 0.0
        self._steps = TimeSteps()

    def good(self, seconds: float, shown_s: float = 0.0) -> None:
        """Record a delivered frame, shown for `shown_s` by the container, 0 if unknown."""
        if self.frames:
            self._steps.note(self.frames - 1, self._last_s, seconds - self._last_s)
        else:
            self._first_s = seconds
        self._last_s = seconds
        self._last_shown_s = shown_s
        self.frames += 1

    def note_packet(self, seconds: float | None, *, corrupt: bool, keyframe: bool) -> None:
        """Record whether the packet just counted is marked as damaged.

        A mark at or shortly before a key frame is a join, any other is damage: parsers attach the
        mark to a packet or two before the one it came with.
        """
        if self.packets == 1:
            self.begins_with_key = keyframe
        if self._marked is not None:
            if keyframe:
                self.joins += 1
                self._marked = None
            elif self.packets - 1 - self._marked[0] >= _MARK_AHEAD:
                self.resolve_mark()
        if corrupt and keyframe:
            self.joins += 1
        elif corrupt and self._marked is None:
            self._marked = (self.packets - 1, seconds)

    def resolve_mark(self) -> None:
        """Record that no key frame followed the last mark."""
        if self._marked is not None:
            self.bad(*self._marked)
            self._marked = None

    def bad(self, frame: int, seconds: float | None) -> None:
        """Record a damaged packet or picture, at its own time or that of the last one."""
        self._bad += 1
        if self._first_bad is None:
            self._first_bad = (frame, self._last_s if seconds is None else seconds)

    def verdict(self, path: Path, stream: VideoStream, *, timed: bool = True) -> str | None:
        """Describe where the file breaks off or is damaged, None if nothing is missing.

        `timed` says that the frames' times are the container's, so that its duration can be
        checked.
        """
        of = f" of {stream.frames}" if stream.frames else ""
        end = f"breaks off after frame {self.frames - 1}{of} at {self._last_s:.3f} s"
        if self.stopped_by is not None:
            return f"{end} ({self.stopped_by})"
        # With every packet of the index read, only padding or the index itself can be cut.
        complete = 0 < stream.frames <= self.packets
        if not complete and (missing := _missing_bytes(path)):
            return f"{end} ({missing} bytes are missing)"
        if self._first_bad is not None and self.too_large:
            frame, seconds = self._first_bad
            return (
                f"pictures larger than max_megapixels from frame {frame}{of}, {seconds:.3f} s "
                f"({self.too_large} such); {self.frames} frames were read"
            )
        if self._first_bad is not None:
            frame, seconds = self._first_bad
            return (
                f"damaged at frame {frame}{of}, {seconds:.3f} s ({self._bad} bad packets or "
                f"pictures); {self.frames} frames were read"
            )
        if (unread := len(stream.index_entries) - self.packets) > 0:
            return f"{unread} frames of its index are missing; {self.frames} frames were read"
        lacking = self._lacking_frames(path, stream)
        if lacking > (1 - _COUNT_SHARE) * stream.frames:
            return f"{_counted(stream.frames, self.packets)}; {self.frames} frames were read"
        if timed and not (complete or _is_whole(path)) and self._ends_early(stream):
            return f"{end} (its duration is {duration_s(stream):.3f} s)"
        if timed and (lacking or self._is_doubtful()) and (fault := _structure_fault(path, stream)):
            return f"damaged: {fault}; {self.frames} frames were read"
        return None

    def doubts(self, path: Path, stream: VideoStream, back: StepsBack | None) -> list[str]:
        """Return a line for each sign of missing pictures that may also be intended.

        `back` are the backward steps of the container's times, which the frames must have as well.
        """
        jumps = self._steps.jumps()
        found = [str(each) for each in (jumps, back) if each is not None]
        if self._lacking_frames(path, stream):
            found.append(_counted(stream.frames, self.packets))
        elif not found and self._steps.is_even and not 0 < stream.frames <= self.packets:
            silence_s = self._silence_s(stream)
            if silence_s > max(_MIN_GAP_S, JUMP_RATIO * self._steps.usual_s):
                found.append(f"its last picture is shown {silence_s:.3f} s before its end")
        return found

    def _ends_early(self, stream: VideoStream) -> bool:
        longest_s = max(self._first_s, self._steps.longest_s)
        return self._silence_s(stream) > max(_MIN_GAP_S, _GAP_RATIO * longest_s)

    def _silence_s(self, stream: VideoStream) -> float:
        """Return how long, by the container, the stream goes on after its last picture."""
        return duration_s(stream) - self._last_s - self._last_shown_s

    def _is_doubtful(self) -> bool:
        """Return whether the times are unlike those of a healthy even recording."""
        limit_s = _DOUBT_RATIO * self._steps.usual_s
        longest_s = max(self._first_s, self._steps.longest_s)
        return longest_s > limit_s or self.joins > 0

    def _lacking_frames(self, path: Path, stream: VideoStream) -> int:
        """Return how many frames that an AVI's header counts did not come.

        Frames that only repeat the previous picture are no loss. Other headers may count more:
        MP4's index includes what an edit list hides.
        """
        if stream.container.format.name != "avi" or not 0 < self.packets < stream.frames:
            return 0
        return max(stream.frames - self.packets - _empty_frames(path, stream), 0)


def _counted(says: int, holds: int) -> str:
    return f"says that it has {says} frames, {holds} are in it"


def _missing_bytes(path: Path) -> int:
    try:
        return missing_bytes(path)
    except OSError:  # a pipe, or a file removed in the meantime: unknown
        return 0


def _structure_fault(path: Path, stream: VideoStream) -> str:
    try:
        return structure_fault(path, stream.id)
    except OSError:
        return ""


def _empty_frames(path: Path, stream: VideoStream) -> int:
    try:
        return empty_frames(path, stream.index)
    except OSError:
        return 0


def _is_whole(path: Path) -> bool:
    try:
        return is_whole(path)
    except OSError:
        return False


def duration_s(stream: VideoStream) -> float:
    """Return the stream's declared duration in seconds, 0 if it is not given.

    Matroska has it as a tag, in which FFmpeg writes the end time: the start is included.
    """
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    hours, minutes, seconds = (["0"] * 3 + stream.metadata.get("DURATION", "0").split(":"))[-3:]
    try:
        end_s = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0
    return max(0.0, end_s - float((stream.start_time or 0) * (stream.time_base or 0)))
