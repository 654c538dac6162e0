"""Broadcaster: builds messages shared by all viewers once and sends them to each."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.server.run_backend import RunBackend
from pipeline.server.viewers.hub import Hub, LatestResult

log = logging.getLogger("trackline")

TICK_S = 1.0
MAX_EVENTS = 100


class Broadcaster:
    """Sends cameras once a second, events as they are stored, and tracks of each frame.

    Used on the server's event loop; it works only while there are subscribers.
    """

    def __init__(self, backend: RunBackend, hub: Hub) -> None:
        self._backend = backend
        self._hub = hub
        self.cameras_text = ""
        self.ticks = 0
        self._listeners: dict[object, Callable[[], None]] = {}
        self._event_sinks: dict[object, Callable[[str], None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe_from_hub: Callable[[], None] = lambda: None
        self._tracks: dict[str, tuple[tuple[float, int], str]] = {}
        self._is_wake_scheduled = False
        self._last_event: int | None = None
        self._last_revision: int | None = None

    @property
    def viewers(self) -> int:
        """Return how many pages are open."""
        return len(self._listeners)

    def subscribe(
        self, viewer: object, wake: Callable[[], None], event: Callable[[str], None]
    ) -> None:
        """Call `wake` when something is new, and `event` with each new event's text."""
        self._listeners[viewer] = wake
        self._event_sinks[viewer] = event
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._unsubscribe_from_hub = self._hub.subscribe(self._wake_callback(loop))
            self._last_event = self._last_revision = None
            self._task = loop.create_task(self._tick_forever())

    def unsubscribe(self, viewer: object) -> None:
        """End a subscription."""
        self._listeners.pop(viewer, None)
        self._event_sinks.pop(viewer, None)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None
            self._unsubscribe_from_hub()
            self._tracks.clear()

    def tracks_text(self, camera: str, shown: LatestResult) -> str:
        """Return the message with a frame's tracks, built once per frame."""
        cached = self._tracks.get(camera)
        if cached is None or cached[0] != shown.key:
            cached = (shown.key, self._tracks_message(camera, shown))
            self._tracks[camera] = cached
        return cached[1]

    def _tracks_message(self, camera: str, shown: LatestResult) -> str:
        frame = shown.result.frame
        message = {
            "type": "tracks",
            "camera": camera,
            "index": frame.index,
            "pts_s": round(frame.pts_s, 3),
            "time": round(shown.time, 3),
            "age_ms": shown.age_ms(),
            "width": shown.width,
            "height": shown.height,
            "inside": dict(self._backend.inside(camera)),
        }
        return f'{_text(message)[:-1]},"tracks":{shown.tracks_json}}}'

    def _wake_callback(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """Return the callback of the pipeline's thread at each result: wakes the loop once."""

        def schedule_wake() -> None:
            if not self._is_wake_scheduled:
                self._is_wake_scheduled = True
                with suppress(RuntimeError):  # the loop is closed: no subscriber is left
                    loop.call_soon_threadsafe(self._wake_all)

        return schedule_wake

    def _wake_all(self) -> None:
        self._is_wake_scheduled = False
        for wake in list(self._listeners.values()):
            wake()

    async def _tick_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            cameras = [each.model_dump(mode="json") for each in self._backend.cameras()]
            self.cameras_text = _text({"type": "cameras", "cameras": cameras})
            self.ticks += 1
            await self._send_events()
            await self._send_visits()
            self._wake_all()
            await asyncio.sleep(max(0.1, TICK_S - (loop.time() - began)))

    async def _send_events(self) -> None:
        """Send the events stored since the last tick; a failed query is repeated at the next."""
        try:
            events, newest = await asyncio.to_thread(
                self._backend.events_after, self._last_event, MAX_EVENTS
            )
        except PipelineError as error:
            log.debug("page: %s", error)
            return
        self._last_event = newest
        for event in events:
            text = _text({"type": "event", "event": event.model_dump(mode="json")})
            for sink in list(self._event_sinks.values()):
                sink(text)

    async def _send_visits(self) -> None:
        """Send the visits changed since the last tick; a failed query is repeated at the next."""
        try:
            visits, newest = await asyncio.to_thread(
                self._backend.visits.after, self._last_revision, MAX_EVENTS
            )
        except PipelineError as error:
            log.debug("page: %s", error)
            return
        self._last_revision = newest
        for visit in visits:
            text = _text({"type": "visit", "visit": visit.as_dict()})
            for sink in list(self._event_sinks.values()):
                sink(text)


def _text(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
