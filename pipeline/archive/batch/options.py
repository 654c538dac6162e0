"""Options of a batch job.

Those that affect its results are stored with the dataset and compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.build import effective, model_of
from pipeline.config.resolve import ResolvedConfig
from pipeline.config.schema import Config
from pipeline.core.errors import ConfigError, UsageError
from pipeline.core.options import PluginChoice, unknown
from pipeline.events.zones.schema import CameraZones, plain
from pipeline.events.zones.zones_file import load_zones
from pipeline.report import model_facts
from pipeline.sources._file.recording_start import zone_of

DEFAULT_MAX_SEAM_S = 3.0
CHECKPOINT_EVERY_S = 10.0
_WITHOUT_EFFECT = {"detector": ("device", "batch", "threads", "in_flight")}
"""Options of plug-ins that change the speed of a job, but not its results."""


@dataclass(frozen=True)
class BatchOptions:
    """Options of a batch job on the command line, besides the configuration.

    `group_by` is "folder" or a pattern, `timezone` that of times in names (None: this machine's).
    `ray` is the address of a cluster, `task_cpus` and `task_gpus` the resources of a camera's task
    there. A checkpoint is written after `checkpoint_s` seconds of work on a recording.
    """

    paths: tuple[str, ...]
    dataset: Path
    group_by: str = "folder"
    max_seam_s: float = DEFAULT_MAX_SEAM_S
    timezone: str | None = None
    workers: int = 1
    ray: str | None = None
    task_cpus: int | None = None
    task_gpus: float | None = None
    save_video: bool = False
    fresh: bool = False
    checkpoint_s: float = CHECKPOINT_EVERY_S

    def __post_init__(self) -> None:
        if not self.paths:
            raise UsageError("batch: want videos or folders of them")
        if not 0 <= self.max_seam_s <= 3600:
            raise ConfigError(f"--max-seam: want 0 to 3600 seconds, got {self.max_seam_s:g}")
        if not 1 <= self.workers <= 256:
            raise ConfigError(f"--workers: want 1 to 256, got {self.workers}")
        if self.ray is not None and self.workers != 1:
            raise UsageError("batch: --workers and --ray exclude each other")
        if self.ray is None and not (self.task_cpus is None and self.task_gpus is None):
            raise UsageError("batch: --task-cpus and --task-gpus go with --ray")
        if self.timezone is not None:
            try:
                zone_of(self.timezone)
            except ValueError as error:
                raise ConfigError(f"--timezone: {error}, got '{self.timezone}'") from None


def video_options(config: Config) -> PluginChoice:
    """Return the sink `video` of the configuration, or one with its defaults."""
    found = [sink for sink in config.sinks if sink.kind == "video"]
    return found[0] if found else PluginChoice(kind="video")


def saved_kinds(text: str | None) -> bool:
    """Return whether `--save` asks for annotated videos; raises UsageError for other kinds."""
    kinds = [kind.strip() for kind in (text or "").split(",") if kind.strip()]
    for kind in kinds:
        if kind != "video":
            raise UsageError(f"--save: {unknown('kind', kind, ['video'])}")
    return bool(kinds)


def camera_zones(config: Config, cameras: list[str]) -> dict[str, CameraZones]:
    """Return each camera's zones and lines; raises ConfigError if none is for these cameras."""
    if config.zones is None:
        return {}
    there = load_zones(config.zones).cameras
    if there and not set(there) & set(cameras):
        raise ConfigError(
            f"{config.zones}: cameras: want a camera of this job ({', '.join(cameras)}), "
            f"got {', '.join(sorted(there))}"
        )
    return {name: there[name] for name in cameras if name in there}


def result_options(options: BatchOptions, config: Config) -> dict[str, Any]:
    """Return the options that change a job's results, by dotted key, as JSON values.

    Weights and zones are represented by their content.
    """
    resolved = effective(ResolvedConfig(config))
    kept = {name: dict(resolved[name]) for name in ("detector", "tracker")}
    for section, names in _WITHOUT_EFFECT.items():
        for name in names:
            kept[section].pop(name, None)
    facts = model_facts(model_of(config)).get("model", {})
    if digest := facts.get("sha256"):
        kept["detector"]["weights"] = digest
        kept["detector"].pop("model", None)
    run = resolved["run"]
    wanted = {
        **kept,
        "zones": None if config.zones is None else plain(load_zones(config.zones))["cameras"],
        "run": {name: run[name] for name in ("detect_every", "max_frames")},
        "group_by": options.group_by,
        "max_seam": options.max_seam_s,
        "timezone": options.timezone,
    }
    return _flat(json.loads(json.dumps(wanted)))


def written_options(options: BatchOptions, config: Config) -> list[str]:
    """Return the dotted keys of `result_options`, or their parents, that the user set."""
    dumped = config.model_dump(exclude_unset=True)
    keys = [
        *_flat({name: dumped[name] for name in ("detector", "tracker", "run") if name in dumped})
    ]
    keys = ["detector.weights" if key == "detector.model" else key for key in keys]
    own = {
        "zones": config.zones is not None,
        "group_by": options.group_by != "folder",
        "max_seam": options.max_seam_s != DEFAULT_MAX_SEAM_S,
        "timezone": options.timezone is not None,
    }
    return sorted([*keys, *(name for name, is_set in own.items() if is_set)])


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = value
    return flat
