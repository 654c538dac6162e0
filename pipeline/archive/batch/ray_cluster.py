"""Cluster of a batch job on Ray Core: tasks, their cores and GPUs, and their messages.

A task loads its detector once and keeps it for the next camera in the same process. Detectors are
not shared between tasks: passing pictures to another process costs more than it saves (see
docs/scale.md). Several tasks can share a GPU by requesting a fraction of it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from pipeline.archive.batch.distributed import Message
from pipeline.archive.batch.progress import Update
from pipeline.archive.batch.workers import CameraJob, Ended, LogLine, NewJob, process_camera
from pipeline.core.cpu_count import cores, share_of_cores
from pipeline.core.environment import variables
from pipeline.core.errors import ConfigError, MissingExtraError, StageError, UsageError
from pipeline.core.file_lock import LockHeldError, lock_file
from pipeline.core.install_hints import install_command
from pipeline.core.malloc import share_arenas
from pipeline.core.parquet_file import keep_pandas_out

log = logging.getLogger("trackline")

RETRIES = 20
"""Maximum restarts of a camera's task after its machine or process was lost."""
DEFAULT_CPUS = 4
_SEND_EVERY_S = 0.5
_CONNECT_S = 5.0


@dataclass(frozen=True, slots=True)
class TaskShare:
    """Resources a task requests; None: from the cluster's machines and the number of cameras.

    `gpus` may be a fraction: tasks then share a GPU.
    """

    cpus: int | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.cpus is not None and not 1 <= self.cpus <= 1024:
            raise ConfigError(f"--task-cpus: want 1 to 1024, got {self.cpus}")
        if self.gpus is not None and not 0 <= self.gpus <= 64:
            raise ConfigError(f"--task-gpus: want 0 to 64, got {self.gpus:g}")


def share_for(
    asked: TaskShare, machines: Sequence[tuple[float, float]], cameras: int, *, wants_gpu: bool
) -> tuple[int, float]:
    """Return the (cores, GPUs) of a task on `machines`, each (cores, GPUs); raises UsageError.

    If there are fewer cameras than task slots, each gets more cores.
    """
    useful = [each for each in machines if each[0] >= 1]
    if not useful:
        raise UsageError("--ray: the cluster has no machine with a core")
    gpus = asked.gpus
    if gpus is None:
        gpus = 1.0 if wants_gpu and any(each[1] >= 1 for each in useful) else 0.0
    fit = [each for each in useful if each[1] >= gpus]
    if not fit:
        raise UsageError(f"--task-gpus: no machine of the cluster has {gpus:g} GPUs")
    if asked.cpus is not None:
        if all(each[0] < asked.cpus for each in fit):
            most = max(int(each[0]) for each in fit)
            raise UsageError(f"--task-cpus: want at most {most} (the largest machine's cores)")
        return asked.cpus, gpus
    if gpus:
        return max(1, int(min(each[0] * gpus / each[1] for each in fit))), gpus
    smallest = int(min(each[0] for each in fit))
    even = int(sum(each[0] for each in fit) / max(1, cameras))
    return max(1, min(smallest, max(even, DEFAULT_CPUS))), gpus


class RayCluster:
    """Tasks on a Ray cluster, and their messages."""

    def __init__(self, ray: Any, new_job: NewJob, share: tuple[int, float]) -> None:
        self._ray = ray
        here = ray.get_runtime_context().get_node_id()
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        self._mailbox = (
            ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=strategy).remote()
        )
        cpus, gpus = share
        self._task = ray.remote(_run).options(
            num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES, scheduling_strategy="SPREAD"
        )
        self._job = ray.put(new_job)
        self._settings = (ray.get_runtime_context().get_job_id(), os.getcwd(), cpus)
        self._cameras: dict[object, str] = {}

    def start(self, camera: str) -> object:
        """Queue a camera's task."""
        task: object = self._task.remote(self._job, camera, self._mailbox, self._settings)
        self._cameras[task] = camera
        return task

    def ended(self, tasks: Sequence[object], timeout_s: float) -> list[tuple[object, Ended]]:
        """Return the finished tasks with their outcomes; waits briefly for one."""
        ready, _ = self._ray.wait([*tasks], num_returns=1, timeout=timeout_s, fetch_local=False)
        return [(task, self._result(task)) for task in ready]

    def messages(self) -> list[Message]:
        """Return the messages of tasks since the last call."""
        found: list[Message] = self._ray.get(self._mailbox.take.remote())
        return found

    def stop(self) -> None:
        """Ask tasks to write a checkpoint and end, including those not started yet."""
        self._ray.get(self._mailbox.stop.remote())

    def _result(self, task: object) -> Ended:
        camera = self._cameras.pop(task)
        try:
            ended: Ended = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return Ended(camera, f"camera {camera}: {why}; the same command goes on", 1)
        return ended


