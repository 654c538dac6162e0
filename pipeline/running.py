"""Run a configuration from end to end and leave a report beside the outputs."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.build import build, effective
from pipeline.config import Config
from pipeline.data import Result
from pipeline.engine import Pipeline
from pipeline.errors import ModelError, OutputError, PipelineError

REPORTED_PACKAGES = ("numpy", "opencv-python", "av", "openvino", "lap", "torch", "ultralytics")


def run_config(
    config: Config,
    on_start: Callable[[Pipeline], None] | None = None,
    on_result: Callable[[Result], None] | None = None,
) -> dict[str, Any]:
    """Process everything in `config`, write `report.json` into its output, return the report.

    The report is written after a failure or Ctrl-C too, once anything was processed; the error is
    in it and is raised again.
    """
    pipeline = build(config)
    if on_start:
        on_start(pipeline)
    problem: str | None = None
    try:
        for result in pipeline.results():
            if on_result:
                on_result(result)
    except PipelineError as error:
        problem = str(error)
        raise
    except KeyboardInterrupt:
        problem = "interrupted"
        raise
    finally:
        if pipeline.started:
            report = _report(pipeline, config, problem or pipeline.stop_reason)
            _write(config.run.output / "report.json", report)
    return report


def _report(pipeline: Pipeline, config: Config, problem: str | None) -> dict[str, Any]:
    settings = effective(config)
    return {
        **({"error": problem} if problem else {}),
        **pipeline.stats.report(),
        "model": _model(settings["detector"]),
        "versions": _versions(),
        "config": settings,
    }


def _versions() -> dict[str, str]:
    """Return the versions of what took part, without importing any of it."""
    found = {"trackline": sys.modules["pipeline"].__version__, "python": platform.python_version()}
    for name in REPORTED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _model(detector: Mapping[str, Any]) -> dict[str, str]:
    """Return the weights' path and SHA-256; a folder's hash is over its files by name."""
    from pipeline.models.resolving import locate

    named = detector.get("model")
    try:
        path = locate(str(named)) if named else None
    except ModelError:
        path = None  # the run has said so already, or another detector means something else by it
    if path is None:
        return {"path": str(named)}
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.read_bytes())
    return {"path": str(path), "sha256": digest.hexdigest()}


def _write(path: Path, report: Mapping[str, Any]) -> None:
    """Write the report in one step: a reader never sees half of it."""
    partial = path.with_suffix(".json.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
