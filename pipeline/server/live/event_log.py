"""EventLog: events of a live run for the page, from the sink `events` or from memory."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pipeline.core.data import Event, Float32, Result
from pipeline.core.interfaces import Sink
from pipeline.core.run_info import RunInfo, unix_time
from pipeline.events.positions import no_seconds
from pipeline.events.store.records import (
    LINE_KINDS,
    ZONE_KINDS,
    EventLabel,
    EventQuery,
    EventRecord,
    SlotCount,
    StoredEvent,
    StoredVisit,
)
from pipeline.events.visits import OpenVisits, visit_uid
from pipeline.server.event_totals import EventTotals
from pipeline.server.schemas import Count, Deliveries, Delivery, StoreStatus
from pipeline.server.visit_log import RecentVisits, VisitLog

if TYPE_CHECKING:
    from pipeline.events.alerts.service import AlertService
    from pipeline.events.camera_states import ZonesByCamera
    from pipeline.events.delivery.status import DeliveryStatus
    from pipeline.events.store.positions import VisitPath
    from pipeline.events.store.store import EventStore
    from pipeline.events.store.writer import ClipLosses
    from pipeline.events.store.writer import StoreStatus as WriterStatus

MAX_RECENT = 1000


class EventLog(Protocol):
    """Read access to a run's events; any thread may call it, and calls may take a while."""

    totals: EventTotals
    """A sink of the run, too."""

    @property
    def visits(self) -> VisitLog:
        """Return the log of visits."""

    def query(self, wanted: EventQuery) -> Sequence[StoredEvent]:
        """Return events, the newest first."""

    def counts(self, camera: str | None, hours: float) -> list[Count]:
        """Return counts of events in the last hours."""

    def counts_by_slot(self, wanted: EventQuery, slot_s: int) -> Sequence[SlotCount]:
        """Return counts of events by time, in order."""

    def end_silent_visits(self) -> None:
        """End the visits at cameras without a result for long; called every second."""

    def clip(self, event_id: int) -> Path | None:
        """Return the video file of an event, None where there is none."""

    def deliveries(self) -> Deliveries:
        """Return the status of the event store and of each delivery target, at once."""

    def alerts(self) -> AlertService | None:
        """Return the alerts of the run, None where nothing sends any."""


@runtime_checkable
class EventStoreSink(Sink, Protocol):
    """What the server needs of a sink that stores events; `EventsSink` (sinks/events.py) has it.

    Plug-ins never see the server, so such a sink is found by its members (`isinstance`). Any thread
    may call it.
    """

    @property
    def store(self) -> EventStore | None:
        """Return the store, None unless the sink is open."""

    @property
    def alerts(self) -> AlertService | None:
        """Return the alerts of the run, None unless the sink is open."""

    def follow_zones(self, zones: Callable[[], ZonesByCamera]) -> None:
        """Announce the zones and lines that `zones` returns; called before `open`."""

    def delivery_status(self) -> Sequence[DeliveryStatus]:
        """Return the delivery status of each target, at once."""

    def store_status(self) -> tuple[WriterStatus, ClipLosses] | None:
        """Return how events and clips are stored, at once; None unless the sink is open."""


class StoredEvents:
    """EventLog on the store of the sink `events`; empty unless the sink is open."""

    def __init__(self, sink: EventStoreSink) -> None:
        self._sink = sink
        self.totals = EventTotals()
        self.visits: VisitLog = StoredVisits(sink)

    def query(self, wanted: EventQuery) -> Sequence[StoredEvent]:
        """Return events, the newest first; raises StoreError."""
        store = self._sink.store
        return [] if store is None else store.query(wanted)

    def counts(self, camera: str | None, hours: float) -> list[Count]:
        """Return counts of events in the last hours; raises StoreError."""
        if (store := self._sink.store) is None:
            return []
        return [
            Count(
                camera=each.camera,
                area=each.area,
                kind=each.kind,
                direction=each.direction,
                class_name=each.class_name,
                count=each.count,
            )
            for each in store.counts(camera, hours)
        ]

    def counts_by_slot(self, wanted: EventQuery, slot_s: int) -> Sequence[SlotCount]:
        """Return counts of events by time, in order; raises StoreError."""
        store = self._sink.store
        return [] if store is None else store.counts_by_slot(wanted, slot_s)

    def end_silent_visits(self) -> None:
        """Do nothing: the sink does it."""

    def clip(self, event_id: int) -> Path | None:
        """Return the video file of an event, None where there is none; raises StoreError."""
        store = self._sink.store
        return None if store is None else store.clip_path(event_id)

    def deliveries(self) -> Deliveries:
        """Return the status of the event store and of each delivery target."""
        status = self._sink.store_status()
        return Deliveries(
            keeping=None if status is None else _store_status(*status),
            deliveries=[_delivery(each) for each in self._sink.delivery_status()],
        )

    def alerts(self) -> AlertService | None:
        """Return the alerts of the run, None unless the sink is open."""
        return self._sink.alerts


