"""Cameras that are lost and come back, as events."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from support.event_results import result, run_info
from support.event_servers import eventually

from pipeline.core.errors import ConfigError
from pipeline.core.options import validated
from pipeline.events.camera_events import CameraEvents
from pipeline.events.delivery.options import MqttOptions, WebhookOptions
from pipeline.sinks import events as plugin

Steps = list[tuple[float, str | None, float]]


@pytest.mark.parametrize(
    ("steps", "news"),
    [
        ([(0, "live", 0), (60, "lost", 55), (66, "lost", 55), (70, "live", 69)],
         [("lost", 55), ("live", 69)]),
        ([(0, "live", 0), (60, "stale", 55), (66, "stale", 55)], [("lost", 55)]),
        ([(0, "live", 0), (60, "lost", 55), (64, "live", 62)], []),
        ([(0, "connecting", 0), (9, "connecting", 0), (11, "lost", 0)], [("lost", 0)]),
        ([(0, "connecting", 0), (3, "live", 2)], []),
        ([(20, "lost", 0), (21, "lost", 0), (22, "lost", 0)], [("lost", 0)]),
        ([(20, "lost", 0), (21, None, 0), (22, "live", 22)], [("lost", 0)]),
        ([(20, "lost", 0), (21, "ended", 21), (40, "ended", 21)], [("lost", 0)]),
    ],
    ids=["lost and back", "silent", "a blip", "never there", "a usual start", "told once",
         "taken out", "ended"],
)  # fmt: skip
def test_what_becomes_of_a_camera(steps: Steps, news: list[tuple[str, float]]) -> None:
    """`kinds: [enter, lost]` was documented, and nothing ever sent "lost"."""
    states: dict[str, tuple[str, float]] = {}
    watch = CameraEvents(lambda: states, lost_after_s=10)
    told = []
    for now, state, since in steps:
        states.clear()
        if state is not None:
            states["gate"] = (state, since)
        told += [(one.kind, one.time) for one in watch.update(now)]
    assert told == news


@pytest.mark.slow
def test_a_lost_camera_is_stored_and_queued_for_targets_that_want_it(tmp_path: Path) -> None:
    states = {"gate": ("live", time.time())}
    hook = {"url": "http://127.0.0.1:9/", "name": "nobody", "kinds": ["lost"]}
    options = plugin.Options(lost_after_s=0.1, webhooks=[hook], clips=False)  # type: ignore[arg-type]
    sink = plugin.build(options)
    sink.open(replace(run_info(tmp_path, "gate"), camera_states=lambda: states))
    store = sink.store
    assert store is not None
    sink.write(result(0))
    states["gate"] = ("lost", time.time())
    eventually(lambda: [one.kind for one in store.query()] == ["lost"], "it is kept")
    states["gate"] = ("live", time.time())
    eventually(lambda: [one.kind for one in store.query()] == ["live", "lost"], "it is back")
    sink.close()


@pytest.mark.parametrize("model", [WebhookOptions, MqttOptions])
def test_a_kind_that_does_not_exist_is_refused(model: type) -> None:
    """`kinds: [entered]` passed `check`, and nothing came."""
    needed = {"url": "https://h/"} if model is WebhookOptions else {"host": "h"}
    every = ("enter", "leave", "dwell", "cross", "lost", "live")
    assert validated(model, {**needed, "kinds": every}, "events").kinds == every
    with pytest.raises(ConfigError, match="enter"):
        validated(model, {**needed, "kinds": ["entered"]}, "events")
