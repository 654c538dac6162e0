"""A batch job: recordings found, grouped and processed into a dataset, resumable at any time."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pipeline.archive.batch.camera_run import CameraContext, CameraRun
from pipeline.archive.batch.grouping import GroupRule, Recording, group_recordings
from pipeline.archive.batch.options import (
    BatchOptions,
    camera_zones,
    result_options,
)
from pipeline.archive.batch.progress import JobProgress, Report
from pipeline.archive.batch.reading import content_hash
from pipeline.archive.batch.store import JobStore, open_store
from pipeline.archive.batch.workers import run_here, run_in_workers
from pipeline.archive.dataset.layout import ANNOTATED
from pipeline.archive.dataset.reader import open_dataset
from pipeline.config.build import make_detector
from pipeline.config.schema import Config
from pipeline.core.errors import PipelineError, SourceError
from pipeline.core.interfaces import Detector
from pipeline.core.malloc import share_arenas
from pipeline.detectors.common.loaded import LoadedModel
from pipeline.events.zones.schema import CameraZones
from pipeline.sources._file.recording_start import zone_of

log = logging.getLogger("trackline")

_EDGE_BYTES = 1 << 16
_MAX_NAMED = 3


@dataclass(frozen=True)
class BatchJob:
    """What a job is about: cameras with their recordings in order, and each one's zones."""

    options: BatchOptions
    config: Config
    cameras: Mapping[str, Sequence[Recording]]
    zones: Mapping[str, CameraZones] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def progress(self) -> JobProgress:
        """Return its progress before it has begun."""
        return JobProgress.of(one for group in self.cameras.values() for one in group)


def plan_job(options: BatchOptions, config: Config) -> BatchJob:
    """Return the job: what is there is looked at, nothing is written.

    Raises SourceError where there are no videos, ConfigError for zones of other cameras.
    """
    zone = None if options.timezone is None else zone_of(options.timezone)
    rule = GroupRule.of(options.group_by)
    found = group_recordings(options.paths, rule, leave_out=options.dataset, zone=zone)
    copies = _copies([one for group in found.cameras.values() for one in group])
    cameras = {
        name: left
        for name, group in found.cameras.items()
        if (left := [one for one in group if one.path not in copies])
    }
    zones = camera_zones(config, list(cameras))
    return BatchJob(options, config, cameras, zones, [*found.notes, *_copies_noted(copies)])


def run_job(job: BatchJob, report: Report, is_stopped: Callable[[], bool]) -> None:
    """Process what is not in the dataset yet; the same job again goes on where this one ended.

    Raises UsageError where the dataset was begun with other options, OutputError where it cannot
    be written or another job is at it, and the first error of a detector or tracker. Recordings
    that cannot be read are no error: `report` gets the reason.
    """
    share_arenas()
    for note in job.notes:
        log.warning("%s", note)
    longest_first = sorted(
        job.cameras, key=lambda name: -sum(one.duration_s for one in job.cameras[name])
    )
    options = job.options
    kept_options = result_options(options, job.config)
    with open_store(options.dataset, kept_options, fresh=options.fresh):
        new = partial(_CameraJob, job)
        count = min(options.workers, len(longest_first))
        if count == 1:
            run_here(new, longest_first, report, is_stopped)
        else:
            run_in_workers(new, longest_first, count, report, is_stopped)
    if options.save_video and (missing := _without_video(options.dataset)):
        log.warning(
            "%s: recordings done before have no annotated video (%d); --fresh makes them",
            options.dataset, missing,
        )  # fmt: skip


def _without_video(dataset: Path) -> int:
    """Return how many recordings of a dataset have frames, but no annotated video."""
    videos = {path.stem for path in (dataset / ANNOTATED).rglob("*.mp4")}
    segments = open_dataset(dataset).segments()
    return sum(each.frames > 0 and each.segment not in videos for each in segments)


class _CameraJob:
    """Processes cameras with one detector, which is loaded for the first that needs it."""

    def __init__(self, job: BatchJob) -> None:
        self._job = job
        self._model: LoadedModel | None = None
        self._store = JobStore(job.options.dataset)

    def run(self, camera: str, report: Report, is_stopped: Callable[[], bool]) -> None:
        """Process one camera."""
        job = self._job
        context = CameraContext(
            job.options, job.config, job.zones.get(camera), self._detector, self._store
        )
        with self._store.camera_lock(camera):
            CameraRun(camera, job.cameras[camera], context, report, is_stopped).run()

    def close(self) -> None:
        """Release the detector."""
        model, self._model = self._model, None
        if model is not None:
            with suppress(PipelineError):
                model.close()

    def _detector(self) -> Detector:
        if self._model is None:
            self._model = LoadedModel(make_detector(self._job.config), {})
        return self._model.detector()


def _copies(recordings: Sequence[Recording]) -> dict[Path, Path]:
    """Return {file: the file before it that has the same content}.

    Whole files are read only where size, beginning and end are the same.
    """
    by_edges: dict[tuple[int, str], list[Path]] = {}
    sizes: dict[int, list[Path]] = {}
    for one in recordings:
        if one.probe is not None:
            sizes.setdefault(one.probe.size, []).append(one.path)
    for size, paths in sizes.items():
        for path in paths if len(paths) > 1 else ():
            by_edges.setdefault((size, _edges(path)), []).append(path)
    copies: dict[Path, Path] = {}
    for paths in by_edges.values():
        first: dict[str, Path] = {}
        for path in sorted(paths) if len(paths) > 1 else ():
            with suppress(SourceError):  # it is set aside later, with this reason
                original = first.setdefault(content_hash(path), path)
                if original != path:
                    copies[path] = original
    return copies


def _edges(path: Path) -> str:
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256(file.read(_EDGE_BYTES))
            file.seek(max(0, path.stat().st_size - _EDGE_BYTES))
            digest.update(file.read(_EDGE_BYTES))
    except OSError:
        return str(path)
    return digest.hexdigest()


def _copies_noted(copies: Mapping[Path, Path]) -> list[str]:
    """Return a line for each of the first copies, and how many more there are."""
    lines = [
        f"{copy}: has the same content as {original}; left out"
        for copy, original in list(copies.items())[:_MAX_NAMED]
    ]
    more = len(copies) - len(lines)
    return [*lines, f"{more} more files have the content of others; left out"] if more else lines
