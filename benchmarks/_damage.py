"""Damage to the bytes of a sound file, by a seeded generator."""

from __future__ import annotations

import numpy as np

Random = np.random.Generator


def truncated(data: bytes, random: Random) -> bytes:
    """Cut it off somewhere."""
    return data[: int(len(data) * random.uniform(0.02, 0.98))]


def flipped(data: bytes, random: Random) -> bytes:
    """Flip 1 to 2,000 bits anywhere."""
    array = np.frombuffer(data, np.uint8).copy()
    at = random.integers(0, len(array), int(10 ** random.uniform(0, 3.3)))
    array[at] ^= (1 << random.integers(0, 8, len(at))).astype(np.uint8)
    return array.tobytes()


def flipped_header(data: bytes, random: Random) -> bytes:
    """Flip 20 bits within the first 512 bytes, and 20 within the last 2,048."""
    array = np.frombuffer(data, np.uint8).copy()
    head = random.integers(0, min(512, len(array)), 20)
    tail = len(array) - 1 - random.integers(0, min(2048, len(array)), 20)
    for at in np.concatenate([head, tail]):
        array[at] ^= 1 << int(random.integers(0, 8))
    return array.tobytes()


def zeroed(data: bytes, random: Random) -> bytes:
    """Zero a stretch of 1 to 50 % of it."""
    length = int(len(data) * random.uniform(0.01, 0.5))
    first = int(random.integers(0, len(data) - length))
    return data[:first] + bytes(length) + data[first + length :]
