"""RunBackend: the interface between the HTTP application and the run behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.core.packet_tap import PacketTap
from pipeline.events.alerts.counts import AlertCount
from pipeline.events.store.records import EventLabel, EventQuery, SlotCount, StoredEvent
from pipeline.events.zones.schema import CameraZones
from pipeline.server.schemas import Camera, Counts, Deliveries, Status, ZonePreview
from pipeline.server.visit_log import VisitLog


class RunBackend(Protocol):
    """The run behind the HTTP application.

    Methods that "may take a while" are never called on the server's event loop.
    """

    version: str

    @property
    def visits(self) -> VisitLog:
        """Return the log of visits."""

    def cameras(self) -> Sequence[Camera]:
        """Return every camera in the order of the configuration."""

    def queues(self) -> Mapping[str, int]:
        """Return how many frames of each camera wait for inference."""

    def packets(self, camera: str) -> PacketTap | None:
        """Return the encoded pictures of a camera, None where its source offers none."""

    def inside(self, camera: str) -> Mapping[str, int | None]:
        """Return how many tracks are in each zone of a camera now, None while it is lost."""

    def zones(self, camera: str) -> CameraZones:
        """Return a camera's zones and lines."""

    def save_zones(self, camera: str, zones: CameraZones) -> CameraZones:
        """Save and use a camera's zones and lines; raises PipelineError. May take a while."""

    def preview_zones(self, camera: str, zones: CameraZones) -> ZonePreview:
        """Return what zones and lines would have counted in the last minute. May take a while."""

    def retry_now(self, camera: str) -> None:
        """Try a lost camera again at once."""

    def counts(self, camera: str | None, hours: float) -> Counts:
        """Return counts of events in the last hours and who is inside now. May take a while."""

    def counts_by_slot(self, query: EventQuery, slot_s: int) -> Sequence[SlotCount]:
        """Return counts of the events that match, by time, in order. May take a while.

        Slots begin at multiples of `slot_s` Unix seconds. Of more than `query.limit` rows any are
        left out.
        """

    def event_totals(self) -> Mapping[EventLabel, int]:
        """Return how many events there were since the start."""

    def events(self, query: EventQuery) -> Sequence[StoredEvent]:
        """Return events, the newest first. May take a while."""

    def events_after(self, event_id: int | None, limit: int) -> tuple[Sequence[StoredEvent], int]:
        """Return events stored after `event_id`, the oldest first, and the newest number.

        No events for None, which asks for the number only. May take a while.
        """

    def clip(self, event_id: int) -> Path | None:
        """Return the file that shows an event, None where there is none. May take a while."""

    def deliveries(self) -> Deliveries:
        """Return the status of the event store and of each delivery target."""

    def alert_counts(self) -> Mapping[AlertCount, int]:
        """Return what became of alerts since the start."""

    def config(self) -> Mapping[str, Any]:
        """Return the effective configuration."""

    def status(self) -> Status:
        """Return the status of the program as a whole."""

    def healthy(self) -> bool:
        """Return whether the pipeline is running and producing results."""
