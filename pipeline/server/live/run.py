"""Starts and ends a live run: pipeline, web server, hot reload."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from typing import Any

from pipeline.api import load_classifier
from pipeline.config.alerts import alert_sink
from pipeline.config.build import build, make_detector, make_sinks
from pipeline.config.plugins import plugin_names
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.core.errors import ConfigError, MissingExtraError, StageError
from pipeline.core.install_hints import install_command
from pipeline.core.interfaces import Sink
from pipeline.core.options import PluginChoice
from pipeline.detectors.common.loaded_model import LoadedModel
from pipeline.engine import Pipeline
from pipeline.report import run_config
from pipeline.server.live.config_changes import running_config
from pipeline.server.live.config_file import ConfigFile
from pipeline.server.live.event_log import EventLog, EventStoreSink, RecentEvents, StoredEvents
from pipeline.server.live.recent_tracks import RecentTracks
from pipeline.server.live.zone_editor import ZoneEditor, watcher_setter
from pipeline.server.picture_analyser import PictureAnalyser
from pipeline.server.upload_networks import MIN_CONF, UploadNetworks

log = logging.getLogger("trackline")

CLOSE_TIMEOUT_S = 1.5
"""Maximum wait for hanging cameras at the end: after SIGTERM there are five seconds in all."""
LIVE_PACKAGES = (
    "fastapi",
    "uvicorn",
    "websockets",
    "prometheus_client",
    "python_multipart",
    "ruamel.yaml",
)


def live_config(config: Config) -> Config:
    """Return the configuration with the defaults of a live run.

    Without `sinks` in the file only events are stored; a camera that fails is retried for ever.
    Sources may be added later: without any, the page takes uploaded pictures.
    """
    run = config.run.model_copy(update={"wait_for_sources": True})
    update: dict[str, Any] = {"run": run}
    if "sinks" not in config.model_fields_set:
        kept = "events" in plugin_names("sinks") and find_spec("sqlalchemy") is not None
        update["sinks"] = (PluginChoice(kind="events"),) if kept else ()
    return config.model_copy(update=update)


def picture_model(config: Config) -> LoadedModel:
    """Return the configured detector, loaded once more for uploaded pictures.

    It reports every score that a request may ask for. Raises ConfigError if the detector replays
    recorded boxes, which cannot be applied to pictures, and ModelError.
    """
    choice = config.detector
    if choice.kind == "replay":
        raise ConfigError("detector: replay reads recorded boxes; pictures want a network")
    options = {**choice.options, "conf": MIN_CONF}
    changed = PluginChoice.model_validate({"kind": choice.kind, **options})
    detector = make_detector(config.model_copy(update={"detector": changed}))
    return LoadedModel(detector, options, prefer_latency=True)


def check_extra(command: str = "trackline live") -> None:
    """Raise MissingExtraError unless the packages of the live server are installed."""
    missing = [name for name in LIVE_PACKAGES if not _is_installed(name)]
    if missing:
        raise MissingExtraError(
            f"{command}: {', '.join(missing)} not installed: {install_command('live')}"
        )


def _is_installed(name: str) -> bool:
    with suppress(ModuleNotFoundError):  # of the package that it is in
        return find_spec(name) is not None
    return False


def run_live(
    file: ConfigFile,
    on_load: Callable[[Config], None],
    on_start: Callable[[Pipeline], None],
    on_address: Callable[[str], None],
) -> dict[str, Any]:
    """Run until stopped and return the report; the file is also read at each reload.

    `on_load` gets each configuration that the run applies or tries to, `on_start` the pipeline
    before it runs, `on_address` the page's URL. Raises ConfigError before anything is opened, and
    the error that ends a run.
    """
    check_extra()
    from pipeline.server.alert_desk import AlertDesk
    from pipeline.server.app import create_app
    from pipeline.server.auth import Auth
    from pipeline.server.cameras.editor import CameraEditor
    from pipeline.server.cameras.trial import CameraTrial
    from pipeline.server.http_server import HttpServer
    from pipeline.server.live.pipeline_backend import PipelineBackend
    from pipeline.server.live.reload import Reloader
    from pipeline.server.routes.alerts import alert_routes
    from pipeline.server.routes.camera_settings import camera_setting_routes
    from pipeline.server.routes.pictures import picture_routes
    from pipeline.server.routes.videos import video_routes
    from pipeline.server.video_jobs import VideoJobs
    from pipeline.server.viewers.hub import Hub

    def load() -> Config:
        config = file.load()
        on_load(config)
        return config

    resolved = resolve_config(load())
    config = resolved.config
    auth = Auth(config.web, config.web.read_token(config.secrets))
    hub = Hub()
    zone_editor = ZoneEditor(config.zones or config.run.output / "zones.yaml")
    sinks, events = _sinks(config, hub, zone_editor)
    alerts = alert_sink(config, sinks)
    recent = RecentTracks()
    sinks["recent tracks"] = recent
    sinks["event totals"] = events.totals
    detector = make_detector(config)
    pipeline = build(
        resolved,
        sinks,
        zone_editor.new_watcher,
        detector=detector,
        patience_s=CLOSE_TIMEOUT_S,
    )
    running = running_config(resolved, file.path, file.fixed, detector)
    running.alerts = alerts
    backend = PipelineBackend(pipeline, hub, zone_editor, events, running, recent)
    networks = UploadNetworks(lambda: picture_model(config), load_classifier)
    limits = config.web.uploads
    pictures = PictureAnalyser(networks, limits)
    videos = VideoJobs(networks, config, lambda: any(backend.queues().values()))
    set_watcher = watcher_setter(pipeline)
    cameras = CameraEditor(
        file,
        lambda old, new: zone_editor.renaming(old, new, set_watcher),
        lambda: pipeline.class_names,
        lambda: running.takes_sizes,
    )
    trial = CameraTrial()
    routes = (
        picture_routes(pictures, limits),
        video_routes(videos, limits),
        camera_setting_routes(cameras, trial),
        alert_routes(AlertDesk(events.alerts)),
    )
    app = create_app(backend, hub, config.web, auth, more=routes)
    server = HttpServer(app, config.web)
    if not (config.web.is_loopback or config.web.certificate or config.web.proxies):
        log.warning("web: without certificate and key the token travels readably; see docs/live.md")
    reloader = Reloader(pipeline, running, zone_editor, load, backend.each_second)

    failures: list[BaseException] = []

    def fail(error: BaseException) -> None:
        failures.append(error)
        pipeline.stop(f"{type(error).__name__}: {error}")

    def begin(started: Pipeline) -> None:
        on_start(started)
        steps.callback(server.stop)
        server.start(fail)
        steps.callback(reloader.stop)
        reloader.start(fail)
        steps.callback(notify_systemd, "STOPPING=1")
        on_address(server.address)
        notify_systemd(f"READY=1\nSTATUS=Page at {server.address}")

    with ExitStack() as steps:
        steps.callback(networks.close)
        steps.callback(videos.close)
        steps.callback(trial.close)
        report = run_config(resolved, begin, pipeline=pipeline)
    if failures:
        raise StageError(f"page: {type(failures[0]).__name__}: {failures[0]}") from failures[0]
    return report


def _sinks(config: Config, page: Sink, zone_editor: ZoneEditor) -> tuple[dict[str, Sink], EventLog]:
    """Return the sinks, including the page, and the log of its events."""
    sinks = make_sinks(config)
    if isinstance(store := sinks.get("events"), EventStoreSink):
        store.follow_zones(zone_editor.zones_by_camera)
        return {**sinks, "page": page}, StoredEvents(store)
    recent = RecentEvents()
    return {**sinks, "page": page, "recent events": recent}, recent


def notify_systemd(state: str) -> bool:
    """Send "READY=1", "STOPPING=1" or "STATUS=..." to systemd; return False where there is none.

    The protocol is sd_notify(3): a datagram to the socket that NOTIFY_SOCKET names.
    """
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return False
    address = "\0" + place[1:] if place.startswith("@") else place
    with (
        suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link,
    ):
        link.sendto(state.encode(), address)
        return True
    return False
