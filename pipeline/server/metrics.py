"""Prometheus metrics of a live run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from pipeline.server.run_backend import RunBackend
from pipeline.server.viewers.hub import Histogram, Hub

STATES = ("connecting", "live", "stale", "lost", "ended")
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics(Collector):
    """Prometheus collector that reads the run's figures at each scrape."""

    def __init__(self, backend: RunBackend, hub: Hub, viewers: Callable[[], int]) -> None:
        self._backend = backend
        self._hub = hub
        self._viewers = viewers
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Return no descriptions: the collector is not asked for values when it is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        yield from self._cameras()
        yield from self._ages_and_stages()
        yield self._events()
        yield from self._deliveries()
        yield self._alerts()
        yield _gauge("trackline_viewers", "Pages and streams that are open.", self._viewers())
        yield _gauge(
            "trackline_healthy", "1 while the pipeline does its work.", self._backend.healthy()
        )
        version = GaugeMetricFamily("trackline_build", "Version in the label.", labels=["version"])
        version.add_metric([self._backend.version], 1)
        yield version

    def _cameras(self) -> Iterator[Metric]:
        label = ["camera"]
        fps = GaugeMetricFamily("trackline_camera_fps", "Frames per second.", labels=label)
        analysed = GaugeMetricFamily(
            "trackline_camera_analysed_fps",
            "Frames per second of the last ten seconds that were not dropped.",
            labels=label,
        )
        state = GaugeMetricFamily(
            "trackline_camera_state", "1 for the state a camera is in.", labels=["camera", "state"]
        )
        grabbed = CounterMetricFamily(
            "trackline_frames_grabbed", "Frames that arrived.", labels=label
        )
        delivered = CounterMetricFamily(
            "trackline_frames_delivered", "Frames whose results came out.", labels=label
        )
        dropped = CounterMetricFamily(
            "trackline_frames_dropped", "Frames dropped, by cause.", labels=["camera", "cause"]
        )
        reconnects = CounterMetricFamily(
            "trackline_reconnects", "Cameras that came back.", labels=label
        )
        tracks = GaugeMetricFamily("trackline_tracks", "Tracks in the last frame.", labels=label)
        inside = GaugeMetricFamily(
            "trackline_zone_inside", "Tracks in a zone now.", labels=["camera", "area"]
        )
        for camera in self._backend.cameras():
            fps.add_metric([camera.name], camera.fps)
            if camera.analysed_fps is not None:
                analysed.add_metric([camera.name], camera.analysed_fps)
            for name in STATES:
                state.add_metric([camera.name, name], float(camera.state == name))
            grabbed.add_metric([camera.name], camera.grabbed)
            delivered.add_metric([camera.name], camera.delivered)
            for cause, count in camera.dropped.items():
                dropped.add_metric([camera.name, cause], count)
            reconnects.add_metric([camera.name], camera.reconnects)
            if camera.tracks is not None:
                tracks.add_metric([camera.name], camera.tracks)
            for zone, occupancy in self._backend.inside(camera.name).items():
                if occupancy is not None:
                    inside.add_metric([camera.name, zone], occupancy)
        queue = GaugeMetricFamily(
            "trackline_queue_frames", "Frames that wait for inference.", labels=label
        )
        for name, waiting in self._backend.queues().items():
            queue.add_metric([name], waiting)
        yield from (
            fps,
            analysed,
            state,
            grabbed,
            delivered,
            dropped,
            reconnects,
            tracks,
            inside,
            queue,
        )

    def _ages_and_stages(self) -> Iterator[Metric]:
        age = HistogramMetricFamily(
            "trackline_age_seconds", "Age of a picture at output.", labels=["camera"]
        )
        stage = HistogramMetricFamily(
            "trackline_stage_seconds", "Time per frame and stage.", labels=["camera", "stage"]
        )
        for name, histograms in list(self._hub.histograms.items()):
            age.add_metric([name], *_histogram(histograms.ages))
            for each, buckets in list(histograms.stages.items()):
                stage.add_metric([name, each], *_histogram(buckets))
        yield from (age, stage)

    def _events(self) -> Metric:
        happened = CounterMetricFamily(
            "trackline_events",
            "Events of tracks since the start; area is a zone or line, empty the whole picture.",
            labels=["camera", "area", "kind", "direction", "class"],
        )
        for label, count in sorted(self._backend.event_totals().items()):
            happened.add_metric(label, count)
        return happened

    def _alerts(self) -> Metric:
        alerts = CounterMetricFamily(
            "trackline_alerts",
            "Alerts since the start: delivered, failed, and suppressed as they came too soon.",
            labels=["rule", "channel", "outcome"],
        )
        for label, count in sorted(self._backend.alert_counts().items()):
            alerts.add_metric(label, count)
        return alerts

    def _deliveries(self) -> Iterator[Metric]:
        label = ["target"]
        delivered = CounterMetricFamily(
            "trackline_deliveries", "Messages about events that a target took.", labels=label
        )
        waiting = GaugeMetricFamily(
            "trackline_deliveries_waiting", "Messages that wait for a target.", labels=label
        )
        since = GaugeMetricFamily(
            "trackline_deliveries_waiting_seconds", "Age of the oldest that waits.", labels=label
        )
        failed = GaugeMetricFamily(
            "trackline_deliveries_failed", "Messages that were given up.", labels=label
        )
        status = self._backend.deliveries()
        for one in status.deliveries:
            delivered.add_metric([one.target], one.delivered)
            waiting.add_metric([one.target], one.waiting)
            age_s = 0.0 if one.waiting_since is None else time.time() - one.waiting_since
            since.add_metric([one.target], max(0.0, age_s))
            failed.add_metric([one.target], one.failed)
        yield from (delivered, waiting, since, failed)
        if (kept := status.keeping) is not None:
            fine = kept.problem is None
            yield _gauge("trackline_events_kept", "1 while the database takes events.", fine)
            yield _gauge("trackline_events_waiting", "Events in memory only.", kept.waiting)
            lost = "Events that were never kept."
            yield CounterMetricFamily("trackline_events_lost", lost, value=kept.lost)
            lost = "Clips that could not be written."
            yield CounterMetricFamily("trackline_clips_lost", lost, value=kept.clips_lost)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=float(value))


def _histogram(buckets: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Return ([(upper bound in seconds, values up to it)], sum in seconds)."""
    counts, reached = [], 0
    for bound, count in zip((*buckets.bounds, None), list(buckets.counts), strict=True):
        reached += count
        counts.append(("+Inf" if bound is None else str(bound / 1e3), float(reached)))
    return counts, buckets.total / 1e3
