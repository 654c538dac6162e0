"""The ring buffer: what is lost, what waits and who is served."""

from __future__ import annotations

from collections import Counter

import pytest
from support.threads import in_thread, join

from pipeline.core.ring_buffer import Policy, Ready, RingBuffer, RingGroup

pytestmark = pytest.mark.timeout(30)


def filled(policy: Policy, items: str, ready: Ready | None = None) -> RingBuffer[str]:
    ring: RingBuffer[str] = RingBuffer(8, policy, ready)
    for item in items:
        ring.put(item)
    return ring


# -- one ring -----------------------------------------------------------------------------------


def test_block_keeps_order_and_loses_nothing() -> None:
    ring = filled("block", "abcde")
    assert ring.take(2) == ["a", "b"]
    assert ring.take(9) == ["c", "d", "e"]
    assert not ring.dropped


def test_a_blocking_ring_made_smaller_while_an_item_is_put_loses_nothing() -> None:
    """Another detector was put in during a run: in the middle of `put`, a file's frame went."""

    class Shrinking(RingBuffer[str]):
        large_for = 1000

        @property
        def capacity(self) -> int:
            self.large_for -= 1
            return 8 if self.large_for >= 0 else 2

        @capacity.setter
        def capacity(self, value: int) -> None:
            assert value == 8

    ring = Shrinking(8, "block")
    for item in "abc":
        ring.put(item)
    ring.large_for = 2  # as long as it looks whether there is room
    ring.put("d")
    assert (ring.take(8), ring.dropped) == (["a", "b", "c", "d"], Counter())


def test_drop_oldest_gives_the_newest_and_says_why_the_others_went() -> None:
    ring: RingBuffer[int] = RingBuffer(2, "drop_oldest")
    assert all(ring.put(item) for item in range(5))
    assert ring.dropped == {"overrun": 3}
    assert ring.take(9) == [4]
    assert ring.dropped == {"overrun": 3, "stale": 1}


def test_a_closed_ring_drains_and_then_ends() -> None:
    ring = filled("block", "ab")
    ring.close()
    assert ring.take() == ["a"]
    assert ring.take() == ["b"]
    assert ring.take() is None
    assert ring.take() is None


def test_discarding_counts_what_waited_and_what_comes_later() -> None:
    ring = filled("block", "ab")
    ring.close(discard=True)
    assert ring.take() is None
    assert ring.put("c") is False
    assert ring.dropped == {"stopped": 3}


@pytest.mark.parametrize("discard", [True, False])
def test_close_wakes_every_blocked_producer(discard: bool) -> None:
    ring: RingBuffer[int] = RingBuffer(1)
    ring.put(0)
    answers: list[bool] = []
    producers = [in_thread(lambda: answers.append(ring.put(1))) for _ in range(3)]
    ring.close(discard=discard)
    join(*producers)
    assert answers == [False] * 3
    assert ring.take() == (None if discard else [0])
    assert ring.dropped["stopped"] == (4 if discard else 3)


def test_close_wakes_a_waiting_taker() -> None:
    ring: RingBuffer[int] = RingBuffer(1)
    got: list[object] = []
    taker = in_thread(lambda: got.append(ring.take()))
    ring.close()
    join(taker)
    assert got == [None]


def test_a_taken_item_lets_a_blocked_producer_go_on() -> None:
    ring: RingBuffer[int] = RingBuffer(1)
    producer = in_thread(lambda: [ring.put(item) for item in range(50)])
    assert [ring.take() for _ in range(50)] == [[item] for item in range(50)]
    join(producer)


def test_a_large_item_waits_until_few_are_in_front_of_it() -> None:
    """A folder's first picture was small, and sixteen of a gigabyte each waited at once."""
    ring = filled("block", "abc")
    thread = in_thread(lambda: ring.put("large", behind=1))
    assert ring.take(1) == ["a"]
    assert len(ring) == 2
    assert ring.take(1) == ["b"]
    join(thread)
    assert ring.take(9) == ["c", "large"]


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_ring_holds_something(capacity: int) -> None:
    with pytest.raises(ValueError, match=f"want at least 1, got {capacity}"):
        RingBuffer(capacity)


# -- several rings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rings", "limit", "expected"),
    [
        ([("block", "abcdef")], 4, "abcd"),
        ([("block", "abc"), ("block", "")], 4, "abc"),
        ([("block", "abcd"), ("block", "wxyz")], 4, "abwx"),
        ([("block", "abcd"), ("block", "w")], 4, "abcw"),
        ([("block", "abcd"), ("block", "wxyz")], 3, "abw"),
        ([("drop_oldest", "abc"), ("drop_oldest", "xyz")], 8, "cz"),
        ([("drop_oldest", "abc"), ("block", "wxyz")], 3, "cwx"),
        ([("drop_oldest", "a"), ("drop_oldest", "b"), ("drop_oldest", "c")], 2, "ab"),
    ],
)
def test_the_limit_is_dealt_evenly(
    rings: list[tuple[Policy, str]], limit: int, expected: str
) -> None:
    ready = Ready()
    filled_rings = [filled(policy, items, ready) for policy, items in rings]
    assert "".join(RingGroup(filled_rings, ready=ready).take(limit) or []) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_sources_take_fair_turns_within_one_frame(limit: int) -> None:
    """Shares were dealt from the first ring on in each call, so that with a batch of 4 and three
    files the same file got two frames every time."""
    ready = Ready()
    rings: list[RingBuffer[str]] = [RingBuffer(400, "block", ready) for _ in range(3)]
    for name, ring in zip("abc", rings, strict=True):
        for _ in range(400):
            ring.put(name)
    served: Counter[str] = Counter()
    for _ in range(60):
        served.update(RingGroup(rings, ready=ready).take(limit) or [])
        assert max(served.values()) - min(served[name] for name in "abc") <= 1


