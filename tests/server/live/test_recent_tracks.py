"""What zones would have counted in the last minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

pytest.importorskip("fastapi")
from pipeline.core.data import Detections, Event, Frame, Result, Tracks
from pipeline.events.zones.replay import Step
from pipeline.events.zones.schema import CameraZones
from pipeline.server.live import recent_tracks
from pipeline.server.live.recent_tracks import KEPT_S, RecentTracks

LINE = CameraZones.model_validate(
    {"size": [200, 100], "lines": [{"name": "gate", "points": [[100, 0], [100, 100]]}]}
)


def walked(
    recent: RecentTracks,
    camera: str,
    start_s: float,
    number: int = 1,
    fps: int = 10,
    detect_every: int = 1,
) -> None:
    """A person walks from the left to the right in four seconds."""
    one = np.ones(1, np.float32)
    for n in range(4 * fps + 1):
        image = np.zeros((50, 100, 3), np.uint8)  # half the size the line was drawn on
        at = start_s + n / fps
        frame = Frame(image, camera, n, at, at)
        x = 10 + 20 * n / fps
        row = 0 if (n + 1) % detect_every == 0 else -1
        tracks = Tracks(
            np.array([[x - 4, 20, x + 4, 40]], np.float32), one, np.zeros(1, np.int32),
            np.array([number]), np.array([row], np.int32), one,
        )  # fmt: skip
        recent.write(Result(frame, Detections.empty(), tracks, {0: "person"}))


def counted(recent: RecentTracks, camera: str = "yard") -> dict[tuple[str, str], int]:
    rows = recent.preview(camera, LINE).counts
    return {(row.area, row.direction): row.count for row in rows}


def test_what_was_tracked_is_counted_over_new_lines() -> None:
    recent = RecentTracks()
    assert recent.preview("yard", LINE).seconds == 0
    walked(recent, "yard", 100.0)
    walked(recent, "other", 101.0)
    walked(recent, "yard", 110.0, number=2)
    found = counted(recent)
    assert sum(found.values()) == 2
    assert set(found) == {("gate", "in"), ("gate", "out")}
    assert recent.preview("yard", LINE).seconds == pytest.approx(14, abs=0.2)
    assert counted(recent) == found, "asking changes nothing"


@pytest.mark.parametrize(("fps", "detect_every"), [(5, 1), (30, 1), (30, 3), (25, 7), (400, 1)])
def test_a_fast_camera_takes_no_more_memory(
    monkeypatch: pytest.MonkeyPatch, fps: int, detect_every: int
) -> None:
    """Frames of 400 a second took 36 MB a minute. Every seventh detected: those are not thinned
    away, for a line counts no predicted box."""
    kept: list[Step] = []

    def replayed(steps: Iterable[Step], *about: object) -> Iterator[Event]:
        kept[:] = steps
        return real(iter(kept), *about)  # type: ignore[arg-type]

    real = recent_tracks.replayed
    monkeypatch.setattr(recent_tracks, "replayed", replayed)
    recent = RecentTracks()
    walked(recent, "yard", 100.0, fps=fps, detect_every=detect_every)
    assert sum(counted(recent).values()) == 1
    assert 12 <= len(kept) <= 45


def test_only_the_last_minute_is_kept() -> None:
    recent = RecentTracks()
    walked(recent, "yard", 100.0)
    walked(recent, "gone", 100.0)
    walked(recent, "yard", 100.0 + KEPT_S + 10, number=2)
    assert sum(counted(recent).values()) == 1
    assert recent.preview("gone", LINE).seconds == 0
