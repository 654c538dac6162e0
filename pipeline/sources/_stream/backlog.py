"""Frame skipping for a decoder that is slower than its camera, so that pictures stay current."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

_WINDOW_S = 1.0
_SATURATED = 0.03
_WAITED_S = 0.01
_SHOW_EVERY_S = 0.5
_MAX_BUSY, _SPARE_WINDOWS = 0.8, 3
"""All pictures are decoded again once that would have taken no more than this share of the time, in
so many windows in a row."""


class Level(IntEnum):
    """Which packets are decoded; fewer with each level."""

    ALL = 0
    REFERENCED = 1
    KEY_FRAMES = 2


class Backlog:
    """Chooses the packets to decode: fewer while decoding is behind, in two steps.

    A reader that keeps up waits for its packets. One that does not finds the next always there, in
    buffers that hold many seconds. Then pictures that no other refers to are left out, where the
    camera sends such. If that is not enough, only key frames are decoded, now and then, until the
    reader has to wait again. From the key frame after that it comes back in the same steps: to all
    pictures once there would have been time for them for a while.

    `left_out` counts pictures, `episodes` how often it fell behind.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self.episodes = 0
        self.level = Level.ALL
        self._has_unreferenced = False
        self._drained = False
        self._shown_at = 0.0
        self._leads_to: int | None = None
        self._leading: set[int | None] = set()
        self._window_began: float | None = None
        self._waited_s = 0.0
        self._decoded = self._skipped = self._spare_windows = 0

    def wants(
        self,
        waited_s: float,
        now: float,
        *,
        keyframe: bool,
        unreferenced: bool = False,
        pts: int | None = None,
    ) -> bool:
        """Return whether to decode a packet that came at `now` after a wait of `waited_s`.

        `unreferenced` says that no other picture refers to the packet's, which is shown at `pts`.
        """
        self._has_unreferenced = self._has_unreferenced or unreferenced
        if self.level < Level.KEY_FRAMES:
            self._judge(waited_s, now)
        if self.level == Level.KEY_FRAMES:
            self._drained = self._drained or waited_s > _WAITED_S
            is_wanted = keyframe and (self._drained or now - self._shown_at > _SHOW_EVERY_S)
            if is_wanted:
                self._show_key_frame(now, pts)
        else:
            is_wanted = not (unreferenced and self.level == Level.REFERENCED)
            if is_wanted:
                self._note_leading(pts, keyframe=keyframe)
        if is_wanted:
            self._decoded += 1
        else:
            self._skipped += 1
            self.left_out += 1
        return is_wanted

    def hides(self, pts: int | None) -> bool:
        """Return whether a decoded picture may lack pictures to which it refers; counts it."""
        if pts not in self._leading:
            return False
        self._leading.remove(pts)
        self.left_out += 1
        return True

    def discard(self, times: Sequence[int | None]) -> None:
        """Count pictures that the decoder left out because they refer to some that are missing."""
        self._leading.difference_update(times)
        self.left_out += len(times)

    def _show_key_frame(self, now: float, pts: int | None) -> None:
        """Note a key frame that is decoded; what follows it can be, where the backlog is gone."""
        self._shown_at = now
        if self._drained:
            self._leads_to = pts
            self._leading.clear()
            self.level = Level.REFERENCED if self._has_unreferenced else Level.ALL
            self._window_began, self._spare_windows = None, 0

    def _note_leading(self, pts: int | None, *, keyframe: bool) -> None:
        """Note a picture that is shown before the key frame which it follows in the stream.

        It may refer to pictures before that, which were left out (open groups of pictures).
        """
        if self._leads_to is None:
            return
        if keyframe or pts is None or pts >= self._leads_to:
            self._leads_to = None
        else:
            self._leading.add(pts)

    def _judge(self, waited_s: float, now: float) -> None:
        """Choose the level anew at the end of a window."""
        if self._window_began is None:
            self._begin_window(now)
            return
        self._waited_s += waited_s
        spent_s = now - self._window_began
        if spent_s < _WINDOW_S:
            return
        if self._waited_s < _SATURATED * spent_s:
            self._fall_behind(now)
        elif self.level == Level.REFERENCED:
            self._maybe_decode_all(1 - self._waited_s / spent_s)
        self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._window_began, self._waited_s = now, 0.0
        self._decoded = self._skipped = 0

    def _fall_behind(self, now: float) -> None:
        """Decode less, after a window in which the reader hardly ever waited."""
        self.episodes += self.level == Level.ALL
        self._spare_windows = 0
        if self.level == Level.ALL and self._has_unreferenced:
            self.level = Level.REFERENCED
        else:
            self.level, self._drained = Level.KEY_FRAMES, False
            self._shown_at = now

    def _maybe_decode_all(self, busy: float) -> None:
        """Decode all again where the share `busy` of the time, for a part of them, says it fits."""
        for_all = busy * (self._decoded + self._skipped) / max(self._decoded, 1)
        self._spare_windows = self._spare_windows + 1 if for_all <= _MAX_BUSY else 0
        if self._spare_windows >= _SPARE_WINDOWS:
            self.level = Level.ALL
