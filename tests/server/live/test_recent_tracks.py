"""What zones would have counted in the last minute."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("fastapi")
from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.events.zones.schema import CameraZones
from pipeline.server.live.recent_tracks import KEPT_S, RecentTracks

LINE = CameraZones.model_validate(
    {"size": [200, 100], "lines": [{"name": "gate", "points": [[100, 0], [100, 100]]}]}
)


def walked(recent: RecentTracks, camera: str, start_s: float, number: int = 1) -> None:
    """A person walks from the left to the right in four seconds, at ten pictures a second."""
    one = np.ones(1, np.float32)
    for n in range(41):
        image = np.zeros((50, 100, 3), np.uint8)  # half the size the line was drawn on
        frame = Frame(image, camera, n, start_s + n / 10, start_s + n / 10)
        x = 10 + 2 * n
        tracks = Tracks(
            np.array([[x - 4, 20, x + 4, 40]], np.float32), one, np.zeros(1, np.int32),
            np.array([number]), np.zeros(1, np.int32), one,
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


def test_only_the_last_minute_is_kept() -> None:
    recent = RecentTracks()
    walked(recent, "yard", 100.0)
    walked(recent, "gone", 100.0)
    walked(recent, "yard", 100.0 + KEPT_S + 10, number=2)
    assert sum(counted(recent).values()) == 1
    assert recent.preview("gone", LINE).seconds == 0
