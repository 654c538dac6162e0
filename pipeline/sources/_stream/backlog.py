"""Frame skipping of a decoder that is slower than its camera, so that pictures stay current."""

from __future__ import annotations

_WINDOW_S = 1.0
_SATURATED = 0.03
_WAITED_S = 0.01
_SHOW_EVERY_S = 0.5


class Backlog:
    """Chooses the packets to decode: all of them, or key frames only while decoding is behind.

    A reader that keeps up waits for its packets. One that does not finds the next always there, in
    buffers that hold many seconds: then only key frames are decoded, now and then, until it has to
    wait again; and all from the key frame after that. `left_out` counts packets.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self.episodes = 0
        self._behind = False
        self._drained = False
        self._waited_s = 0.0
        self._window_began: float | None = None
        self._shown_at = 0.0

    def wants(self, waited_s: float, now: float, *, keyframe: bool) -> bool:
        """Return whether to decode a packet that came at `now` after a wait of `waited_s`."""
        if not self._behind:
            self._judge(waited_s, now)
        if not self._behind:
            return True
        self._drained = self._drained or waited_s > _WAITED_S
        if keyframe and (self._drained or now - self._shown_at > _SHOW_EVERY_S):
            self._shown_at = now
            if self._drained:
                self._behind, self._window_began = False, None
            return True
        self.left_out += 1
        return False

    def _judge(self, waited_s: float, now: float) -> None:
        """Set `_behind` at the end of a window in which the reader hardly ever waited."""
        if self._window_began is None:
            self._window_began, self._waited_s = now, 0.0
            return
        self._waited_s += waited_s
        spent_s = now - self._window_began
        if spent_s < _WINDOW_S:
            return
        if self._waited_s < _SATURATED * spent_s:
            self._behind, self._drained = True, False
            self.episodes += 1
            self._shown_at = now
        self._window_began, self._waited_s = now, 0.0
