"""The books of a ring balance under any interleaving: put == taken + dropped + waiting."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.threads import in_thread, join

from pipeline.core.ring_buffer import Policy, RingBuffer

pytestmark = pytest.mark.timeout(60)


class Books(RuleBasedStateMachine):
    """Any order of calls that do not wait, beside a list that does the same."""

    def __init__(self) -> None:
        super().__init__()
        self.rings: dict[Policy, RingBuffer[int]] = {
            "block": RingBuffer(3, "block"),
            "drop_oldest": RingBuffer(3, "drop_oldest"),
        }
        self.model: dict[Policy, list[int]] = {"block": [], "drop_oldest": []}
        self.put_in: dict[Policy, int] = {"block": 0, "drop_oldest": 0}
        self.taken_out: dict[Policy, int] = {"block": 0, "drop_oldest": 0}
        self.closed = False
        self.next = 0

    @rule(policy=st.sampled_from(["block", "drop_oldest"]))
    def put(self, policy: Policy) -> None:
        model, ring = self.model[policy], self.rings[policy]
        if policy == "block" and len(model) == 3 and not self.closed:
            return  # it would wait
        self.next += 1
        self.put_in[policy] += 1
        assert ring.put(self.next) is not self.closed
        if not self.closed:
            model.append(self.next)
            del model[:-3]

    @rule(policy=st.sampled_from(["block", "drop_oldest"]), limit=st.integers(1, 5))
    def take(self, policy: Policy, limit: int) -> None:
        model = self.model[policy]
        if not model and not self.closed:
            return  # it would wait
        expected = model[-1:] if policy == "drop_oldest" else model[:limit]
        assert self.rings[policy].take(limit) == (expected or None)
        self.taken_out[policy] += len(expected)
        self.model[policy] = [] if policy == "drop_oldest" else model[limit:]

    @precondition(lambda self: not self.closed)
    @rule(discard=st.booleans())
    def close(self, discard: bool) -> None:
        self.closed = True
        for policy, ring in self.rings.items():
            ring.close(discard=discard)
            if discard:
                self.model[policy] = []

    @invariant()
    def balance(self) -> None:
        for policy, ring in self.rings.items():
            gone = self.taken_out[policy] + ring.dropped.total()
            assert self.put_in[policy] == gone + len(ring)
            assert len(ring) == len(self.model[policy])


Books.TestCase.settings = settings(max_examples=60, deadline=None)
TestBooks = Books.TestCase


@settings(max_examples=25, deadline=None)
@given(
    policy=st.sampled_from(["block", "drop_oldest"]),
    capacity=st.integers(1, 4),
    counts=st.lists(st.integers(0, 60), min_size=1, max_size=3),
    takers=st.integers(1, 3),
    limit=st.integers(1, 5),
    close_early=st.booleans(),
)
def test_frame_counts_balance_with_several_threads(
    policy: Policy, capacity: int, counts: list[int], takers: int, limit: int, close_early: bool
) -> None:
    ring: RingBuffer[tuple[int, int]] = RingBuffer(capacity, policy)
    taken: list[list[tuple[int, int]]] = [[] for _ in range(takers)]

    def produce(producer: int) -> None:
        for item in range(counts[producer]):
            ring.put((producer, item))

    def consume(into: list[tuple[int, int]]) -> None:
        while (batch := ring.take(limit)) is not None:
            into.extend(batch)

    consumers = [in_thread(lambda into=into: consume(into)) for into in taken]
    producers = [in_thread(lambda i=i: produce(i)) for i in range(len(counts))]
    if close_early:
        ring.close(discard=True)
    join(*producers)
    ring.close()
    join(*consumers)
    everything = [item for one in taken for item in one]
    assert len(everything) == len(set(everything))
    assert sum(counts) == len(everything) + ring.dropped.total()
    if policy == "block" and not close_early:
        assert not ring.dropped.total()
    for one in taken:
        for producer in range(len(counts)):
            items = [item for who, item in one if who == producer]
            assert items == sorted(items)
