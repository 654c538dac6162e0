"""From one configuration to the next while the run goes on: what differs, and what cannot."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pipeline.config.build import detector_choice, make_detector, make_sources, tracker_factory
from pipeline.config.resolve import ResolvedConfig, resolve_config
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
    """The configuration in force, and what is wrong with the file's newest version.

    `sources` are the options of each source by name, with secrets: not fit to be shown.
    """

    resolved: ResolvedConfig
    sources: dict[str, PluginChoice]
    path: Path | None
    loaded_at: float
    detector: PluginChoice
    """The options of the detector in use: its `conf` may depend on the tracker."""
    error: str | None = None

    @property
    def config(self) -> Config:
        """Return the configuration as it was written."""
        return self.resolved.config

    @property
    def names(self) -> list[str]:
        """Return the names of the sources in the configuration's order."""
        return list(self.sources)


def in_force(resolved: ResolvedConfig, path: Path | None) -> RunningConfig:
    """Return what is in force when the run starts."""
    sources = {source.name: choice for source, choice in make_sources(resolved)}
    return RunningConfig(resolved, sources, path, time.time(), detector_choice(resolved.config))


def apply(new: Config, now: RunningConfig, pipeline: Changeable) -> list[str]:
    """Make the run go by `new` and return what was changed; note it in `now`.

    Everything is made before anything is changed, so a mistake in the file changes nothing.
    Raises PipelineError for that, and where a new detector cannot be opened: all the rest has been
    changed by then.
    """
    old = now.config
    resolved = resolve_config(new)
    sources = {source.name: (source, choice) for source, choice in make_sources(resolved)}
    new_detector, new_tracker = make_detector(new), tracker_factory(new)
    before = now.sources
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
    now.sources = {name: choice for name, (_, choice) in sources.items()}
    if new.tracker != old.tracker:
        pipeline.replace_tracker(new_tracker)
        done.append("tracker replaced")
    # What is fixed stays in force whatever the file says, the detector until it is replaced.
    kept = {section: getattr(old, section) for section in FIXED}
    config = new.model_copy(update={**kept, "detector": old.detector})
    now.resolved = replace(resolved, config=config)
    wanted = detector_choice(new)
    if wanted != now.detector:
        pipeline.replace_detector(new_detector)
        done.append("detector replaced")
    now.detector = wanted
    now.resolved = replace(resolved, config=new.model_copy(update=kept))
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


def one_line(error: PipelineError) -> str:
    """Return an error's text in one line, as the page shows it."""
    return " ".join(str(error).split())
