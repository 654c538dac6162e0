"""Frame memory is used again, and never while anybody can still see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import boxes
from support.owners import WatchedPool

from pipeline.core.data import Frame, Result, Tracks
from pipeline.core.frame_pool import FramePool


def test_memory_is_used_again_once_it_is_released() -> None:
    pool = WatchedPool()
    for value in range(100):
        image = pool.take(4, 6)
        assert image.shape == (4, 6, 3)
        assert image.flags.writeable
        image[:] = value
        del image
    assert pool.owners.count == 1


def as_frame(image: Any) -> Frame:
    return Frame(image, "a", 0, 0.0, 0.0)


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "the array": lambda image: image,
    "a view": lambda image: image[:],
    "a slice": lambda image: image[1:2, ::2],
    "a transposed view": lambda image: image.transpose(2, 0, 1)[None],
    "a view of another type": lambda image: image.view(np.int8),
    "a flat view": lambda image: image.reshape(-1),
    "a memoryview": memoryview,
    "an array over a memoryview": lambda image: np.frombuffer(memoryview(image), np.uint8),
    "a frame": as_frame,
    "a frame's picture": lambda image: as_frame(image).image,
    "a result": lambda image: Result(as_frame(image), boxes(), Tracks.empty(), {}),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_memory_in_use_is_never_given_again(holder: str) -> None:
    pool = FramePool()
    image = pool.take(4, 6)
    image[:] = 7
    address = image.__array_interface__["data"][0]
    held = HOLDERS[holder](image)
    del image
    others = [pool.take(4, 6) for _ in range(5)]
    for other in others:
        other[:] = 0
    assert address not in {other.__array_interface__["data"][0] for other in others}
    del held, other, others
    assert pool.take(4, 6).__array_interface__["data"][0] == address


def test_a_new_size_leaves_the_old_frames_alone() -> None:
    pool = FramePool()
    old = pool.take(4, 6)
    old[:] = 7
    new = pool.take(8, 6)
    new[:] = 1
    assert (old == 7).all()
    assert pool.take(6, 8).size == 144  # as many bytes in another shape


def test_a_hoarder_makes_the_pool_allocate_and_not_keep() -> None:
    pool = WatchedPool(keep=3)
    hoard = [pool.take(2, 2) for _ in range(10)]
    assert len({image.__array_interface__["data"][0] for image in hoard}) == 10
    assert pool.owners.count == 10
    del hoard
    again = [pool.take(2, 2) for _ in range(3)]
    assert pool.owners.count == 10
    assert len(again) == 3


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=80), st.integers(1, 8))
def test_whatever_is_held_keeps_its_content(steps: list[tuple[bool, int]], keep: int) -> None:
    pool = FramePool(keep)
    held: list[tuple[int, Frame]] = []
    for count, (take, index) in enumerate(steps):
        if take or not held:
            image = pool.take(2, 3)
            image[:] = count
            held.append((count, as_frame(image)))
            del image
        else:
            held.pop(index % len(held))
        assert all((frame.image == value).all() for value, frame in held)
