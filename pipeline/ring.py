"""Bounded queues between stages, with books that balance: put == taken + dropped + waiting."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
Policy = Literal["block", "drop_oldest"]


class Ready(threading.Condition):
    """Notified when any ring that shares it has something to take."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        super().__init__(self.lock)


class RingBuffer(Generic[T]):
    """A bounded first-in-first-out queue with one policy for being full.

    `block` makes the producer wait (files, results, sinks): nothing is ever lost.
    `drop_oldest` replaces the oldest item (live sources): the producer never waits, and `dropped`
    counts what went, by cause. Rings that share `ready` can be waited for together by `take`.
    """

    def __init__(self, capacity: int, policy: Policy = "block", ready: Ready | None = None) -> None:
        if capacity < 1:
            raise ValueError(f"RingBuffer.capacity: want at least 1, got {capacity}")
        self.policy = policy
        self.capacity = capacity
        self.dropped: Counter[str] = Counter()
        self.put_count = 0
        self.taken_count = 0
        self.producer_waited_s = 0.0
        self._items: deque[T] = deque()
        self._closed = False
        self._ready = ready or Ready()
        # One lock for both conditions, so that a taker and a producer never disagree.
        self._space = threading.Condition(self._ready.lock)

    def put(self, item: T) -> bool:
        """Store `item`; return False (and count it as dropped) once the ring is closed."""
        with self._ready:
            self.put_count += 1
            if self.policy == "block" and len(self._items) >= self.capacity and not self._closed:
                began = time.perf_counter()
                self._space.wait_for(lambda: len(self._items) < self.capacity or self._closed)
                self.producer_waited_s += time.perf_counter() - began
            if self._closed:
                self.dropped["stopped"] += 1
                return False
            if len(self._items) >= self.capacity:
                self._items.popleft()
                self.dropped["overrun"] += 1
            self._items.append(item)
            self._ready.notify()
            return True

    def take(self, limit: int = 1, timeout: float | None = None) -> list[T] | None:
        """Return up to `limit` items as soon as one is there; [] after `timeout`; None at the end.

        A `drop_oldest` ring gives only its newest item and counts the older ones as dropped.
        """
        return take([self], limit, timeout)

    def close(self, *, discard: bool = False) -> None:
        """Refuse further items; what waits is drained, or dropped and counted with `discard`."""
        with self._ready:
            self._closed = True
            if discard:
                self.dropped["stopped"] += len(self._items)
                self._items.clear()
            self._ready.notify_all()
            self._space.notify_all()

    def __len__(self) -> int:
        return len(self._items)

    def _pop(self, limit: int) -> list[T]:
        """Return up to `limit` items; the lock is held."""
        if self.policy == "drop_oldest" and len(self._items) > 1:
            self.dropped["stale"] += len(self._items) - 1
            newest = self._items.pop()
            self._items.clear()
            self._items.append(newest)
        taken = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
        self.taken_count += len(taken)
        if taken:
            self._space.notify()
        return taken


def take(
    rings: Sequence[RingBuffer[T]], limit: int, timeout: float | None = None
) -> list[T] | None:
    """Return up to `limit` items from whichever rings have some, never waiting to fill a batch.

    The rings share one `ready` condition. The limit is dealt out evenly, one round after another,
    so that no source starves and a lone file gets all of it; items of one ring stay consecutive.
    Returns [] after `timeout` seconds without an item and None when every ring is closed and empty.
    """
    ready = rings[0]._ready

    def something() -> bool:
        return any(ring._items for ring in rings) or all(ring._closed for ring in rings)

    with ready:
        if not ready.wait_for(something, timeout):
            return []
        waiting = [ring for ring in rings if ring._items]
        if not waiting:
            return None
        # The ring that has been given least goes first: a small limit must reach everybody.
        waiting.sort(key=lambda ring: ring.taken_count)
        shares = _shares([_offer(ring) for ring in waiting], limit)
        return [
            item
            for ring, share in zip(waiting, shares, strict=True)
            if share
            for item in ring._pop(share)
        ]


def _offer(ring: RingBuffer[T]) -> int:
    """Return how many items the ring would give at most."""
    return 1 if ring.policy == "drop_oldest" else len(ring._items)


def _shares(offers: Sequence[int], limit: int) -> list[int]:
    """Return how much of `limit` each offer gets: evenly, early ones first, none above its own."""
    shares = [0] * len(offers)
    left = min(limit, sum(offers))
    while left:
        for index, offer in enumerate(offers):
            if left and shares[index] < offer:
                shares[index] += 1
                left -= 1
    return shares