@contextmanager
def ray_cluster(
    address: str, new_job: NewJob, asked: TaskShare, cameras: int, *, wants_gpu: bool
) -> Iterator[RayCluster]:
    """Connect to a Ray cluster ("auto", "local" or HOST:PORT) for one job; raises UsageError.

    "local" starts one on this machine's cores, which ends with the job.
    """
    ray = _imported()
    _check_address(address)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    local = {"num_cpus": cores().threads, "include_dashboard": False} if address == "local" else {}
    try:
        with variables({"RAY_USAGE_STATS_ENABLED": "0"}):
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **local)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise _not_there(address, why) from None
    try:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray replaces them with its own
                signal.signal(number, handler)
        machines = [
            (each["Resources"].get("CPU", 0.0), each["Resources"].get("GPU", 0.0))
            for each in ray.nodes()
            if each["Alive"]
        ]
        share = share_for(asked, machines, cameras, wants_gpu=wants_gpu)
        log.info(
            "ray: cameras: %d, machines: %d, cores of a task: %d%s",
            cameras, len(machines), share[0], f", GPUs: {share[1]:g}" if share[1] else "",
        )  # fmt: skip
        yield RayCluster(ray, new_job, share)
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise UsageError unless the address accepts connections: Ray would try for minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise _not_there(address, "no address")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except OSError as error:
        raise _not_there(address, error.strerror or str(error)) from None


def _not_there(address: str, why: str) -> UsageError:
    return UsageError(
        f"--ray: cannot connect to '{address}': {why} (want auto, local, or HOST:PORT of a cluster "
        "that this machine is in)"
    )


def _imported() -> Any:
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise MissingExtraError(f"--ray needs the extra 'ray': {install_command('ray')}") from None
    return ray


class Mailbox:
    """Collects tasks' messages until the job's process fetches them; holds the stop request."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._is_stopped = False

    def send(self, messages: list[Message]) -> bool:
        """Add messages; return whether the job should stop."""
        self._messages += messages
        return self._is_stopped

    def take(self) -> list[Message]:
        """Return the messages so far, and clear them."""
        taken, self._messages = self._messages, []
        return taken

    def stop(self) -> None:
        """Request that the job stops."""
        self._is_stopped = True


# -- in a task's process --------------------------------------------------------------------------


class _Outbox(logging.Handler):
    """Collects a task's updates and log lines, sends them and receives the stop request."""

    def __init__(self, send: Callable[[list[Message]], bool]) -> None:
        super().__init__()
        self.is_stopped = False
        self._send = send
        self._messages: list[Message] = []
        self._gathering = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._exchange, name="outbox", daemon=True)

    def __enter__(self) -> _Outbox:
        self._flush()
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._end.set()
        self._thread.join()
        self._flush()

    def add(self, message: Message) -> None:
        """Send a message soon; consecutive updates of frames are merged."""
        with self._gathering:
            last = self._messages[-1] if self._messages else None
            if _is_frames(message) and _is_frames(last) and message.path == last.path:
                self._messages[-1] = replace(
                    last,
                    seconds=last.seconds + message.seconds,
                    frames=last.frames + message.frames,
                )
            else:
                self._messages.append(message)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a log line."""
        self.add(LogLine(record.levelno, record.getMessage()))

    def _exchange(self) -> None:
        while not self._end.wait(_SEND_EVERY_S):
            self._flush()

    def _flush(self) -> None:
        with self._gathering:
            messages, self._messages = self._messages, []
        self.is_stopped = self._send(messages) or self.is_stopped


def _is_frames(message: Message | None) -> TypeGuard[Update]:
    return isinstance(message, Update) and message.kind == "frames"


class _Process:
    """State a worker process keeps from one task to the next: the detector and its cores."""

    def __init__(self) -> None:
        self.ray_job = ""
        self.job: CameraJob | None = None
        self.unlock: Callable[[], None] | None = None

    def prepare(self, ray_job: str, folder: str, cpus: int) -> None:
        """Set up the process for a job: its working directory and its cores."""
        if self.ray_job == ray_job:
            return
        self.ray_job, self.job = ray_job, None
        share_arenas()
        keep_pandas_out()
        with suppress(OSError):  # another machine may lack it; absolute paths do not need it
            os.chdir(folder)
        if self.unlock is None:
            self.unlock = own_cores(cpus)


_process = _Process()


def own_cores(count: int) -> Callable[[], None] | None:
    """Pin this process to `count` cores that no other task has; return a function to free them.

    None if there are no more cores than that, or all are taken: then it runs on any. Ray counts
    cores but does not assign them; decoders and networks would start a thread for each core.
    """
    groups = cores().threads // max(count, 1)
    shares = [share_of_cores(number, groups) for number in range(groups)] if groups > 1 else []
    for own in filter(None, shares):
        path = Path(tempfile.gettempdir()) / f"trackline-cores-{os.getuid()}-{count}-{own[0]}.lock"
        with suppress(LockHeldError, OSError):
            unlock = lock_file(path)
            os.sched_setaffinity(0, own)
            return unlock
    return None


def _run(new_job: NewJob, camera: str, mailbox: Any, settings: tuple[str, str, int]) -> Ended:
    """Process one camera; what Ray calls a task."""
    import ray

    _process.prepare(*settings)

    def loaded() -> CameraJob:
        if _process.job is None:
            _process.job = new_job()
        try:
            _process.job.check_machine(camera)
        except UsageError as error:
            raise StageError(f"{error} on {socket.gethostname()}") from None
        return _process.job

    with _Outbox(lambda messages: bool(ray.get(mailbox.send.remote(messages)))) as outbox:
        if outbox.is_stopped:
            return Ended(camera)
        log.handlers, log.propagate = [outbox], False
        log.setLevel(logging.INFO)
        try:
            return process_camera(loaded, camera, outbox.add, lambda: outbox.is_stopped)
        finally:
            log.handlers = []
