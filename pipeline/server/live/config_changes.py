"""Applies a changed configuration to a running pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from pipeline.config.alerts import alert_options
from pipeline.config.build import (
    check_tracker_ground,
    make_detector,
    make_sources,
    tracker_factory,
)
from pipeline.config.detection import detect_by_source, detector_choice
from pipeline.config.resolve import ResolvedConfig, resolve_config
from pipeline.config.schema import Config
from pipeline.core.data import ClassNames
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.interfaces import Detector, SizedBySource, Source, Tracker
from pipeline.core.options import PluginChoice
from pipeline.engine import DetectOptions
from pipeline.engine.source_detection import wanted_of
from pipeline.events.alerts.options import AlertSink

FIXED = ("sinks", "zones", "run", "web")
"""Sections that take effect at the next start only."""


class ChangeablePipeline(Protocol):
    """The methods of a pipeline that change a run."""

    @property
    def class_names(self) -> ClassNames:
        """Return the detector's class names, none before it is open."""

    def add_source(self, source: Source, detect: DetectOptions | None = None) -> None:
        """Add a source."""

    def set_detect(self, source: str, detect: DetectOptions | None) -> None:
        """Detect on a source by other options."""

    def remove_source(self, name: str) -> None:
        """Remove a source."""

    def replace_detector(self, detector: Detector) -> None:
        """Replace the detector."""

    def replace_tracker(self, new_tracker: Callable[[], Tracker]) -> None:
        """Replace the trackers of all sources."""


@dataclass
class RunningConfig:
    """The configuration in force, and the error in the file's newest version.

    `sources` are the options of each source by name. They hold secrets and must not be shown.
    """

    resolved: ResolvedConfig
    sources: dict[str, PluginChoice]
    path: Path | None
    loaded_at: float
    detector: PluginChoice
    """The options of the detector in use: its `conf` may depend on the tracker."""
    detect: dict[str, DetectOptions] = field(default_factory=dict)
    """What is detected on each source, where that is less than the detector reports."""
    error: str | None = None
    fixed: str | None = None
    """Why cameras cannot be changed in the file, None where they can."""
    in_use: Detector | None = None
    """The detector that runs, where it is known."""
    alerts: AlertSink | None = None
    """What sends alerts, None where nothing does."""

    @property
    def config(self) -> Config:
        """Return the configuration as it was written."""
        return self.resolved.config

    @property
    def names(self) -> list[str]:
        """Return the names of the sources in the configuration's order."""
        return list(self.sources)

    @property
    def takes_sizes(self) -> bool:
        """Return whether `imgsz` of a source has an effect, once the detector is open."""
        detector: object = self.in_use
        return isinstance(detector, SizedBySource) and detector.takes_sizes


def running_config(
    resolved: ResolvedConfig,
    path: Path | None,
    fixed: str | None = None,
    in_use: Detector | None = None,
) -> RunningConfig:
    """Return the configuration in force at the start of a run, with this detector."""
    made = make_sources(resolved)
    sources = {source.name: choice for source, choice in made}
    detector = detector_choice(resolved.config)
    detect = detect_by_source(resolved, [source for source, _ in made])
    now = time.time()
    return RunningConfig(resolved, sources, path, now, detector, detect, fixed=fixed, in_use=in_use)


def apply(new: Config, now: RunningConfig, pipeline: ChangeablePipeline) -> list[str]:
    """Apply the configuration `new` to the run, update `now`, and return what was changed.

    All parts are built before anything is changed, so a mistake in the file changes nothing.
    Raises PipelineError for that, and where a new detector cannot be opened: everything else has
    been changed by then.
    """
    old = now.config
    resolved = resolve_config(new)
    made = make_sources(resolved)
    sources = {source.name: (source, choice) for source, choice in made}
    detect = detect_by_source(resolved, [source for source, _ in made])
    check_tracker_ground(new, [*sources])
    new_detector, new_tracker = make_detector(new), tracker_factory(new)
    before = now.sources
    wanted = detector_choice(new)
    if wanted == now.detector and pipeline.class_names:
        for name, options in detect.items():
            wanted_of(name, options, pipeline.class_names)
    done = _apply_alerts(new, now)
    for name in before:
        if name not in sources or sources[name][1] != before[name]:
            pipeline.remove_source(name)
            done.append(f"camera {name} {'changed' if name in sources else 'removed'}")
    for name, (source, choice) in sources.items():
        if before.get(name) != choice:
            pipeline.add_source(source, detect.get(name))
            if name not in before:
                done.append(f"camera {name} added")
        elif now.detect.get(name) != detect.get(name):
            pipeline.set_detect(name, detect.get(name))
            done.append(f"camera {name}: what is detected changed")
    now.sources = {name: choice for name, (_, choice) in sources.items()}
    now.detect = detect
    if new.tracker != old.tracker:
        pipeline.replace_tracker(new_tracker)
        done.append("tracker replaced")
    # Fixed sections stay in force; so does the old detector until it has been replaced.
    kept = {section: value for section, value in old if section in FIXED}
    config = new.model_copy(update={**kept, "detector": old.detector})
    now.resolved = replace(resolved, config=config)
    if wanted != now.detector:
        pipeline.replace_detector(new_detector)
        now.in_use = new_detector
        done.append("detector replaced")
    now.detector = wanted
    now.resolved = replace(resolved, config=new.model_copy(update=kept))
    now.loaded_at = time.time()
    return done


def _apply_alerts(new: Config, now: RunningConfig) -> list[str]:
    """Replace the rules and channels of alerts where they differ; raises ConfigError."""
    options = alert_options(new)
    if options == alert_options(now.config):
        return []
    if now.alerts is None:
        raise ConfigError("alerts: they need the sink events, which waits for the next start")
    now.alerts.set_alerts(options)
    return ["alerts changed"]


def unchangeable(new: Config, now: RunningConfig) -> list[str]:
    """Return the keys that differ from those in force and take effect at the next start."""
    keys = []
    old, values = dict(now.config), dict(new)
    for section in FIXED:
        old_value, new_value = old[section], values[section]
        if old_value == new_value:
            continue
        if isinstance(new_value, BaseModel):
            before = dict(old_value)
            keys += [f"{section}.{name}" for name, value in new_value if before[name] != value]
        else:
            keys.append(section)
    return keys


def one_line(error: PipelineError) -> str:
    """Return an error's text in one line, as the page shows it."""
    return " ".join(str(error).split())
