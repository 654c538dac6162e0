"""Events kept with their clips in OUT/events.db and OUT/clips, and told to MQTT and webhooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.data import Result
from pipeline.errors import MissingExtraError, OutputError, StageError, StoreError
from pipeline.events.options import MqttOptions, WebhookOptions
from pipeline.interfaces import RunInfo
from pipeline.options import OptionsModel
from pipeline.secrets import SecretUrl
from pipeline.sinks._files import OutputFolder, writing

if TYPE_CHECKING:
    from pipeline.events.keeping import Keeper
    from pipeline.events.service import EventService
    from pipeline.events.standing import Standing
    from pipeline.events.store import EventStore
    from pipeline.events.targets import Targets
    from pipeline.sinks._clips import ClipRecorder

log = logging.getLogger("trackline")

FILE_NAME = "events.db"
CLIPS_FOLDER = "clips"
# Closing takes a second or two when something does not answer, and no time otherwise.
_CLIPS_PATIENCE_S = 1.5
_FILES_PATIENCE_S = 20.0


class Options(OptionsModel):
    """What can be set about events."""

    database: SecretUrl | None = None
    """`OUT/events.db` unless said: a file of SQLite, or `postgresql://USER:${PASSWORD}@HOST/NAME`."""
    clips: bool = True
    """Record a clip of each event into `OUT/clips`; events that overlap share one."""
    before_s: float = Field(5.0, ge=0, le=60)
    """Seconds before the event in its clip."""
    after_s: float = Field(5.0, ge=0, le=60)
    """Seconds after it."""
    clip_width: int = Field(640, ge=64, le=3840)
    """Widest picture of a clip, in pixels."""
    clip_fps: float = Field(10.0, gt=0, le=60)
    """Most pictures a second in a clip."""
    clip_boxes: bool = True
    """Draw boxes, labels and trails into the clips."""
    keep_days: float | None = Field(30.0, gt=0)
    """Events and clips older than this are deleted; null keeps them for ever."""
    keep_megabytes: float | None = Field(2000.0, gt=0)
    """Beyond this the oldest clips are deleted, then the oldest events; null for no bound."""
    mqtt: MqttOptions | None = None
    """A broker that gets the events and the state of the cameras."""
    webhooks: tuple[WebhookOptions, ...] = ()
    """Addresses that get each event in a signed POST request."""
    public_url: str = Field("", pattern=r"^(https?://[^\s?#@\\]+)?$", max_length=500)
    """Where others reach the page, `https://cams.example.org`: links to clips begin with it."""


def build(options: Options) -> EventsSink:
    """Return the sink; nothing is opened yet."""
    return EventsSink(options)


class EventsSink:
    """Takes the events of results. No database, disk or network ever makes `write` wait.

    `store` is open between `open` and `close`; others may use it meanwhile, from any thread.
    """

    own_thread = True

    def __init__(self, options: Options) -> None:
        self.store: EventStore | None = None
        self._options = options
        self._folder: OutputFolder | None = None
        self._service: EventService | None = None
        self._clips: ClipRecorder | None = None
        self._failure: BaseException | None = None
        self._utc = 0.0
        self._made_anew = False
        self._only_files = False
        self._wrote = False
        self._release: Callable[[], None] | None = None

    def open(self, run: RunInfo) -> None:
        """Open the database and begin to deliver what waits; raises OutputError, ConfigError."""
        self._utc = run.utc_at_monotonic_zero
        self._only_files = bool(run.sources) and all(
            info.frame_count is not None for info in run.sources.values()
        )
        self._folder = OutputFolder(run)
        self._folder.make()
        try:
            store = self._open_store(run.output)
            from pipeline.events.targets import make_targets  # SQLAlchemy is there, then

            cameras = dict.fromkeys([*run.sources, *_names(run.metadata)])
            options = self._options
            targets = make_targets(
                options.mqtt, options.webhooks, cameras, store.uid, clips=options.clips
            )
            store.deliver_to(targets.kinds, targets.with_clips)
        except StoreError as error:
            raise OutputError(str(error)) from error
        self._start(targets, store, run.output / CLIPS_FOLDER)

    def write(self, result: Result) -> None:
        """Take the result's events and remember its picture; returns at once."""
        if self._service is None or self.store is None:
            raise ValueError("EventsSink.write: open() comes first")
        if self._failure is not None:
            raise StageError(f"events: {self._failure}") from self._failure
        from pipeline.events.records import EventRecord

        self._wrote = True
        self._service.note(result)
        records = [EventRecord.of(event, self._utc) for event in result.events]
        if records:
            self._service.keeper.do(partial(self.store.add, records))
        if self._clips is not None:
            unix_s = self._utc + result.frame.captured_at
            self._clips.note(result, [one.uid for one in records], unix_s)

    def standings(self) -> Sequence[Standing]:
        """Return how each target fares, for any thread and at once."""
        service = self._service
        return [] if service is None else service.standings()

    def close(self) -> None:
        """Finish clips, keep what came, deliver what can be soon; the rest waits on the disk."""
        clips, self._clips = self._clips, None
        if clips is not None:
            clips.close(_FILES_PATIENCE_S if self._only_files else _CLIPS_PATIENCE_S)
            if clips.lost_shots:
                log.warning("events: clips lack %d pictures", clips.lost_shots)
        service, self._service = self._service, None
        if service is not None:
            service.close()
        self._close_store()
        if self._folder is not None:
            self._folder.drop_if_empty()

    # -- opening ----------------------------------------------------------------------------------

    def _open_store(self, output: Path) -> EventStore:
        try:
            from pipeline.events.claiming import claim
            from pipeline.events.store import EventStore
        except ImportError as error:
            raise MissingExtraError(
                "events: needs SQLAlchemy: pip install 'trackline[live]'"
            ) from error
        wanted = self._options.database
        address = wanted.reveal() if wanted is not None else str(output / FILE_NAME)
        store = EventStore(address, output / CLIPS_FOLDER)
        if store.file is not None and self._folder is not None:
            self._folder.check(store.file)
            with writing(store.file):
                self._release = claim(store.file)
            self._made_anew = not store.file.exists()
        self.store = store
        store.prepare()
        return store

    def _start(self, targets: Targets, store: EventStore, clips: Path) -> None:
        """Start the threads; each is joined in `close`."""
        from pipeline.events.retention import Limits
        from pipeline.events.service import EventService

        limits = Limits(self._options.keep_days, self._options.keep_megabytes)
        self._service = EventService(store, targets, limits, self._options.public_url)
        if self._options.clips:
            from pipeline.sinks._clip_rescue import rescue_all

            keeper = self._service.keeper
            self._clips = self._recorder(store, clips, keeper)
            keeper.do(partial(rescue_all, store))
            self._clips.start(self._fail)
        self._service.start(self._fail)

    def _recorder(self, store: EventStore, folder: Path, keeper: Keeper) -> ClipRecorder:
        from pipeline.sinks._clip_ring import ClipOptions
        from pipeline.sinks._clips import ClipBook, ClipRecorder

        options = self._options
        wanted = ClipOptions(
            options.before_s,
            options.after_s,
            options.clip_fps,
            options.clip_width,
            options.clip_boxes,
            self._only_files,
        )
        book = ClipBook(
            lambda path, began, uids: keeper.do(partial(store.link_clip, path, began, uids)),
            lambda path, size: keeper.do(partial(store.finish_clip, path, size)),
            lambda path: keeper.do(partial(store.forget_clip, path)),
        )
        return ClipRecorder(wanted, folder, book)

    def _close_store(self) -> None:
        """Close the database; one that was made for nothing goes again."""
        store, self.store = self.store, None
        release, self._release = self._release, None
        if store is None:
            return
        store.close()
        if self._made_anew and not self._wrote and store.file is not None:
            for end in ("", "-wal", "-shm"):
                store.file.with_name(store.file.name + end).unlink(missing_ok=True)
        if release is not None:
            release()

    def _fail(self, error: BaseException) -> None:
        """Remember what ended a thread; the next `write` raises it."""
        self._failure = self._failure or error


def _names(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names configured for sources, of those that are not there yet too."""
    sources = metadata.get("sources", ())
    for one in sources if isinstance(sources, list | tuple) else ():
        if isinstance(one, Mapping) and isinstance(one.get("name"), str) and one["name"]:
            yield one["name"]