def test_a_late_camera_does_not_make_up_for_what_it_missed() -> None:
    """The ring that had been given least in all went first: a camera that came up an hour late
    got every turn until it had caught up, and the others none."""
    ready = Ready()
    early, late = (RingBuffer[str](2, "drop_oldest", ready) for _ in range(2))
    for _ in range(100):
        early.put("early")
        RingGroup([early, late], ready=ready).take(1)
    turns = []
    for _ in range(6):
        early.put("early")
        late.put("late")
        turns += RingGroup([early, late], ready=ready).take(1) or []
    assert turns == ["early", "late"] * 3


def test_cameras_in_step_are_not_served_in_the_same_order_for_ever() -> None:
    """Of sixteen cameras that all gave a frame at the same instant the last one was always the
    same: its results were five times as old as those of the first."""
    ready = Ready()
    rings = [RingBuffer[str](1, "drop_oldest", ready) for _ in range(3)]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]):
        for _ in range(2):  # a newer frame in an older one's place has waited as long
            for i in order:
                rings[i].put(str(i))
        assert [RingGroup(rings, ready=ready).take(1) for _ in rings] == [[str(i)] for i in order]


def test_a_ring_that_is_not_served_keeps_what_it_has() -> None:
    ready = Ready()
    first, second = filled("drop_oldest", "a", ready), filled("drop_oldest", "xy", ready)
    assert RingGroup([first, second], ready=ready).take(1) == ["a"]
    assert (len(second), second.dropped.total()) == (2, 0)


def test_one_ended_ring_does_not_end_the_others() -> None:
    ready = Ready()
    ended, going = filled("block", "", ready), filled("block", "ab", ready)
    ended.close()
    assert RingGroup([ended, going], ready=ready).take(1) == ["a"]
    going.close()
    assert RingGroup([ended, going], ready=ready).take(4) == ["b"]
    assert RingGroup([ended, going], ready=ready).take(4) is None


def test_any_ring_wakes_the_taker() -> None:
    ready = Ready()
    rings = [filled("block", "", ready) for _ in range(3)]
    for ring in reversed(rings):
        got: list[object] = []
        taker = in_thread(lambda got=got: got.append(RingGroup(rings, ready=ready).take(4)))
        ring.put("x")
        join(taker)
        assert got == [["x"]]


def test_takers_that_share_a_lock_are_each_served() -> None:
    ready = Ready()
    rings = [filled("block", "", ready) for _ in range(4)]
    got: dict[int, object] = {}
    takers = [
        in_thread(lambda i=i, ring=ring: got.update({i: ring.take()}))
        for i, ring in enumerate(rings)
    ]
    for i, ring in reversed(list(enumerate(rings))):
        ring.put(str(i))
    join(*takers)
    assert got == {i: [str(i)] for i in range(4)}


def test_take_without_waiting_distinguishes_nothing_yet_from_the_end() -> None:
    """Nothing is an empty list, the end is None: who has batches in flight must tell them apart."""
    ready = Ready()
    rings = [filled("block", "", ready), filled("drop_oldest", "", ready)]
    assert RingGroup(rings, ready=ready).take(4, wait=False) == []
    rings[1].put("x")
    assert RingGroup(rings, ready=ready).take(4, wait=False) == ["x"]
    rings[0].close()
    assert RingGroup(rings, ready=ready).take(4, wait=False) == []
    rings[1].close()
    assert RingGroup(rings, ready=ready).take(4, wait=False) is None


def test_a_batch_of_nothing_is_a_mistake() -> None:
    """A detector with batch_size 0 got an empty batch for ever, or the run ended at once."""
    with pytest.raises(ValueError, match="want at least 1, got 0"):
        filled("block", "a").take(0)


def test_in_order_a_ring_waits_for_those_in_front() -> None:
    """`detect([a, b])` gave the first pictures of b among the last ones of a."""
    ready = Ready()
    rings: list[RingBuffer[str]] = [RingBuffer(8, ready=ready) for _ in range(3)]
    for name, ring in zip("abc", rings, strict=True):
        ring.put(f"{name}0")
        ring.put(f"{name}1")
    assert RingGroup(rings, ready=ready).take(1, in_order=True) == ["a0"]
    assert RingGroup(rings, ready=ready).take(9, in_order=True) == ["a1"]
    assert RingGroup(rings, ready=ready).take(9, wait=False, in_order=True) == []
    rings[0].close()
    rings[1].close()
    assert RingGroup(rings, ready=ready).take(3, in_order=True) == ["b0", "b1", "c0"], (
        "a batch is filled over the end"
    )
    rings[2].close()
    assert RingGroup(rings, ready=ready).take(3, in_order=True) == ["c1"]
    assert RingGroup(rings, ready=ready).take(3, in_order=True) is None


def test_an_open_ended_group_ends_only_once_it_is_closed() -> None:
    """A server begins without a camera, and must not end with its last one."""
    group: RingGroup[str] = RingGroup(open_ended=True)
    assert group.take(1, wait=False) == []
    ring = filled("block", "a", group.ready)
    group.add(ring)
    ring.close()
    assert group.take(1) == ["a"]
    assert group.take(1, wait=False) == []
    group.remove(ring)
    got: list[object] = []
    taker = in_thread(lambda: got.append(group.take(1)))
    group.close()
    join(taker)
    assert got == [None]
