"""Worker processes of a batch job: each takes one camera after the other from the main process.

Plain processes (spawn), each with its own detector and pipe, so that a process killed in the middle
of a message does not affect the others. A worker ends with the main process, however that ends.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from pipeline.archive.batch.progress import Report, Update
from pipeline.core.cpu_count import share_of_cores
from pipeline.core.errors import PipelineError, StageError
from pipeline.core.malloc import share_arenas
from pipeline.core.parquet_file import keep_pandas_out

log = logging.getLogger("trackline")

_POLL_S = 0.2
_PATIENCE_S = 60.0
"""Seconds that workers have for writing a checkpoint when the job is stopped."""
_ENDING = (signal.SIGINT, signal.SIGTERM)


class CameraJob(Protocol):
    """Processes one camera in a worker; created there from what can be pickled."""

    def check_machine(self, camera: str) -> None:
        """Raise UsageError if the machine it runs on lacks something the job needs."""

    def run(self, camera: str, report: Report, is_stopped: Callable[[], bool]) -> None:
        """Process a camera's recordings, or stop soon; raises PipelineError."""

    def close(self) -> None:
        """Release the detector."""


NewJob = Callable[[], CameraJob]


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker's last message about a camera; `error` is why it failed, with its exit code."""

    camera: str
    error: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class LogLine:
    """A log line of a worker; the main process prints it, so that lines stay intact."""

    level: int
    text: str


class FailedInWorkerError(PipelineError):
    """An error of another process, with its exit code."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def process_camera(
    new_job: NewJob, camera: str, report: Report, is_stopped: Callable[[], bool]
) -> Ended:
    """Process a camera with a new job and return the outcome; raises nothing."""
    try:
        new_job().run(camera, report, is_stopped)
    except PipelineError as error:
        return Ended(camera, str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001 - the process's outermost frame forwards
        traceback.print_exc()
        return Ended(camera, str(StageError(f"camera {camera}: {error!r}")), 1)
    return Ended(camera)


def run_here(
    new_job: NewJob, cameras: Iterable[str], report: Report, is_stopped: Callable[[], bool]
) -> None:
    """Process the cameras one after the other in this process."""
    job = new_job()
    try:
        for camera in cameras:
            if is_stopped():
                return
            job.run(camera, report, is_stopped)
    finally:
        job.close()


def run_in_workers(
    new_job: NewJob,
    cameras: Iterable[str],
    count: int,
    report: Report,
    is_stopped: Callable[[], bool],
) -> None:
    """Process the cameras in `count` processes, in order; raises the first error.

    After an error the other workers stop as after a signal: with a checkpoint.
    """
    waiting = deque(cameras)
    context = multiprocessing.get_context("spawn")
    # Not an Event: a process killed while holding its lock would block all the others.
    stop = context.RawValue("b", 0)
    workers = [
        _Worker(context, new_job, number, count, stop) for number in range(min(count, len(waiting)))
    ]
    error: BaseException | None = None
    was_stopped = False
    try:
        for worker in workers:
            worker.give(waiting.popleft() if waiting else None)
        while busy := [worker for worker in workers if worker.is_busy]:
            if (is_stopped() or error) and not stop.value:
                stop.value = 1
                waiting.clear()
            for worker in _ready(busy):
                message = worker.receive()
                if isinstance(message, Update):
                    report(message)
                    continue
                if isinstance(message, LogLine):
                    log.log(message.level, "%s", message.text)
                    continue
                if message.error and error is None:
                    error = FailedInWorkerError(message.error, message.exit_code)
                    waiting.clear()
                worker.give(waiting.popleft() if waiting else None)
        was_stopped = bool(stop.value)
    finally:
        stop.value = 1
        for worker in workers:
            worker.end()
    if error is not None:
        raise error
    if was_stopped and not is_stopped():
        raise StageError("batch: the workers stopped early; the same command goes on")


def run_in_process(function: Callable[[Any], object], argument: Any) -> None:
    """Call a function in a process that ends with it; raises FailedInWorkerError if it fails.

    An interruption of this process while it waits, such as Ctrl-C, ends the other one, too.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(function, argument, theirs), daemon=True)
    try:
        with _signals_held():
            process.start()
        theirs.close()
        try:
            while not ours.poll(_POLL_S):
                pass
            failure: tuple[str, int] | None = ours.recv()
        except EOFError:
            process.join()
            failure = f"the process that tries the detector {_how_it_ended(process)}", 1
    finally:
        ours.close()
        if process.pid is not None:
            process.kill()  # nothing more will come from it
            process.join()
    if failure is not None:
        raise FailedInWorkerError(*failure)


