"""From one configuration to the next while the run goes on: what differs, and what cannot."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.config.build import detector_choice, make_detector, make_sources, tracker_factory
from pipeline.config.schema import Config, PluginChoice
from pipeline.core.errors import PipelineError
from pipeline.core.interfaces import Detector, Source, Tracker

FIXED = ("sinks", "zones", "run", "web")
"""Sections that are looked at when the program starts, and not again."""


class Changeable(Protocol):
    """The part of a pipeline that changes are made to."""

    def add_source(self, source: Source) -> None:
        """Take in a source."""

    def remove_source(self, name: str) -> None:
        """Let a source go."""

    def replace_detector(self, detector: Detector) -> None:
        """Detect with another detector."""

    def replace_tracker(self, new_tracker: Callable[[], Tracker]) -> None:
        """Track with other trackers."""


@dataclass
class RunningConfig:
    """The configuration the run goes by, and what is wrong with the file's newest version."""

    config: Config
    path: Path | None
    loaded_at: float
    names: list[str]
    detector: PluginChoice
    """What the detector in use was made of: its `conf` may depend on the tracker."""
    error: str | None = None


def in_force(config: Config, path: Path | None) -> RunningConfig:
    """Return what is in force when the run starts."""
    return RunningConfig(config, path, time.time(), list(_choices(config)), detector_choice(config))


def apply(new: Config, now: RunningConfig, pipeline: Changeable) -> list[str]:
    """Make the run go by `new` and return what was changed; note it in `now`.

    Everything is made before anything is changed, so a mistake in the file changes nothing.
    Raises PipelineError for that, and where a new detector cannot be opened: all the rest has been
    changed by then.
    """
    old = now.config
    sources = {source.name: (source, choice) for source, choice in make_sources(new)}
    new_detector, new_tracker = make_detector(new), tracker_factory(new)
    before = _choices(old)
    done = []
    for name in before:
        if name not in sources or sources[name][1] != before[name]:
            pipeline.remove_source(name)
            done.append(f"camera {name} {'changed' if name in sources else 'removed'}")
    for name, (source, choice) in sources.items():
        if before.get(name) != choice:
            pipeline.add_source(source)
            if name not in before:
                done.append(f"camera {name} added")
    now.names = list(sources)
    if new.tracker != old.tracker:
        pipeline.replace_tracker(new_tracker)
        done.append("tracker replaced")
    taken = {"sources": new.sources, "tracker": new.tracker}
    now.config = _with(old, new, taken)
    wanted = detector_choice(new)
    if wanted != now.detector:
        pipeline.replace_detector(new_detector)
        done.append("detector replaced")
    now.detector = wanted
    now.config = _with(old, new, {**taken, "detector": new.detector})
    now.loaded_at = time.time()
    return done


def unchangeable(new: Config, now: RunningConfig) -> list[str]:
    """Return the keys that differ from what is in force and wait for the next start."""
    keys = []
    for section in FIXED:
        old_value, new_value = getattr(now.config, section), getattr(new, section)
        if old_value == new_value:
            continue
        if section in ("run", "web"):
            fields = type(new_value).model_fields
            keys += [
                f"{section}.{name}"
                for name in fields
                if getattr(old_value, name) != getattr(new_value, name)
            ]
        else:
            keys.append(section)
    return keys


def _choices(config: Config) -> dict[str, PluginChoice]:
    return {source.name: choice for source, choice in make_sources(config)}


def _with(old: Config, new: Config, update: dict[str, Any]) -> Config:
    """Return `old` with some sections of `new`, and its secrets."""
    config = old.model_copy(update=update)
    config._secrets = new.secrets
    return config


def told(error: PipelineError) -> str:
    """Return what a page may be told of an error, in one line."""
    return " ".join(str(error).split())
