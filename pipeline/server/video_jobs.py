"""Uploaded videos: each is a job with a folder of its own, analysed one after the other.

A job ends with its folder: when it fails, is removed, is no longer asked for, or the server stops.
The upload itself is deleted as soon as it is analysed.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config.schema import Config
from pipeline.config.uploads import UploadOptions
from pipeline.core.errors import PipelineError
from pipeline.core.native_stderr import muted
from pipeline.core.secret_masking import masked
from pipeline.core.worker import Worker
from pipeline.engine import Pipeline
from pipeline.server.picture_analyser import BusyError, shown_name
from pipeline.server.schemas import VideoJob, VideoState
from pipeline.server.security import INTERNAL
from pipeline.server.short_video import ShortVideo, VideoLimits, check_short_video
from pipeline.server.upload_networks import UploadNetworks
from pipeline.server.video_analysis import (
    ANNOTATED_NAME,
    STOP_TIMEOUT_S,
    VideoAnalysis,
    video_pipeline,
    yielding_detector,
)
from pipeline.server.viewers.jpeg_encoder import lower_thread_priority

log = logging.getLogger("trackline")

UNASKED_S = 60.0
"""Seconds without a request after which an unfinished job is cancelled."""
KEPT_S = 600.0
"""Seconds that an answer is kept after the last request for it."""
_WAKE_S = 1.0


@dataclass(eq=False)
class Job:
    """One video, from the first byte of its upload to its removal."""

    name: str
    tags: bool
    annotated: bool
    folder: Path
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: VideoState = "uploading"
    about: ShortVideo | None = None
    analysed_s: float = 0.0
    problem: str | None = None
    answer: bytes | None = None
    asked_at: float = 0.0
    pipeline: Pipeline | None = None
    removed: bool = False

    @property
    def upload(self) -> Path:
        """Return the file of the upload: without a suffix, so that the content alone counts."""
        return self.folder / "upload"

    @property
    def annotated_video(self) -> Path:
        """Return the file of the annotated video."""
        return self.folder / ANNOTATED_NAME

    def in_words(self, text: str) -> str:
        """Return a message about it in one line: without file paths, and with secrets masked."""
        own = " ".join(text.split()).replace(f"{self.upload}: ", "")
        shown = own.replace(str(self.upload), shown_name(self.name) or "the video")
        return masked(shown.replace(f"{self.folder}{os.sep}", ""))

    @contextmanager
    def named_in_log(self) -> Iterator[None]:
        """Replace the name of the upload's file by the upload's name in log lines."""
        path, name = str(self.upload), shown_name(self.name)

        def rename(record: logging.LogRecord) -> bool:
            text = record.getMessage()
            if path in text:
                record.msg = text.replace(path, f"uploaded video {name}".rstrip())
                record.args = ()
            return True

        log.addFilter(rename)
        try:
            yield
        finally:
            log.removeFilter(rename)

    def as_json(self) -> VideoJob:
        """Return its state as JSON for REST."""
        about = self.about or ShortVideo(0, 0, 0.0, 0)
        return VideoJob(
            id=self.id,
            name=self.name,
            state=self.state,
            width=about.width,
            height=about.height,
            duration_s=round(about.duration_s, 3),
            analysed_s=self.analysed_s,
            annotated=self.annotated,
            problem=self.problem,
        )


class VideoJobs:
    """Uploaded videos: uploading, waiting, in analysis or kept; any thread may call it.

    `config` defines detector and tracker, `cameras_wait` tells whether a camera's frame is waiting.
    """

    def __init__(
        self,
        networks: UploadNetworks,
        config: Config,
        cameras_wait: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._networks = networks
        self._config = config
        self._cameras_wait = cameras_wait
        self._clock = clock
        options: UploadOptions = config.web.uploads
        self._max_jobs = options.videos
        self._limits = VideoLimits(options.video_s, options.video_frames, options.video_megapixels)
        self._jobs: dict[str, Job] = {}
        self._wake = threading.Condition()
        self._closed = False
        self._worker = Worker("videos", self._work, lambda: None)

    @contextmanager
    def upload(self, name: str, *, tags: bool, annotated: bool) -> Iterator[Job]:
        """Reserve a slot for a video during its upload; without `begin` it is removed again.

        Raises BusyError if all slots are taken, OSError if no folder can be created.
        """
        with self._wake:
            self._make_room()
            folder = Path(tempfile.mkdtemp(prefix="trackline-upload-"))
            job = Job(name, tags, annotated, folder, asked_at=self._clock())
            self._jobs[job.id] = job
        try:
            yield job
        finally:
            if job.state == "uploading":
                self.remove(job.id)

    def begin(self, job: Job) -> VideoJob:
        """Check a complete upload and queue it for analysis; raises SourceError."""
        with muted(), job.named_in_log():
            job.about = check_short_video(job.upload, self._limits)
        with self._wake:
            if job.removed:
                raise BusyError  # the server stops
            job.state = "waiting"
            job.asked_at = self._clock()
            if not self._worker.started:
                self._worker.start(_log_failure)
            self._wake.notify_all()
        return job.as_json()

    def get(self, job_id: str) -> Job | None:
        """Return a job, None if there is none or it has been removed.

        Counts as a request for it.
        """
        with self._wake:
            job = self._jobs.get(job_id)
            if job is None or job.state == "uploading":
                return None
            job.asked_at = self._clock()
            return job

    def remove(self, job_id: str) -> bool:
        """Cancel and forget a job; return whether there was one."""
        with self._wake:
            job = self._jobs.pop(job_id, None)
            if job is None:
                return False
            job.removed = True
            if job.pipeline is not None:
                job.pipeline.stop()  # its thread deletes the folder
            elif job.state != "analysing":
                shutil.rmtree(job.folder, ignore_errors=True)
            return True

    def close(self) -> None:
        """Cancel everything and delete all files."""
        with self._wake:
            self._closed = True
            jobs = list(self._jobs.values())
            for job in jobs:
                self.remove(job.id)
            self._wake.notify_all()
        self._worker.join(2 * STOP_TIMEOUT_S)
        for job in jobs:
            shutil.rmtree(job.folder, ignore_errors=True)

    def _make_room(self) -> None:
        """If all slots are taken, drop the answer with the oldest last request."""
        if self._closed:
            raise BusyError
        if len(self._jobs) < self._max_jobs:
            return
        ended = [each for each in self._jobs.values() if each.state in ("done", "failed")]
        if not ended:
            raise BusyError
        self.remove(min(ended, key=lambda each: each.asked_at).id)

    def _work(self) -> None:
        lower_thread_priority()
        while (job := self._next()) is not None:
            try:
                with job.named_in_log():
                    self._analyse(job)
            except PipelineError as error:
                job.problem = job.in_words(str(error))
            except Exception as error:  # noqa: BLE001 - outermost frame of a job: a bug
                text = f"{shown_name(job.name)}: {type(error).__name__}: {error}"
                log.error("uploaded video %s", job.in_words(text))
                job.problem = INTERNAL
            self._end(job)

    def _next(self) -> Job | None:
        """Wait for a job; None once closed. Meanwhile drops jobs that are no longer requested."""
        with self._wake:
            while not self._closed:
                self._drop_unasked()
                waiting = [each for each in self._jobs.values() if each.state == "waiting"]
                if waiting:
                    waiting[0].state = "analysing"
                    return waiting[0]
                self._wake.wait(_WAKE_S if self._jobs else None)
            return None

    def _drop_unasked(self) -> None:
        now = self._clock()
        for job in list(self._jobs.values()):
            kept_s = KEPT_S if job.state in ("done", "failed") else UNASKED_S
            if job.state != "uploading" and now - job.asked_at > kept_s:
                self.remove(job.id)

    def _analyse(self, job: Job) -> None:
        assert job.about is not None
        detector = yielding_detector(self._networks, self._config, self._cameras_wait)
        output = job.folder if job.annotated else None
        pipeline = video_pipeline(self._config, job.upload, detector, self._limits, output)
        with self._wake:
            if job.removed:
                return
            job.pipeline = pipeline

        def advance(seconds: float) -> None:
            job.analysed_s = seconds
            if self._clock() - job.asked_at > UNASKED_S:
                self.remove(job.id)

        networks = self._networks if job.tags else None
        analysis = VideoAnalysis(job.name, job.about, self._limits, networks, advance)
        problem = analysis.follow(pipeline)
        if not job.removed:
            job.answer = analysis.answer(problem)

    def _end(self, job: Job) -> None:
        """Delete the upload, and all files unless an annotated video is to be fetched."""
        job.upload.unlink(missing_ok=True)
        with self._wake:
            job.pipeline = None
            job.state = "done" if job.answer is not None else "failed"
            if job.answer is None or job.removed or not job.annotated:
                shutil.rmtree(job.folder, ignore_errors=True)


def _log_failure(error: BaseException) -> None:
    log.error("uploaded videos: %s: %s", type(error).__name__, error)