def _call(function: Callable[[Any], object], argument: Any, connection: Connection) -> None:
    """Call a function and send the text and exit code of its error, or None."""
    _ignore_signals()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    failure: tuple[str, int] | None = None
    try:
        function(argument)
    except PipelineError as error:
        failure = str(error), error.exit_code
    except Exception as error:  # noqa: BLE001 - the process's outermost frame forwards
        traceback.print_exc()
        failure = repr(error), 1
    with suppress(OSError):
        connection.send(failure)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Start a process with SIGINT and SIGTERM blocked until it calls `_ignore_signals`.

    It imports libraries first, during which a signal would end it with a traceback. Signals to this
    process are blocked until it has started.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker  # not on Windows

    resource_tracker.ensure_running()  # otherwise it starts below, and unblocks the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM in a worker process.

    The main process gets them as well, and decides when to stop: a worker that stopped on its own
    would leave the job unfinished without an error.
    """
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _ready(workers: list[_Worker]) -> list[_Worker]:
    """Return the workers that sent something or ended; waits briefly for one."""
    by_handle: dict[Any, _Worker] = {worker.connection: worker for worker in workers}
    return [by_handle[each] for each in wait([*by_handle], _POLL_S)]


def _how_it_ended(process: BaseProcess) -> str:
    code = process.exitcode
    return (
        f"ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with code {code}"
    )


class _Worker:
    """One worker process, as seen by the main process."""

    def __init__(self, context: Any, new_job: NewJob, number: int, count: int, stop: Any) -> None:
        self.connection, theirs = context.Pipe()
        self.is_busy = False
        self._camera = ""
        self._process: BaseProcess = context.Process(
            target=_work,
            args=(new_job, theirs, stop, share_of_cores(number, count)),
            name=f"batch worker {number + 1}",
            daemon=True,
        )
        with _signals_held():
            self._process.start()
        theirs.close()

    def give(self, camera: str | None) -> None:
        """Make it process a camera, or end."""
        self.is_busy = camera is not None
        self._camera = camera or ""
        with suppress(OSError):  # it has died; `receive` reports it
            self.connection.send(camera)

    def receive(self) -> Update | LogLine | Ended:
        """Return its next message, or one that reports its death."""
        try:
            message: Update | LogLine | Ended = self.connection.recv()
        except (EOFError, OSError):
            self._process.join(_PATIENCE_S)
            how = _how_it_ended(self._process)
            text = f"worker of camera {self._camera}: {how}; the same command goes on"
            message = Ended(self._camera, text, 1)
        return message

    def end(self) -> None:
        """Wait for it to end; kill it after a while."""
        with suppress(OSError):
            self.connection.close()
        self._process.join(_PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class _Messages(logging.Handler):
    """Sends a worker's updates and log lines, from any thread, to the main process."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, message: Update | LogLine | Ended) -> None:
        """Send a message; raises OSError once the main process is gone."""
        with self._sending:
            self._connection.send(message)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a log line."""
        with suppress(OSError):
            self.send(LogLine(record.levelno, record.getMessage()))


def _work(new_job: NewJob, connection: Connection, stop: Any, own_cores: tuple[int, ...]) -> None:
    """Process the cameras sent by the main process until there are no more."""
    _ignore_signals()
    share_arenas()
    keep_pandas_out()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    if own_cores:
        os.sched_setaffinity(0, own_cores)
    messages = _Messages(connection)
    log.handlers, log.propagate = [messages], False
    log.setLevel(logging.INFO)
    job: CameraJob | None = None

    def loaded() -> CameraJob:
        nonlocal job
        job = job or new_job()
        return job

    try:
        while (camera := connection.recv()) is not None:
            ended = process_camera(loaded, camera, messages.send, lambda: bool(stop.value))
            messages.send(ended)
    except (EOFError, OSError):
        return  # the main process is gone or has enough
    finally:
        if job is not None:
            job.close()


def _end_with_parent() -> None:
    """End this process when the main one is gone: if killed, it cannot send a message."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
