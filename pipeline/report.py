"""Run a whole configuration and write report.json beside the outputs."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.config.build import build, effective, model_of
from pipeline.config.resolve import ResolvedConfig
from pipeline.config.schema import Config
from pipeline.core.atomic_file import write_text
from pipeline.core.data import Result
from pipeline.core.errors import ConfigError, ModelError, PipelineError, WriteError
from pipeline.core.run_info import SourceInfo
from pipeline.core.secret_masking import masked
from pipeline.core.zone_counts import ZoneCounts
from pipeline.engine import Pipeline
from pipeline.events.zones.count_table import count_rows
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.zones_file import load_zones

log = logging.getLogger("trackline")

REPORTED_PACKAGES = (
    "numpy", "opencv-python-headless", "opencv-python", "av", "openvino", "lap", "torch",
    "ultralytics",
)  # fmt: skip


def run_config(
    resolved: ResolvedConfig,
    on_start: Callable[[Pipeline], None] | None = None,
    on_result: Callable[[Result], None] | None = None,
    on_report: Callable[[dict[str, Any]], None] | None = None,
    pipeline: Pipeline | None = None,
) -> dict[str, Any]:
    """Process everything in the configuration, write `report.json`, return the report.

    `pipeline` is the one built from `resolved`, if it exists already. Once anything was processed
    the report is written and passed to `on_report`, whatever ended the run: the error is in it and
    is raised again. Raises WriteError if the report cannot be written and nothing else failed.
    """
    config = resolved.config
    pipeline = pipeline or build(resolved)
    if on_start:
        on_start(pipeline)
    problem: str | None = None
    report: dict[str, Any] = {}
    summaries: dict[str, _SourceSummary] = {}
    try:
        with closing(pipeline.results()) as results:
            for result in results:
                summaries.setdefault(result.frame.source, _SourceSummary()).add(result)
                if on_result:
                    on_result(result)
                del result  # its picture is not kept while waiting for the next one
    except BaseException as error:
        problem = _reason(error)
        raise
    finally:
        if pipeline.started:
            zones = _zones_by_camera(config)
            report = _report(pipeline, resolved, problem or pipeline.stop_reason)
            for name, info in pipeline.source_infos.items():
                report["sources"][name] |= _of_file(info)
                if info.unrelated:
                    report["sources"][name]["pictures"] = report["sources"][name]["delivered"]
            for name, source in summaries.items():
                report["sources"][name] |= source.as_plain(
                    None if zones is None else zones.get(name, CameraZones())
                )
            if on_report:
                on_report(report)
            _write(config.run.output / "report.json", report, failed=problem is not None)
    return report


class _SourceSummary:
    """Last frame, picture size and event counts of one source."""

    def __init__(self) -> None:
        self._tally = ZoneCounts()
        self._last = (0, 0.0)
        self._size = (0, 0)

    def add(self, result: Result) -> None:
        frame = result.frame
        self._size = frame.shape[1], frame.shape[0]
        self._last = frame.index, frame.pts_s
        self._tally.note(result)

    def as_plain(self, camera: CameraZones | None) -> dict[str, Any]:
        """Return the source's part of the report; `trackline count` reads size and last frame.

        If the source has zones and lines, it includes counts, also of what never happened.
        """
        index, pts_s = self._last
        last = {"size": list(self._size), "last": {"frame": index, "pts_s": round(pts_s, 6)}}
        if camera is None:
            return last
        inside = {zone.name: 0 for zone in camera.zones} | self._tally.inside
        return {**last, "counts": count_rows(self._tally.counts, camera), "inside": inside}


def _zones_by_camera(config: Config) -> Mapping[str, CameraZones] | None:
    """Return the zones and lines by source as the file has them now, None if nothing counts."""
    if config.zones is None:
        return None
    try:
        return load_zones(config.zones).cameras
    except ConfigError:
        return {}  # changed in the meantime, and broken: the counts are reported all the same


def _of_file(info: SourceInfo) -> dict[str, Any]:
    """Return the source's file, and a note if its sound is in no output."""
    file = {"file": info.file} if info.file else {}
    return {**file, **({"sound": "not copied"} if info.has_sound else {})}


def _reason(error: BaseException) -> str:
    """Return the report's `error` for an exception that ended the run."""
    if isinstance(error, PipelineError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return masked(f"{type(error).__name__}: {error}")


def _report(pipeline: Pipeline, resolved: ResolvedConfig, problem: str | None) -> dict[str, Any]:
    return {
        **({"error": problem} if problem else {}),
        **pipeline.stats.report(),
        **({"left_out": resolved.left_out} if resolved.left_out else {}),
        **model_facts(model_of(resolved.config)),
        "versions": versions(),
        "config": effective(resolved),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages in use, without importing them."""
    found = {"trackline": sys.modules["pipeline"].__version__, "python": platform.python_version()}
    for name in REPORTED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def model_facts(named: str | None) -> dict[str, Any]:
    """Return {"model": path and SHA-256 of the weights}; empty for a detector without weights.

    A folder's hash is over its files by name.
    """
    from pipeline.models.resolve import locate

    if not named:
        return {}
    try:
        path = locate(named)
    except ModelError:
        path = None  # the run has said so already, or another detector means something else by it
    if path is None:
        return {"model": {"path": masked(named)}}
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.read_bytes())
    return {"model": {"path": str(path), "sha256": digest.hexdigest()}}


def _write(path: Path, report: Mapping[str, Any], *, failed: bool) -> None:
    """Write the report in one step: a reader never sees half of it.

    A run that has `failed` keeps its own error; a report lost on top of it is only logged.
    """
    try:
        write_text(path, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror or error}"
        if not failed:
            raise WriteError(message) from None
        log.error("%s", message)
