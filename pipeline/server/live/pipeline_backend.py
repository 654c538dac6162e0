"""PipelineBackend: the server's RunBackend on a running pipeline."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.config.build import effective
from pipeline.core.packet_tap import PacketTap
from pipeline.engine import Pipeline
from pipeline.engine.camera_monitor import CameraStatus
from pipeline.engine.stats import Waits
from pipeline.events.alerts.counts import AlertCount
from pipeline.events.store.records import EventLabel, EventQuery, SlotCount, StoredEvent
from pipeline.events.zones.count_table import possible_counts
from pipeline.events.zones.schema import CameraZones
from pipeline.server.live.config_changes import RunningConfig
from pipeline.server.live.event_log import EventLog
from pipeline.server.live.recent_tracks import RecentTracks
from pipeline.server.live.zone_editor import ZoneEditor, watcher_setter
from pipeline.server.schemas import (
    Ages,
    Camera,
    ConfigState,
    Count,
    Counts,
    Deliveries,
    Inside,
    Status,
    ZonePreview,
)
from pipeline.server.viewers.hub import Hub
from pipeline.server.visit_log import VisitLog

STUCK_S = 30.0
RATE_WINDOW_S = 10.0


class PipelineBackend:
    """RunBackend of a pipeline, its hub, zones and events; any thread may call it.

    `recent` has the tracks of the last minute.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        hub: Hub,
        zone_editor: ZoneEditor,
        events: EventLog,
        running: RunningConfig,
        recent: RecentTracks | None = None,
    ) -> None:
        from pipeline import __version__

        self.version = __version__
        self.visits: VisitLog = events.visits
        self._pipeline = pipeline
        self._hub = hub
        self._zone_editor = zone_editor
        self._events = events
        self._running = running
        self._recent = recent or RecentTracks()
        self._began = time.monotonic()
        self._delivered: deque[tuple[float, int, Waits]] = deque(maxlen=64)

    def cameras(self) -> Sequence[Camera]:
        """Return every camera in the order of the configuration."""
        found = self._pipeline.cameras()
        order = {name: place for place, name in enumerate(self._running.names)}
        statuses = sorted(found.values(), key=lambda one: order.get(one.name, len(order)))
        return [self._camera(each) for each in statuses]

    def queues(self) -> Mapping[str, int]:
        """Return how many frames of each camera wait for inference."""
        return {name: one.waiting for name, one in self._pipeline.cameras().items()}

    def packets(self, camera: str) -> PacketTap | None:
        """Return the encoded pictures of a camera, None where its source offers none."""
        return self._pipeline.packets(camera)

    def inside(self, camera: str) -> Mapping[str, int | None]:
        """Return how many tracks are in each zone of a camera now, None while it is lost."""
        found = self._zone_editor.inside(camera)
        known = self._is_seen(camera)
        return {zone: sum(one.values()) if known else None for zone, one in found.items()}

    def zones(self, camera: str) -> CameraZones:
        """Return a camera's zones and lines."""
        return self._zone_editor.zones(camera)

    def save_zones(self, camera: str, zones: CameraZones) -> CameraZones:
        """Save and use a camera's zones and lines; raises OutputError."""
        return self._zone_editor.save(camera, zones, watcher_setter(self._pipeline))

    def preview_zones(self, camera: str, zones: CameraZones) -> ZonePreview:
        """Return what zones and lines would have counted in the last minute."""
        return self._recent.preview(camera, zones)

    def retry_now(self, camera: str) -> None:
        """Try a lost camera again at once."""
        with suppress(ValueError):  # it has just been removed
            self._pipeline.retry_now(camera)

    def counts(self, camera: str | None, hours: float) -> Counts:
        """Return counts of the last hours and the occupancy of zones now; raises StoreError."""
        names = [name for name in self._pipeline.cameras() if camera in (None, name)]
        inside = [each for name in names for each in self._inside(name)]
        counts = list(self._events.counts(camera, hours))
        happened = {(one.camera, one.area, one.kind, one.direction) for one in counts}
        zeros = [
            Count(camera=name, count=0, **key._asdict())
            for name in names
            for key in possible_counts(self._zone_editor.watched(name))
            if (name, *key[:3]) not in happened
        ]
        return Counts(counts=[*counts, *zeros], inside=inside)

    def counts_by_slot(self, query: EventQuery, slot_s: int) -> Sequence[SlotCount]:
        """Return counts of events by time, in order; raises StoreError."""
        return self._events.counts_by_slot(query, slot_s)

    def event_totals(self) -> Mapping[EventLabel, int]:
        """Return how many events there were since the start."""
        return self._events.totals.now()

    def events(self, query: EventQuery) -> Sequence[StoredEvent]:
        """Return events, those that happened last first; raises StoreError."""
        # With `before_id` they are in the order of storing; a "leave" is stored seconds later.
        return sorted(self._events.query(query), key=lambda one: (one.time, one.id), reverse=True)

    def events_after(self, event_id: int | None, limit: int) -> tuple[Sequence[StoredEvent], int]:
        """Return events stored after `event_id`, the oldest first, and the newest number."""
        if event_id is None:
            newest = self._events.query(EventQuery(after_id=0, limit=1))
            return [], newest[0].id if newest else 0
        found = self._events.query(EventQuery(after_id=event_id, limit=limit))
        return found[::-1], found[0].id if found else event_id

    def clip(self, event_id: int) -> Path | None:
        """Return the video file of an event, None where there is none; raises StoreError."""
        return self._events.clip(event_id)

    def deliveries(self) -> Deliveries:
        """Return the status of the event store and of each delivery target."""
        return self._events.deliveries()

    def alert_counts(self) -> Mapping[AlertCount, int]:
        """Return what became of alerts since the start."""
        alerts = self._events.alerts()
        return {} if alerts is None else alerts.counts()

    def config(self) -> Mapping[str, Any]:
        """Return the effective configuration."""
        return effective(self._running.resolved)

    def status(self) -> Status:
        """Return the status of the program as a whole."""
        report = self._pipeline.stats.report()
        return Status(
            uptime_s=round(time.monotonic() - self._began, 1),
            fps=self._fps(),
            limited_by=self._limited_by(),
            stages=report["stages"],
            config=ConfigState(
                path=str(self._running.path) if self._running.path else None,
                loaded_at=self._running.loaded_at,
                error=self._running.error,
                fixed=self._running.fixed,
            ),
        )

    def healthy(self) -> bool:
        """Return whether the pipeline runs, and gives results while it has pictures."""
        if not self._pipeline.started or self._hub.closed:
            return False
        now = time.monotonic()
        if now - (self._hub.last_result_at or self._began) < STUCK_S:
            return True
        return all(
            each.state != "live" or time.time() - each.since < STUCK_S
            for each in self._pipeline.cameras().values()
        )

    def each_second(self) -> None:
        """Record the number of results, forget removed cameras, end visits at silent ones."""
        for name in set(self._hub.names()) - set(self._pipeline.cameras()):
            self._hub.forget(name)
        stats = self._pipeline.stats
        self._delivered.append((time.monotonic(), stats.delivered, stats.waits()))
        self._events.end_silent_visits()

    def _inside(self, camera: str) -> list[Inside]:
        """Return a camera's occupancy by zone and class; one row per zone while it is lost."""
        found = self._zone_editor.inside(camera)
        by_class: Mapping[str, Mapping[str, int | None]] = found
        if not self._is_seen(camera):
            by_class = {zone: {"": None} for zone in found}
        return [
            Inside(camera=camera, area=zone, class_name=class_name, count=count)
            for zone, classes in by_class.items()
            for class_name, count in classes.items()
        ]

    def _is_seen(self, camera: str) -> bool:
        """Return whether the newest result shows the present: it is not from before a loss.

        A stale camera counts as seen: some send nothing while nothing moves.
        """
        since, shown = self._pipeline.live_since(camera), self._hub.latest(camera)
        return since is not None and shown is not None and shown.result.frame.captured_at >= since

    def _fps(self) -> float:
        """Return results per second over the last ten seconds."""
        now, delivered = time.monotonic(), self._pipeline.stats.delivered
        then, before, _ = self._earlier(now)
        return round((delivered - before) / max(now - then, 0.1), 1)

    def _limited_by(self) -> str:
        """Return the stage that limited the last ten seconds, or the whole run without results."""
        stats = self._pipeline.stats
        _, before, waits = self._earlier(time.monotonic())
        return stats.limiting_stage(waits if stats.delivered > before else Waits())

    def _earlier(self, now: float) -> tuple[float, int, Waits]:
        """Return the time, results and waits as they were ten seconds ago."""
        samples = [one for one in list(self._delivered) if one[0] > now - RATE_WINDOW_S]
        return samples[0] if samples else (self._began, 0, Waits())

    def _camera(self, one: CameraStatus) -> Camera:
        shown = self._hub.latest(one.name)
        age = one.age_ms
        known = one.delivered > 0
        return Camera(
            name=one.name,
            state=one.state,
            since=round(one.since, 3),
            fps=one.fps,
            analysed_fps=one.analysed_fps,
            width=one.width or None,
            height=one.height or None,
            age_ms=Ages(
                now=shown.age_ms() if shown else None,
                p50=age.p50 if known else None,
                p95=age.p95 if known else None,
                p99=age.p99 if known else None,
            ),
            grabbed=one.grabbed,
            delivered=one.delivered,
            dropped=dict(one.dropped),
            reconnects=one.reconnects,
            error=one.error,
            warning=one.warning,
            next_try=None if one.next_try is None else round(one.next_try, 3),
            next_try_in_s=None if one.next_try_in_s is None else round(one.next_try_in_s, 1),
            tracks=len(shown.result.tracks) if shown and self._is_seen(one.name) else None,
        )
