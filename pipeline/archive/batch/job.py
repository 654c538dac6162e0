"""Batch job: finds, groups and processes recordings into a dataset; resumable at any time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.archive.batch.camera_run import CameraContext, CameraRun
from pipeline.archive.batch.content import SeenFile
from pipeline.archive.batch.distributed import run_on_cluster
from pipeline.archive.batch.grouping import GroupRule, Recording, group_recordings
from pipeline.archive.batch.identity import copies_noted, find_copies, match
from pipeline.archive.batch.options import (
    BatchOptions,
    camera_zones,
    result_options,
    written_options,
)
from pipeline.archive.batch.progress import JobProgress, Report, Update
from pipeline.archive.batch.ray_cluster import TaskShare, ray_cluster
from pipeline.archive.batch.store import LOCK_PATIENCE_S, JobStore, camera_lock, open_store
from pipeline.archive.batch.workers import run_here, run_in_process, run_in_workers
from pipeline.archive.dataset.files import children_with
from pipeline.archive.dataset.header import has_header, refuse_other_options
from pipeline.archive.dataset.layout import ANNOTATED
from pipeline.archive.dataset.reader import open_dataset
from pipeline.archive.remote import is_remote
from pipeline.config.build import check_tracker_ground, make_detector, model_of
from pipeline.config.schema import Config
from pipeline.core.errors import PipelineError, UsageError
from pipeline.core.interfaces import Detector
from pipeline.detectors.common.loaded_model import LoadedModel
from pipeline.events.zones.schema import CameraZones
from pipeline.sources._file.recording_start import zone_of

log = logging.getLogger("trackline")

_LOST_MACHINE_S = 90.0
"""Seconds a machine presumed lost may keep a camera: Ray ends it after a minute."""


@dataclass(frozen=True)
class BatchJob:
    """Plan of a job: cameras with their recordings in order, and the zones of each."""

    options: BatchOptions
    config: Config
    cameras: Mapping[str, Sequence[Recording]]
    zones: Mapping[str, CameraZones] = field(default_factory=dict)
    notes: Sequence[str] = ()
    kept_options: Mapping[str, Any] = field(default_factory=dict)
    """Options that change results, as stored in the dataset."""
    written: Sequence[str] = ()
    """Which of them the user set."""
    model: LoadedModel | None = None
    """The detector, if this process has tested it and will use it; `run_job` releases it."""

    def progress(self) -> JobProgress:
        """Return the progress of the job before it starts."""
        return JobProgress.of(one for group in self.cameras.values() for one in group)


def plan_job(options: BatchOptions, config: Config) -> BatchJob:
    """Plan a job: reads what exists, writes nothing.

    Options are checked before searching for files, which may take minutes. Raises UsageError if
    they differ from those of the dataset, errors of the detector if the dataset is new, SourceError
    if there are no videos, ConfigError for zones of unknown cameras.
    """
    zone = None if options.timezone is None else zone_of(options.timezone)
    rule = GroupRule.of(options.group_by)
    kept_options = result_options(options, config)
    seen: Mapping[str, SeenFile] = {}
    written = written_options(options, config)
    model = None
    if not options.fresh and has_header(options.dataset):
        refuse_other_options(options.dataset, kept_options, written)
        seen = JobStore(options.dataset).seen()
    elif options.ray is not None:
        pass  # this machine may lack what the cluster has
    elif options.workers == 1:
        model = LoadedModel(make_detector(config), {})
    else:  # in a process of its own: libraries stay in memory, and the main process needs none
        run_in_process(_try_detector, config)
    with ExitStack() as undo:
        if model is not None:
            undo.callback(model.close)
        found = group_recordings(
            options.paths, rule, leave_out=options.dataset, zone=zone, seen=seen
        )
        copies = find_copies([one for group in found.cameras.values() for one in group], seen)
        cameras = {
            name: left
            for name, group in found.cameras.items()
            if (left := [one for one in group if one.path not in copies])
        }
        zones = camera_zones(config, list(cameras))
        check_tracker_ground(config, list(found.cameras))
        undo.pop_all()
    notes = [*found.notes, *copies_noted(copies)]
    return BatchJob(options, config, cameras, zones, notes, kept_options, written, model)


def _try_detector(config: Config) -> None:
    """Raise the errors of opening the detector, such as unknown classes or missing weights."""
    model = LoadedModel(make_detector(config), {})
    try:
        model.detector()
    finally:
        with suppress(PipelineError):
            model.close()


def run_job(job: BatchJob, report: Report, is_stopped: Callable[[], bool]) -> None:
    """Process what is not in the dataset yet; running it again continues where it ended.

    Raises UsageError if the dataset was started with other options, OutputError if it cannot be
    written or another job is using it, and the first error of a detector or tracker. Unreadable
    recordings are not an error: `report` gets the reason.
    """
    for note in job.notes:
        log.warning("%s", note)
    options = job.options
    fresh = options.fresh
    with open_store(options.dataset, job.kept_options, job.written, fresh=fresh) as damaged:
        store = JobStore(options.dataset)
        matched = match(job.cameras, store, damaged)
        _remove_damaged(damaged, matched.cameras, store)
        for note in matched.notes():
            log.warning("%s", note)
        for recording, _ in matched.elsewhere:
            report(Update("kept", recording.camera, str(recording.path)))
        cameras = matched.cameras
        longest_first = sorted(
            cameras, key=lambda name: -sum(one.duration_s for one in cameras[name])
        )
        zones = {**camera_zones(job.config, [*job.cameras, *cameras]), **job.zones}
        count = min(options.workers, len(longest_first))
        here = count <= 1 and options.ray is None  # otherwise it is sent to other processes
        model = job.model if here else None
        new = partial(_CameraJob, replace(job, cameras=cameras, zones=zones, model=model))
        if options.ray is not None and longest_first:
            gpu = _wants_gpu(job.config)
            share = TaskShare(options.task_cpus, options.task_gpus)
            with ray_cluster(options.ray, new, share, len(longest_first), wants_gpu=gpu) as cluster:
                run_on_cluster(cluster, longest_first, report, is_stopped)
        elif here or not longest_first:
            run_here(new, longest_first, report, is_stopped)
        else:
            run_in_workers(new, longest_first, count, report, is_stopped)
    if options.save_video and (unseen := _without_video(options.dataset)):
        log.warning(
            "%s: recordings done before have no annotated video (%d); --fresh makes them",
            options.dataset, unseen,
        )  # fmt: skip


def _remove_damaged(
    damaged: Mapping[str, str], cameras: Mapping[str, Sequence[Recording]], store: JobStore
) -> None:
    """Remove segments with a damaged part from the dataset if their recordings are available."""
    here = {one.segment for group in cameras.values() for one in group}
    for segment, why in damaged.items():
        if segment in here:
            log.warning("%s; its recording is tracked anew", why)
            store.remove(segment)
        else:
            log.warning("%s, and its recording is not among the inputs: the rows are lost", why)


def _wants_gpu(config: Config) -> bool:
    """Return whether the detector runs on a GPU if there is one."""
    detector = config.detector
    if detector.options.get("device", "auto") == "cpu":
        return False
    return detector.kind == "yolo" and str(model_of(config)).endswith((".pt", ".engine"))


def _without_video(dataset: Path) -> int:
    """Return how many recordings of a dataset have frames, but no annotated video."""
    videos = {path.stem for path in children_with(dataset / ANNOTATED, (".mp4",))}
    segments = open_dataset(dataset).segments()
    return sum(each.frames > 0 and each.segment not in videos for each in segments)


class _CameraJob:
    """Processes cameras with one detector, which is loaded for the first that needs it."""

    def __init__(self, job: BatchJob) -> None:
        self._job = job
        self._model = job.model

    def check_machine(self, camera: str) -> None:
        """Raise UsageError if dataset or recordings are not on this machine.

        Otherwise a whole camera would be set aside as unreadable.
        """
        missing = None if has_header(self._job.options.dataset) else self._job.options.dataset
        for recording in self._job.cameras[camera]:
            path = recording.path
            if not recording.problem and not is_remote(path):
                if not path.exists() and not path.parent.exists():
                    missing = path.parent
                break
        if missing is not None:
            raise UsageError(f"{missing}: is not there; want a disk all machines see, or a store")

    def run(self, camera: str, report: Report, is_stopped: Callable[[], bool]) -> None:
        """Process one camera."""
        job = self._job
        patience_s = LOCK_PATIENCE_S if job.options.ray is None else _LOST_MACHINE_S
        with camera_lock(job.options.dataset, camera, patience_s):
            # Read under the lock: the previous process may have committed until now.
            store = JobStore(job.options.dataset, camera)
            zones = job.zones.get(camera)
            context = CameraContext(job.options, job.config, zones, self._detector, store)
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
