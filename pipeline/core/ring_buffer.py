"""Bounded queues between stages, with books that balance: put == taken + dropped + waiting."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
Policy = Literal["block", "drop_oldest"]

WAKE_S = 0.2
"""Longest wait in one go: a Ctrl-C that comes just before a wait, or on Windows during it, is not
noticed until the wait is over."""


class Ready(threading.Condition):
    """Notified when any ring that shares it has something to take; its lock guards them all."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.turns = 0  # grows with each turn given, which is the clock of fairness in `take`
        super().__init__(self.lock)


class RingBuffer(Generic[T]):
    """A bounded first-in-first-out queue with one policy for being full.

    `block` makes the producer wait (files, results, sinks): nothing is ever lost.
    `drop_oldest` replaces the oldest item (live sources): the producer never waits, and `dropped`
    counts what went, by cause; `on_drop` is told of each item and its cause, with the lock held.
    Rings that share `ready` can be waited for together by `take`.
    """

    def __init__(
        self,
        capacity: int,
        policy: Policy = "block",
        ready: Ready | None = None,
        on_drop: Callable[[T, str], None] | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"RingBuffer.capacity: want at least 1, got {capacity}")
        self.policy = policy
        self.capacity = capacity
        self.dropped: Counter[str] = Counter()
        self._items: deque[T] = deque()
        self._on_drop = on_drop
        self._closed = False
        self._closed_for = "stopped"
        self._turn = 0  # when this ring began to wait for what it may give next
        self._ready = ready or Ready()
        # One lock for both conditions, so that a taker and a producer never disagree.
        self._space = threading.Condition(self._ready.lock)

    def put(self, item: T) -> bool:
        """Store `item`; return False (and count it as dropped) once the ring is closed."""
        with self._ready:
            while self.policy == "block" and len(self) >= self.capacity and not self._closed:
                self._space.wait(WAKE_S)
            if self._closed:
                self._drop(item, self._closed_for)
                return False
            if not self._items:
                self._wait_for_turn()
            if len(self._items) >= self.capacity:
                self._drop(self._items.popleft(), "overrun")
            self._items.append(item)
            self._ready.notify_all()
            return True

    def take(self, limit: int = 1) -> list[T] | None:
        """Return up to `limit` items as soon as one is there; None at the end.

        A `drop_oldest` ring gives only its newest item and counts the older ones as dropped.
        """
        return take([self], limit)

    def close(self, *, discard: bool = False, cause: str = "stopped") -> None:
        """Refuse further items; what waits is drained, or dropped and counted with `discard`.

        What comes from now on is counted as dropped for the first `cause` there was.
        """
        with self._ready:
            if not self._closed:
                self._closed, self._closed_for = True, cause
            while discard and self._items:
                self._drop(self._items.popleft(), cause)
            self._ready.notify_all()
            self._space.notify_all()

    def __len__(self) -> int:
        return len(self._items)

    def _offer(self) -> int:
        """Return how many items this ring would give at most; the lock is held."""
        return min(1, len(self._items)) if self.policy == "drop_oldest" else len(self._items)

    def _pop(self, count: int) -> list[T]:
        """Return `count` items, which is at most what `_offer` said; the lock is held."""
        if self.policy == "drop_oldest":
            while len(self._items) > 1:
                self._drop(self._items.popleft(), "stale")
        taken = [self._items.popleft() for _ in range(count)]
        self._space.notify(count)
        return taken

    def _wait_for_turn(self) -> None:
        """Queue behind all rings that wait already; the lock is held."""
        self._ready.turns += 1
        self._turn = self._ready.turns

    def _drop(self, item: T, cause: str) -> None:
        """Count an item that goes nowhere; the lock is held."""
        self.dropped[cause] += 1
        if self._on_drop is not None:
            self._on_drop(item, cause)


def take(
    rings: Sequence[RingBuffer[T]], limit: int, *, wait: bool = True, in_order: bool = False
) -> list[T] | None:
    """Return up to `limit` items from whichever rings have some, never waiting to fill a batch.

    The rings share one `ready` condition. The limit is dealt out one by one to whoever has waited
    longest since it was dealt to or was empty, so that no source starves, a camera that comes late
    cannot make up for what it missed, cameras in step are not served in the same order for ever,
    and a lone file gets all of it; items of one ring stay consecutive. Waits for the first
    item, or returns an empty list without `wait`; returns None when every ring is closed and empty.
    `rings` may be changed meanwhile by whoever holds `ready`, and notifies it. With `in_order` a
    ring gives nothing before all rings in front of it are closed and empty.
    """
    if limit < 1:
        raise ValueError(f"take.limit: want at least 1, got {limit}")
    ready = rings[0]._ready

    with ready:
        while not any(ring._items for ring in _in_turn(rings, in_order)):
            if all(ring._closed for ring in rings):
                return None
            if not wait:
                return []
            ready.wait(WAKE_S)
        giving = [ring for ring in _in_turn(rings, in_order) if ring._items]
        shares = _fill(giving, limit) if in_order else _deal(giving, limit)
        return [item for ring, share in shares for item in ring._pop(share)]


def _in_turn(rings: Sequence[RingBuffer[T]], in_order: bool) -> Sequence[RingBuffer[T]]:
    """Return the rings that may give: in order, those up to the first that is open."""
    if not in_order:
        return rings
    first_open = next((n for n, ring in enumerate(rings) if not ring._closed), len(rings))
    return rings[: first_open + 1]


def _fill(rings: Sequence[RingBuffer[T]], limit: int) -> list[tuple[RingBuffer[T], int]]:
    """Return how much each ring gives, one after the other; the lock is held."""
    shares = []
    for ring in rings:
        share = min(ring._offer(), limit)
        limit -= share
        if share:
            shares.append((ring, share))
    return shares


def _deal(rings: Sequence[RingBuffer[T]], limit: int) -> list[tuple[RingBuffer[T], int]]:
    """Return the rings that give something, each with how much; the lock is held."""
    queue = deque(sorted(rings, key=lambda ring: ring._turn))
    shares: dict[RingBuffer[T], int] = {}
    while queue and limit > 0:
        ring = queue.popleft()
        shares[ring] = shares.get(ring, 0) + 1
        limit -= 1
        ring._wait_for_turn()
        if shares[ring] < ring._offer():
            queue.append(ring)
    return list(shares.items())
