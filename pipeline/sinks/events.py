"""Sink: events stored with clips in OUT/events.db and OUT/clips, delivered to MQTT and webhooks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.core.data import Result
from pipeline.core.errors import (
    ConfigError,
    MissingExtraError,
    OutputError,
    PipelineError,
    StageError,
    StoreError,
    WriteError,
    writing,
)
from pipeline.core.install_hints import install_command
from pipeline.core.options import OptionsModel
from pipeline.core.run_info import RunInfo, unix_time
from pipeline.core.secret_types import SecretUrl
from pipeline.events.alerts.options import AlertOptions
from pipeline.events.delivery.options import MqttOptions, WebhookOptions
from pipeline.events.positions import PositionCounter
from pipeline.events.store.writer import CLOSE_TIMEOUT_S, ClipLosses, PeriodicTask
from pipeline.sinks._files import OutputFolder

if TYPE_CHECKING:
    from pipeline.events.alerts.service import AlertService
    from pipeline.events.camera_events import CameraEvents
    from pipeline.events.camera_states import ZonesByCamera
    from pipeline.events.delivery.status import DeliveryStatus
    from pipeline.events.delivery.targets import Targets
    from pipeline.events.positions import HourGrid
    from pipeline.events.service import EventService
    from pipeline.events.store.positions import PositionSaver
    from pipeline.events.store.store import EventStore
    from pipeline.events.store.writer import StoreStatus
    from pipeline.events.visits import OpenVisits, VisitChange
    from pipeline.sinks.clips.recorder import ClipRecorder
    from pipeline.sinks.clips.thumbnails import Thumbnail

FILE_NAME = "events.db"
CLIPS_FOLDER = "clips"
# Closing takes a second or two when something does not answer, and no time otherwise.
_CLIPS_TIMEOUT_S = 1.5
_CAMERAS_EVERY_S = 1.0
_FILES_TIMEOUT_S = 20.0


class Options(OptionsModel):
    """Options of the sink `events`."""

    database: SecretUrl | None = None
    """An SQLite file, by default `OUT/events.db`, or `postgresql://USER:${PASSWORD}@HOST/NAME`."""
    clips: bool = True
    """Record a clip of each event in `OUT/clips`; overlapping events share one."""
    before_s: float = Field(5.0, ge=0, le=60)
    """Seconds before the event in its clip."""
    after_s: float = Field(5.0, ge=0, le=60)
    """Seconds after it."""
    clip_width: int = Field(640, ge=64, le=3840)
    """Maximum width of a clip, in pixels."""
    clip_fps: float = Field(10.0, gt=0, le=60)
    """Maximum pictures per second in a clip."""
    clip_boxes: bool = True
    """Draw boxes, labels and trails in the clips."""
    keep_days: float | None = Field(30.0, gt=0)
    """Events and clips older than this are deleted; null keeps them for ever."""
    keep_megabytes: float | None = Field(2000.0, gt=0)
    """Size limit: beyond it the oldest clips and thumbnails are deleted, then the oldest events;
    null for none."""
    lost_after_s: float = Field(10.0, gt=0)
    """Seconds without a new picture after which a camera causes the event "lost"; its return is
    "live"."""
    mqtt: MqttOptions | None = None
    """Broker to which events and camera states are published."""
    webhooks: tuple[WebhookOptions, ...] = ()
    """Addresses to which each event is sent in a signed POST request."""
    public_url: str = Field("", pattern=r"^(https?://[^\s?#@\\]+)?$", max_length=500)
    """Public address of the page, such as `https://cams.example.org`: links to clips begin with
    it."""


def build(options: Options) -> EventsSink:
    """Return the sink; nothing is opened yet."""
    return EventsSink(options)


class EventsSink:
    """Stores and delivers the events of results; never waits for database, disk or network.

    Exception: a run over files only does wait, and fails if events cannot be stored. `store` exists
    between `open` and `close`; other threads may use it in the meantime.
    """

    own_thread = True

    def __init__(self, options: Options, files_timeout_s: float = _FILES_TIMEOUT_S) -> None:
        self.store: EventStore | None = None
        self._options = options
        self._files_timeout_s = files_timeout_s
        self._folder: OutputFolder | None = None
        self._service: EventService | None = None
        self._clips: ClipRecorder | None = None
        self._failure: BaseException | None = None
        self._zones: Callable[[], ZonesByCamera] | None = None
        self._camera_task: PeriodicTask | None = None
        self._is_new_database = False
        self._only_files = False
        self._wrote = False
        self._release: Callable[[], None] | None = None
        self._run = uuid.uuid4().hex  # track ids begin anew in each
        self._visits: OpenVisits | None = None
        self._positions = PositionCounter()
        self._position_saver: PositionSaver | None = None
        self._alerts = AlertOptions()

    @property
    def alerts(self) -> AlertService | None:
        """Return the alerts of the run, None unless the sink is open."""
        service = self._service
        return None if service is None else service.alerts

    def set_alerts(self, options: AlertOptions) -> None:
        """Replace the rules and channels of alerts, before `open` or later; raises ConfigError."""
        if options.uses_mqtt and self._options.mqtt is None:
            raise ConfigError(
                "alerts: channel mqtt: wants a broker, the option mqtt of the sink events "
                "(a change of sinks waits for the next start)"
            )
        service = self._service
        if service is not None:
            service.alerts.use(options)
        self._alerts = options

    def follow_zones(self, zones: Callable[[], ZonesByCamera]) -> None:
        """Announce the zones and lines that `zones` returns from time to time; before `open`."""
        self._zones = zones

    def open(self, run: RunInfo) -> None:
        """Open the database and start delivering waiting messages.

        Raises OutputError, ConfigError.
        """
        self._only_files = run.only_files
        self._folder = OutputFolder(run)
        self._folder.make()
        try:
            store = self._open_store(run.output)
            from pipeline.events.alerts.service import alert_targets
            from pipeline.events.camera_events import CameraEvents
            from pipeline.events.delivery.targets import make_targets  # SQLAlchemy is there, then
            from pipeline.events.visits import OpenVisits

            self._visits = OpenVisits()

            cameras = dict.fromkeys([*run.sources, *_names(run.metadata)])
            options = self._options
            targets = make_targets(
                options.mqtt, options.webhooks, cameras, store.uid, clips=options.clips
            )
            names = alert_targets(self._alerts, store)
            store.deliver_to(targets.kinds, targets.with_clips, names)
        except StoreError as error:
            raise OutputError(str(error)) from error
        if targets.camera_states is not None:
            planned = _planned_zones(run.metadata)
            targets.camera_states.plan(self._zones or (lambda: planned))
        self._start(targets, store, run)
        camera_events = CameraEvents(run.camera_states, self._options.lost_after_s)
        self._camera_task = PeriodicTask(
            "events: cameras", partial(self._store_camera_events, camera_events), _CAMERAS_EVERY_S
        )
        self._camera_task.start(self._fail)

    def write(self, result: Result) -> None:
        """Take the result's events and keep its picture; waits only in runs over files."""
        if self._service is None or self.store is None:
            raise ValueError("EventsSink.write: open() comes first")
        self._raise_failure()
        from pipeline.events.store.records import EventRecord
        from pipeline.events.visits import visit_uid

        self._wrote = True
        self._service.note(result)
        utc = unix_time(0.0)
        records = [
            EventRecord.of(event, utc, visit_uid(self._run, event.source, event.track_id))
            for event in result.events
        ]
        if records:
            self._service.writer.enqueue(partial(self._service.alerts.add, records), len(records))
        ends = [] if self._visits is None else self._visits.update(result, records)
        if self._clips is not None:
            uids, visits = [one.uid for one in records], [one.visit for one in records]
            self._clips.add(result, uids, utc + result.frame.captured_at, visits)
        self._save_positions(self._positions.add(result, utc + result.frame.captured_at))
        self._end_visits(ends)  # behind `add`, which begins what may have ended already

    def _end_visits(self, ends: Sequence[VisitChange]) -> None:
        service, store = self._service, self.store
        if ends and service is not None and store is not None:
            service.writer.enqueue(partial(store.end_visits, {one.uid: one.pts_s for one in ends}))
            clips = self._clips  # `close` takes it away on another thread
            if clips is not None:
                clips.end_visits([one.uid for one in ends if one.pts_s is not None])

    def _save_positions(self, grids: Sequence[HourGrid]) -> None:
        if grids and self._position_saver is not None:
            self._position_saver.save(grids)

    def _store_camera_events(self, camera_events: CameraEvents) -> None:
        """Store the cameras' events since the last call; end visits at silent cameras."""
        service, store = self._service, self.store
        if service is None or store is None:
            return
        if self._visits is not None:
            self._end_visits(self._visits.end_silent())
        if records := camera_events.update(time.time()):
            self._wrote = True
            service.writer.enqueue(partial(service.alerts.add, records), len(records))

    def delivery_status(self) -> Sequence[DeliveryStatus]:
        """Return the delivery status of each target; never waits; safe from any thread."""
        service = self._service
        return [] if service is None else service.delivery_status()

    def store_status(self) -> tuple[StoreStatus, ClipLosses] | None:
        """Return the status of the store and clips lost; never waits; None while closed."""
        service, clips = self._service, self._clips
        if service is None:
            return None
        return service.writer.status, ClipLosses() if clips is None else clips.losses

    def close(self) -> None:
        """Finish clips, store queued events, deliver what is possible soon; the rest stays on disk.

        Raises WriteError after files of which an event was lost.
        """
        timeout_s = self._files_timeout_s if self._only_files else None
        clips, self._clips = self._clips, None
        if clips is not None:
            clips.close(_CLIPS_TIMEOUT_S if timeout_s is None else timeout_s)
        if self._camera_task is not None:
            self._camera_task.close(CLOSE_TIMEOUT_S)
        if self._visits is not None:
            self._end_visits(self._visits.close())
        self._save_positions(self._positions.flush())
        service, self._service = self._service, None
        if service is not None:
            service.close(CLOSE_TIMEOUT_S if timeout_s is None else timeout_s)
        self._close_store()
        if self._folder is not None:
            self._folder.drop_if_empty()
        if service is not None and self._only_files:
            self._raise_failure()
            status = service.writer.status
            if missing := status.lost + status.waiting:  # a step may still be under way
                raise WriteError(
                    f"events: {missing} could not be kept: {status.problem or 'see the log'}"
                )

    # -- opening ----------------------------------------------------------------------------------

    def _open_store(self, output: Path) -> EventStore:
        try:
            from pipeline.events.store.database import lock_database
            from pipeline.events.store.store import EventStore
        except ImportError as error:
            raise MissingExtraError(
                f"events: needs SQLAlchemy: {install_command('live')}"
            ) from error
        wanted = self._options.database
        address = wanted.reveal() if wanted is not None else str(output / FILE_NAME)
        store = EventStore(address, output / CLIPS_FOLDER)
        if store.file is not None and self._folder is not None:
            self._folder.check(store.file, appends=True)
            with writing(store.file):
                self._release = lock_database(store.file)
            self._is_new_database = not store.file.exists()
        self.store = store
        store.prepare()
        return store

    def _start(self, targets: Targets, store: EventStore, run: RunInfo) -> None:
        """Start the threads; each is joined in `close`."""
        from pipeline.events.service import EventService
        from pipeline.events.store.positions import PositionSaver
        from pipeline.events.store.retention import RetentionLimits

        options = self._options
        limits = RetentionLimits(options.keep_days, options.keep_megabytes)
        self._service = EventService(
            store,
            targets,
            limits,
            options.public_url,
            only_files=self._only_files,
            has_pictures=options.clips,
        )
        self._service.alerts.use(self._alerts)
        self._position_saver = PositionSaver(store, self._service.writer.enqueue)
        if options.clips:
            from pipeline.sinks.clips.pre_roll import ClipOptions
            from pipeline.sinks.clips.recovery import make_recorder

            wanted = ClipOptions(
                options.before_s,
                options.after_s,
                options.clip_fps,
                options.clip_width,
                options.clip_boxes,
                lossless=self._only_files,
            )
            service = self._service

            def on_thumbnail(one: Thumbnail) -> None:
                service.set_thumbnail(one.camera, one.began, one.jpeg)

            self._clips = make_recorder(
                store, service.writer, wanted, on_thumbnail, run.clip_packets
            )
            self._clips.start(self._fail)
        self._service.writer.enqueue(store.end_all_visits)  # of a run that was killed
        self._service.start(self._fail)

    def _close_store(self) -> None:
        """Close the database; an unused new one is deleted."""
        store, self.store = self.store, None
        release, self._release = self._release, None
        if store is None:
            return
        store.close()
        if self._is_new_database and not self._wrote and store.file is not None:
            for end in ("", "-wal", "-shm"):
                store.file.with_name(store.file.name + end).unlink(missing_ok=True)
        if release is not None:
            release()

    def _raise_failure(self) -> None:
        if isinstance(self._failure, PipelineError):
            raise self._failure
        if self._failure is not None:
            raise StageError(f"events: {self._failure}") from self._failure

    def _fail(self, error: BaseException) -> None:
        """Store the error that ended a thread; the next `write` raises it."""
        self._failure = self._failure or error


def _names(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the configured sources, including those not there yet."""
    sources = metadata.get("sources", ())
    for one in sources if isinstance(sources, list | tuple) else ():
        if isinstance(one, Mapping) and isinstance(one.get("name"), str) and one["name"]:
            yield one["name"]


def _planned_zones(metadata: Mapping[str, Any]) -> dict[str, dict[str, bool]]:
    """Return {camera: {zone or line: whether it is a line}} of the run's zones file."""
    return {
        camera: {
            zone["name"]: kind == "lines"
            for kind in ("zones", "lines")
            for zone in zones.get(kind, ())
        }
        for camera, zones in metadata.get("areas", {}).items()
    }
