"""A batch job on a cluster: one task per camera, restarted elsewhere if its machine is lost.

The cluster does the scheduling; only the dataset's manifests record what is done. So a task that
runs again continues after the last commit, and nothing depends on which messages arrived.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from pipeline.archive.batch.progress import Report, Update
from pipeline.archive.batch.workers import Ended, FailedInWorkerError, LogLine
from pipeline.core.errors import PipelineError, StageError

log = logging.getLogger("trackline")

_POLL_S = 0.2
PATIENCE_S = 90.0
"""Seconds that tasks have for writing a checkpoint when the job is stopped."""

Message = Update | LogLine


class Cluster(Protocol):
    """Runs tasks on other machines, or on this machine's cores."""

    def start(self, camera: str) -> object:
        """Queue a camera's task, and return it (hashable)."""

    def ended(self, tasks: Sequence[object], timeout_s: float) -> list[tuple[object, Ended]]:
        """Return the finished tasks with their outcomes; waits briefly for one."""

    def messages(self) -> list[Message]:
        """Return the messages since the last call, including all those of finished tasks."""

    def stop(self) -> None:
        """Ask tasks to write a checkpoint and end, including those not started yet."""


def run_on_cluster(
    cluster: Cluster, cameras: Iterable[str], report: Report, is_stopped: Callable[[], bool]
) -> None:
    """Process the cameras as tasks, in order; raises the first error.

    After an error, or when stopped, the other tasks end with a checkpoint.
    """
    tasks = [cluster.start(camera) for camera in cameras]
    error: PipelineError | None = None
    give_up_at = float("inf")
    was_stopped = False
    while tasks and time.monotonic() < give_up_at:
        if (is_stopped() or error) and not was_stopped:
            was_stopped = True
            give_up_at = time.monotonic() + PATIENCE_S
            cluster.stop()
        for task, ended in cluster.ended(tasks, _POLL_S):
            tasks.remove(task)
            if ended.error and error is None:
                error = FailedInWorkerError(ended.error, ended.exit_code)
        for message in cluster.messages():
            if isinstance(message, Update):
                report(message)
            else:
                log.log(message.level, "%s", message.text)
    if error is not None:
        raise error
    if was_stopped and not is_stopped():
        raise StageError("batch: the tasks stopped early; the same command goes on")
