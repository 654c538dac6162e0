"""Bounded queues between threads whose counts balance: put == taken + dropped + waiting.

`RingBuffer` is one queue; `RingGroup` takes batches fairly from several of them.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
Policy = Literal["block", "drop_oldest"]

WAKE_S = 0.2
"""Longest single wait: a Ctrl-C just before a wait, or on Windows during it, is not noticed until
the wait is over."""


class Ready(threading.Condition):
    """Condition shared by rings and notified of every change; its lock guards all of them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._turns = 0
        super().__init__(self.lock)

    def next_turn(self) -> int:
        """Return a number larger than all before: a place at the end of the queue order."""
        self._turns += 1
        return self._turns


class RingBuffer(Generic[T]):
    """A bounded first-in-first-out queue with one policy for being full.

    `block` makes the producer wait (files, results, sinks): nothing is ever lost.
    `drop_oldest` replaces the oldest item (live sources): the producer never waits, and `dropped`
    counts the drops by cause; `on_drop` is called with each item and its cause, with the lock held.
    Rings that share `ready` can be in one `RingGroup`.
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
        self.ready = ready or Ready()
        self._items: deque[T] = deque()
        self._on_drop = on_drop
        self._closed = False
        self._closed_for = "stopped"
        self._turn = 0
        # One lock for both conditions, so that consumer and producer never disagree.
        self._space = threading.Condition(self.ready.lock)

    def put(self, item: T, *, behind: int | None = None) -> bool:
        """Store `item`; return False (and count it as dropped) once the ring is closed.

        With the policy `block` a large item waits until at most `behind` others are stored.
        """
        limit = None if behind is None else behind + 1
        with self.ready:
            while (
                self.policy == "block"
                and len(self) >= min(self.capacity, limit or self.capacity)
                and not self._closed
            ):
                self._space.wait(WAKE_S)
            if self._closed:
                self._drop(item, self._closed_for)
                return False
            if not self._items:
                self.queue_up()
            # A blocking ring has room, and keeps all it has if it is made smaller at this moment.
            if self.policy == "drop_oldest" and len(self._items) >= self.capacity:
                self._drop(self._items.popleft(), "overrun")
            self._items.append(item)
            self.ready.notify_all()
            return True

    def take(self, limit: int = 1) -> list[T] | None:
        """Return up to `limit` items as soon as one is available; None at the end.

        A `drop_oldest` ring returns only its newest item and counts the older ones as dropped.
        """
        return RingGroup([self], ready=self.ready).take(limit)

    def close(self, *, discard: bool = False, cause: str = "stopped") -> None:
        """Refuse further items; waiting items are drained, or dropped with `discard`.

        Items put from now on are counted as dropped, by the first `cause` given.
        """
        with self.ready:
            if not self._closed:
                self._closed, self._closed_for = True, cause
            while discard and self._items:
                self._drop(self._items.popleft(), cause)
            self.ready.notify_all()
            self._space.notify_all()

    def __len__(self) -> int:
        return len(self._items)

    # -- for a group, which holds the lock --------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        """Return whether further items are refused."""
        return self._closed

    @property
    def turn(self) -> int:
        """Return the ring's place in the queue order: the smaller, the longer it has waited."""
        return self._turn

    @property
    def available(self) -> int:
        """Return how many items the ring could give now."""
        return min(1, len(self._items)) if self.policy == "drop_oldest" else len(self._items)

    def queue_up(self) -> None:
        """Move to the last place of the queue order, behind all waiting rings."""
        self._turn = self.ready.next_turn()

    def pop(self, count: int) -> list[T]:
        """Return the next `count` items, at most `available`."""
        if self.policy == "drop_oldest":
            while len(self._items) > 1:
                self._drop(self._items.popleft(), "stale")
        taken = [self._items.popleft() for _ in range(count)]
        self._space.notify(count)
        return taken

    def _drop(self, item: T, cause: str) -> None:
        """Count an item as dropped; the lock is held."""
        self.dropped[cause] += 1
        if self._on_drop is not None:
            self._on_drop(item, cause)


class RingGroup(Generic[T]):
    """Rings with one reader, which takes batches from whichever of them have items.

    The rings share `ready`; any thread may add and remove rings. The end is reached when every ring
    is closed and empty; with `open_ended` not before `close`.
    """

    def __init__(
        self,
        rings: Iterable[RingBuffer[T]] = (),
        *,
        ready: Ready | None = None,
        open_ended: bool = False,
    ) -> None:
        self.ready = ready or Ready()
        self._rings = [*rings]
        self._open_ended = open_ended

    def add(self, ring: RingBuffer[T]) -> None:
        """Take from this ring too, after those already added."""
        with self.ready:
            self._rings.append(ring)
            self.ready.notify_all()

    def remove(self, ring: RingBuffer[T]) -> None:
        """Stop taking from this ring."""
        with self.ready:
            self._rings.remove(ring)
            self.ready.notify_all()

    def close(self) -> None:
        """Expect no further rings: an open-ended group ends with those it has."""
        with self.ready:
            self._open_ended = False
            self.ready.notify_all()

    def take(self, limit: int, *, wait: bool = True, in_order: bool = False) -> list[T] | None:
        """Return up to `limit` items without waiting for a full batch; None at the end.

        The limit is dealt out one by one to the ring that has waited longest since its last item or
        since it was empty. So no source starves, a late camera cannot catch up on what it missed,
        synchronous cameras are not always served in the same order, and a lone file gets the whole
        limit; items of one ring stay consecutive. Waits for the first item, or returns an empty
        list without `wait`. With `in_order` a ring gives nothing before all rings before it are
        closed and empty.
        """
        if limit < 1:
            raise ValueError(f"RingGroup.take.limit: want at least 1, got {limit}")
        with self.ready:
            while not any(map(len, self._eligible(in_order))):
                if not self._open_ended and all(ring.is_closed for ring in self._rings):
                    return None
                if not wait:
                    return []
                self.ready.wait(WAKE_S)
            giving = [ring for ring in self._eligible(in_order) if len(ring)]
            shares = _fill(giving, limit) if in_order else _deal(giving, limit)
            return [item for ring, share in shares for item in ring.pop(share)]

    def _eligible(self, in_order: bool) -> Sequence[RingBuffer[T]]:
        """Return the rings that may give: in order, those up to the first open one."""
        rings = self._rings
        if not in_order:
            return rings
        first_open = next((n for n, ring in enumerate(rings) if not ring.is_closed), len(rings))
        return rings[: first_open + 1]


def _fill(rings: Sequence[RingBuffer[T]], limit: int) -> list[tuple[RingBuffer[T], int]]:
    """Return the number of items per ring, filling one ring after the other; the lock is held."""
    shares = []
    for ring in rings:
        share = min(ring.available, limit)
        limit -= share
        if share:
            shares.append((ring, share))
    return shares


def _deal(rings: Sequence[RingBuffer[T]], limit: int) -> list[tuple[RingBuffer[T], int]]:
    """Return the rings that give items, with their numbers; the lock is held."""
    queue = deque(sorted(rings, key=lambda ring: ring.turn))
    shares: dict[RingBuffer[T], int] = {}
    while queue and limit > 0:
        ring = queue.popleft()
        shares[ring] = shares.get(ring, 0) + 1
        limit -= 1
        ring.queue_up()
        if shares[ring] < ring.available:
            queue.append(ring)
    return list(shares.items())
