"""Arguments that several commands have, checked: frame rate and picture size."""

from __future__ import annotations

from pipeline.core.errors import UsageError


def checked_fps(fps: float | None) -> float | None:
    """Return --fps; raises UsageError unless it is above 0."""
    if fps is not None and not 0 < fps < float("inf"):
        raise UsageError(f"--fps: want a number above 0, got {fps}")
    return fps


def parsed_size(text: str | None) -> tuple[int, int] | None:
    """Return (width, height) of --size "1920x1080"; raises UsageError."""
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--size: want WIDTHxHEIGHT in pixels, got '{text}'")
    return int(width), int(height)