class StoredVisits:
    """VisitLog on the store of the sink `events`; empty unless the sink is open."""

    def __init__(self, sink: EventStoreSink) -> None:
        self._sink = sink

    def query(self, wanted: EventQuery) -> Sequence[StoredVisit]:
        """Return visits, those that began last first; raises StoreError."""
        store = self._sink.store
        return [] if store is None else store.visits(wanted)

    def get(self, number: int) -> StoredVisit | None:
        """Return one visit, None if there is none of this number; raises StoreError."""
        store = self._sink.store
        return None if store is None else store.visit(number)

    def after(self, revision: int | None, limit: int) -> tuple[Sequence[StoredVisit], int]:
        """Return visits changed after `revision`, and the newest revision; raises StoreError."""
        store = self._sink.store
        return ([], revision or 0) if store is None else store.visits_after(revision, limit)

    def thumbnail(self, number: int) -> Path | None:
        """Return the picture of a visit's best moment; raises StoreError."""
        store = self._sink.store
        return None if store is None else store.thumbnail_path(number)

    def boxes(self, event_id: int) -> Mapping[str, Any] | None:
        """Return the boxes in an event's clip; raises StoreError."""
        store = self._sink.store
        return None if store is None else store.clip_boxes(event_id)

    def positions(self, wanted: EventQuery) -> Float32:
        """Return seconds that objects stood in each cell of a picture; raises StoreError."""
        from pipeline.events.store.positions import stored_positions

        store = self._sink.store
        return no_seconds() if store is None else stored_positions(store, wanted)

    def paths(self, wanted: EventQuery) -> Sequence[VisitPath]:
        """Return paths of visits that have a clip; raises StoreError."""
        from pipeline.events.store.positions import visit_paths

        store = self._sink.store
        return [] if store is None else visit_paths(store, wanted)


