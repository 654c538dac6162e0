"""Worker processes: cameras given out in turn, a stop and what goes on after it, early signals."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.threads import in_thread, interrupt, join

pytest.importorskip("pyarrow")

from pipeline.archive.batch.progress import Report, Update
from pipeline.archive.batch.workers import FailedInWorkerError, run_in_process, run_in_workers

FRAMES = 5


class CountingJob:
    """Writes a camera's frames into a file, a line each, from where the file ends.

    While there is a file `wait` it waits to be stopped after the second one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check_machine(self, camera: str) -> None: ...

    def run(self, camera: str, report: Report, is_stopped: Callable[[], bool]) -> None:
        path = self.folder / camera
        path.touch()
        for number in range(len(path.read_text().splitlines()), FRAMES):
            with path.open("a") as file:
                file.write(f"{number}\n")
            report(Update("frames", camera, str(path), frames=1))
            while number == 1 and (self.folder / "wait").exists() and not is_stopped():
                time.sleep(0.01)
            if is_stopped():
                return

    def close(self) -> None: ...


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_stopped_and_resumed_with_two_workers_each_frame_is_done_once(tmp_path: Path) -> None:
    """Both stop where they are; a camera that waits is not begun, and is there the next time."""
    cameras = ["a", "b", "c"]
    frames: Counter[str] = Counter()

    def count(update: Update) -> None:
        frames[update.camera] += update.frames

    def work(is_stopped: Callable[[], bool]) -> dict[str, list[int]]:
        run_in_workers(partial(CountingJob, tmp_path), cameras, 2, count, is_stopped)
        paths = [tmp_path / name for name in cameras if (tmp_path / name).exists()]
        return {path.name: [*map(int, path.read_text().split())] for path in paths}

    (tmp_path / "wait").touch()
    assert work(lambda: frames["a"] == frames["b"] == 2) == {"a": [0, 1], "b": [0, 1]}
    (tmp_path / "wait").unlink()
    assert work(lambda: False) == {name: [*range(FRAMES)] for name in cameras}
    assert frames == dict.fromkeys(cameras, FRAMES)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_process_that_dies_while_it_tries_is_one_line() -> None:
    with pytest.raises(FailedInWorkerError, match="ended with code 3"):
        run_in_process(os._exit, 3)


def wait(begun: Path) -> None:
    begun.touch()
    time.sleep(600)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_ctrl_c_while_a_detector_is_tried_is_quiet(
    tmp_path: Path, ctrl_c: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """A terminal sends it to both processes: one still imported, and printed a traceback."""
    begun = tmp_path / "begun"

    def press() -> None:
        while not (started := multiprocessing.active_children()):
            time.sleep(0.001)
        [child] = started
        while child.is_alive() and not begun.exists():  # at every step of its start
            os.kill(child.pid or 0, signal.SIGINT)
            time.sleep(0.01)
        interrupt()

    pressing = in_thread(press)
    with pytest.raises(KeyboardInterrupt):
        run_in_process(wait, begun)
    assert begun.exists()
    join(pressing)
    assert multiprocessing.active_children() == []
    assert capfd.readouterr().err == ""
