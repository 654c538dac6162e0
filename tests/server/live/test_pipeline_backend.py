"""PipelineBackend with a lost camera: its next retry, and counts that are unknown."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from support.live_fakes import Camera, until
from support.watched_run import WatchedRun

pytestmark = pytest.mark.timeout(240)


def test_who_is_in_a_zone_of_a_lost_camera_is_unknown_until_it_is_back(tmp_path: Path) -> None:
    """The number of the last picture stood there for as long as the camera was off."""
    door, yard = Camera("door"), Camera("yard")
    run = WatchedRun(tmp_path, door, yard, retry_first_s=0.01, retry_longest_s=0.02)
    with run.live as live:
        until(lambda: run.inside("door") == 1 and run.inside("yard") == 1)
        assert [count for _, count in run.rows("door")] == [1]
        assert run.camera("door").tracks == 1
        assert 'trackline_zone_inside{area="all",camera="door"} 1.0' in run.figures()

        door.plugged = False
        until(lambda: live.status("door").state == "lost")
        assert run.inside("door") is None
        assert run.rows("door") == [("", None)]
        assert run.camera("door").tracks is None
        figures = run.figures()
        for name in ("trackline_zone_inside", "trackline_tracks"):
            lines = [line for line in figures.splitlines() if line.startswith(f"{name}{{")]
            assert len(lines) == 1
            assert 'camera="yard"' in lines[0]
        assert run.inside("yard") == 1

        door.plugged = True
        until(lambda: run.inside("door") == 1)
        assert run.camera("door").tracks == 1


def test_a_camera_that_was_never_there_has_unknown_zones(tmp_path: Path) -> None:
    """A count of 0 would claim that the zone is empty."""
    door = Camera("door")
    door.plugged = False
    run = WatchedRun(tmp_path, door, Camera("yard"), retry_first_s=0.01)
    with run.live as live:
        until(lambda: live.status("door").state == "lost")
        assert run.inside("door") is None
        assert run.rows("door") == [("", None)]


def test_visits_at_silent_cameras_are_ended_each_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = WatchedRun(tmp_path, Camera("gate")), list[None]()
    monkeypatch.setattr(run.events, "end_silent_visits", lambda: calls.append(None))
    run.backend.each_second()
    run.backend.each_second()
    assert len(calls) == 2


def test_a_lost_camera_says_when_it_is_tried_again(tmp_path: Path) -> None:
    """For people who repair a cable: is it worth waiting?"""
    door = Camera("door")
    run = WatchedRun(tmp_path, door, Camera("yard"), retry_first_s=20, retry_longest_s=20)
    with run.live as live:
        until(lambda: run.inside("door") == 1)
        assert (run.camera("door").next_try, run.camera("door").next_try_in_s) == (None, None)
        door.plugged = False
        until(lambda: live.status("door").state == "lost")
        lost = run.camera("door")
        assert 1 < lost.next_try_in_s <= 24  # 20 s, more or less a fifth
        assert lost.next_try == pytest.approx(time.time() + lost.next_try_in_s, abs=1)
        until(lambda: run.camera("door").next_try_in_s < lost.next_try_in_s, "it does not run down")