class RecentEvents:
    """EventLog of the last thousand events in memory, for a run without a store; also a sink."""

    own_thread = False

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.totals = EventTotals()
        self._last_id = 0
        self._lock = threading.Lock()
        self._events: deque[StoredEvent] = deque(maxlen=MAX_RECENT)
        self._open = OpenVisits()
        self._recent_visits = RecentVisits()
        self.visits: VisitLog = self._recent_visits

    def open(self, run: RunInfo) -> None:
        """Do nothing: no part of the run is needed."""
        del run

    def write(self, result: Result) -> None:
        """Add the result's events."""
        utc = unix_time(0.0)
        records = [
            EventRecord.of(event, utc, visit_uid("", event.source, event.track_id))
            for event in result.events
        ]
        with self._lock:
            for event, record in zip(result.events, records, strict=True):
                self._last_id += 1
                visit = self._recent_visits.add(record, self._last_id)
                self._events.append(_stored(event, self._last_id, visit))
        self._recent_visits.end(self._open.update(result, records))

    def end_silent_visits(self, now: float | None = None) -> None:
        """End the visits at cameras without a result for long; `now` is monotonic."""
        self._recent_visits.end(self._open.end_silent(now))

    def close(self) -> None:
        """Do nothing: no resource is open."""

    def query(self, wanted: EventQuery) -> Sequence[StoredEvent]:
        """Return events, the newest first."""
        with self._lock:
            events = list(self._events)
        fitting = [event for event in reversed(events) if _matches(event, wanted)]
        if wanted.before_id is None and wanted.after_id is None:
            fitting.sort(key=lambda one: (one.time, one.id), reverse=True)
        return fitting[: wanted.limit]

    def counts(self, camera: str | None, hours: float) -> list[Count]:
        """Return counts of the recent events of the last hours."""
        since = self._now() - hours * 3600
        found = self.query(EventQuery(camera=camera, since=since, limit=MAX_RECENT))
        counted = Counter(map(_label, found))
        keys = ("camera", "area", "kind", "direction", "class_name")
        return [
            Count.model_validate({**dict(zip(keys, one, strict=True)), "count": count})
            for one, count in sorted(counted.items())
        ]

    def counts_by_slot(self, wanted: EventQuery, slot_s: int) -> Sequence[SlotCount]:
        """Return counts of the recent events by time, in order."""
        counted = Counter(
            (int(event.time // slot_s) * slot_s, _label(event))
            for event in self.query(replace(wanted, limit=MAX_RECENT))
        )
        rows = sorted(counted.items())[: wanted.limit]
        return [SlotCount(began, label, count) for (began, label), count in rows]

    def clip(self, event_id: int) -> Path | None:
        """Return None: there are no clips."""
        del event_id
        return None

    def deliveries(self) -> Deliveries:
        """Return no targets: events that are not stored are not delivered."""
        return Deliveries(keeping=None, deliveries=[])

    def alerts(self) -> None:
        """Return None: events that are not stored cause no alerts."""
        return


def _label(event: StoredEvent) -> EventLabel:
    return EventLabel(event.camera, event.area, event.kind, event.direction, event.class_name)


def _matches(event: StoredEvent, wanted: EventQuery) -> bool:
    label = event.camera, event.kind, event.class_name, event.area
    asked = wanted.camera, wanted.kind, wanted.class_name, wanted.area
    return (
        all(one in (None, mine) for one, mine in zip(asked, label, strict=True))
        and wanted.visit in (None, event.visit)
        and (wanted.zone is None or (event.area == wanted.zone and event.kind in ZONE_KINDS))
        and (wanted.line is None or (event.area == wanted.line and event.kind in LINE_KINDS))
        and (wanted.before_id is None or event.id < wanted.before_id)
        and (wanted.after_id is None or event.id > wanted.after_id)
        and (wanted.since is None or event.time >= wanted.since)
        and (wanted.until is None or event.time < wanted.until)
        and (wanted.min_s is None or event.dwell_s >= wanted.min_s)
        and (wanted.max_s is None or event.dwell_s <= wanted.max_s)
        and (wanted.before is None or (event.time, event.id) < wanted.before)
    )


def _delivery(one: DeliveryStatus) -> Delivery:
    queue = one.queue
    return Delivery(
        target=one.target,
        address=one.address,
        delivered=one.delivered,
        waiting=queue.waiting,
        waiting_since=queue.waiting_since,
        problem=one.problem or None,
        failed=queue.failed,
        failed_at=queue.failed_at,
        failure=queue.failure or None,
    )


def _store_status(events: WriterStatus, clips: ClipLosses) -> StoreStatus:
    return StoreStatus(
        waiting=events.waiting,
        since=events.since,
        problem=events.problem or None,
        lost=events.lost,
        lost_at=events.lost_at,
        clips_lost=clips.lost,
        clip_lost_at=clips.lost_at,
        clip_problem=clips.problem or None,
    )


def _stored(event: Event, number: int, visit: int) -> StoredEvent:
    return StoredEvent(
        id=number,
        uid=f"{number:032x}",
        time=round(unix_time(event.captured_at), 3),
        kind=event.kind,
        camera=event.source,
        area=event.area,
        direction=event.direction,
        track_id=event.track_id,
        class_name=event.class_name,
        dwell_s=event.dwell_s,
        index=event.index,
        pts_s=event.pts_s,
        xyxy=event.xyxy,
        score=event.score,
        clip=False,
        visit=visit,
    )
