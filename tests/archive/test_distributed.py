"""A batch job as tasks of a cluster: a lost machine's cameras go on elsewhere, nothing twice."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.batch_jobs import job, lay_out, rows
from support.paths import ROOT

from pipeline.archive.batch import distributed
from pipeline.archive.batch.distributed import Message, run_on_cluster
from pipeline.archive.batch.options import BatchOptions
from pipeline.archive.batch.progress import JobProgress, Update
from pipeline.archive.batch.ray_cluster import TaskShare, own_cores, share_for
from pipeline.archive.batch.workers import Ended, LogLine, process_camera
from pipeline.core.errors import ConfigError, PipelineError, StageError, UsageError


@dataclass
class FakeCluster:
    """Runs one task at a time, in order; a task is a list of steps, the last one how it ended."""

    steps: dict[str, list[Message | Ended | Callable[[], None]]]
    sent: list[Message] = field(default_factory=list)
    is_stopped: bool = False
    begun: list[str] = field(default_factory=list)

    def start(self, camera: str) -> object:
        return camera

    def ended(self, tasks: Sequence[object], timeout_s: float) -> list[tuple[object, Ended]]:
        camera = str(tasks[0])
        if self.is_stopped and camera not in self.begun:
            return [(camera, Ended(camera))]
        if camera not in self.begun:
            self.begun.append(camera)
        step = self.steps[camera].pop(0)
        if isinstance(step, Ended):
            return [(camera, step)]
        if callable(step):
            step()
        else:
            self.sent.append(step)
        return []

    def messages(self) -> list[Message]:
        taken, self.sent = self.sent, []
        return taken

    def stop(self) -> None:
        self.is_stopped = True


def done(camera: str, number: int) -> Update:
    return Update("done", camera, f"{camera}/{number}.mp4", 1.0, 25)


def test_all_cameras_are_processed_and_reported(caplog):
    caplog.set_level(logging.INFO, "trackline")
    cluster = FakeCluster(
        {
            "a": [done("a", 1), LogLine(logging.WARNING, "a line"), done("a", 2), Ended("a")],
            "b": [done("b", 1), Ended("b")],
        }
    )
    reported: list[Update] = []
    run_on_cluster(cluster, ["a", "b"], reported.append, lambda: False)
    assert reported == [done("a", 1), done("a", 2), done("b", 1)]
    assert "a line" in caplog.text


def test_an_error_stops_the_others_and_is_raised_with_its_exit_code():
    cluster = FakeCluster({"a": [Ended("a", "weights: no such file", 2)], "b": [Ended("b")]})
    with pytest.raises(PipelineError, match="weights") as caught:
        run_on_cluster(cluster, ["a", "b"], lambda _: None, lambda: False)
    assert caught.value.exit_code == 2
    assert cluster.is_stopped
    assert cluster.begun == ["a"], "what has not begun does not begin"


def test_when_stopped_what_is_under_way_ends_with_its_messages():
    stopped: list[bool] = []
    cluster = FakeCluster(
        {"a": [lambda: stopped.append(True), done("a", 1), Ended("a")], "b": [Ended("b")]}
    )
    reported: list[Update] = []
    run_on_cluster(cluster, ["a", "b"], reported.append, lambda: bool(stopped))
    assert cluster.is_stopped
    assert reported == [done("a", 1)]


def test_tasks_that_do_not_end_are_not_waited_for_forever(monkeypatch):
    """A cluster without machines keeps tasks queued; Ctrl-C must end the job all the same."""
    monkeypatch.setattr(distributed, "PATIENCE_S", 0.05)
    cluster = FakeCluster({"a": [lambda: time.sleep(0.01)] * 1000})
    began = time.monotonic()
    run_on_cluster(cluster, ["a"], lambda _: None, lambda: True)
    cluster = FakeCluster({"a": [Ended("a", "lost", 1)], "b": [lambda: time.sleep(0.01)] * 1000})
    cluster.begun.append("b")
    with pytest.raises(PipelineError, match="lost"):
        run_on_cluster(cluster, ["a", "b"], lambda _: None, lambda: False)
    assert time.monotonic() - began < 60


def test_a_recording_that_is_reported_again_counts_once():
    """The second run of a task finds in the dataset what the first had done."""
    progress = JobProgress(2, 20.0, {"x": 10.0, "y": 10.0})
    for update in (
        Update("begun", "a", "x"),
        Update("frames", "a", "x", 10.0, 250),
        Update("done", "a", "x"),
        Update("frames", "a", "y", 4.0, 100),
        Update("kept", "a", "x"),
        Update("begun", "a", "y"),
        Update("frames", "a", "y", 10.0, 250),
        Update("done", "a", "y"),
    ):
        progress.add(update)
    assert (progress.files_done, progress.files_kept, progress.done_s) == (2, 0, 20.0)


class _Job:
    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def check_machine(self, camera: str) -> None: ...

    def run(self, camera, report, is_stopped) -> None:
        if self._error:
            raise self._error

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("error", "text", "exit_code"),
    [
        (None, "", 0),
        (UsageError("wrong"), "wrong", 2),
        (StageError("broken"), "broken", 1),
        (ZeroDivisionError("by zero"), "camera a: ZeroDivisionError", 1),
    ],
)
def test_how_a_task_ends_is_plain_data(error, text, exit_code):
    ended = process_camera(lambda: _Job(error), "a", lambda _: None, lambda: False)
    assert text in ended.error
    assert ended.exit_code == exit_code


@pytest.mark.parametrize(
    ("asked", "machines", "cameras", "wants_gpu", "expected"),
    [
        (TaskShare(), [(16, 0)] * 3, 100, False, (4, 0)),
        (TaskShare(), [(16, 0)] * 3, 4, False, (12, 0)),
        (TaskShare(), [(16, 0)] * 3, 1, False, (16, 0)),
        (TaskShare(), [(2, 0)], 9, False, (2, 0)),
        (TaskShare(1), [(0, 0), (2, 0)], 9, False, (1, 0)),
        (TaskShare(), [(16, 0), (32, 8)], 100, True, (4, 1)),
        (TaskShare(), [(16, 0), (32, 8)], 100, False, (4, 0)),
        (TaskShare(gpus=0.25), [(16, 1)], 100, True, (4, 0.25)),
        (TaskShare(cpus=6, gpus=0.5), [(16, 1)], 100, False, (6, 0.5)),
    ],
)
def test_what_a_task_asks_for(asked, machines, cameras, wants_gpu, expected):
    assert share_for(asked, machines, cameras, wants_gpu=wants_gpu) == expected


@pytest.mark.parametrize(
    ("asked", "machines", "why"),
    [
        (TaskShare(), [(0, 0)], "no machine with a core"),
        (TaskShare(cpus=8), [(4, 0)], "at most 4"),
        (TaskShare(gpus=1), [(4, 0)], "has 1 GPUs"),
    ],
)
def test_what_no_machine_has_is_refused(asked, machines, why):
    """Ray would wait for such a machine forever."""
    with pytest.raises(UsageError, match=why):
        share_for(asked, machines, 5, wants_gpu=False)


@pytest.mark.parametrize("share", [{"cpus": 0}, {"gpus": -1.0}])
def test_useless_shares_are_refused(share):
    with pytest.raises(ConfigError, match="--task-"):
        TaskShare(**share)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"ray": "auto", "workers": 2}, "exclude each other"),
        ({"task_cpus": 2}, "go with --ray"),
        ({"task_gpus": 0.5}, "go with --ray"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, why):
    with pytest.raises(UsageError, match=why):
        BatchOptions(paths=("x",), dataset=Path("y"), **options)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system binds no cores")
def test_tasks_of_a_machine_have_cores_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("one core")
    seen: list[set[int]] = []
    locks: list[Callable[[], None] | None] = []

    def take() -> None:  # cores are a thread's
        locks.append(own_cores(1))
        seen.append(os.sched_getaffinity(0))

    for _ in range(len(before) + 1):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    assert set().union(*seen[:-1]) == before
    assert all(len(each) == 1 for each in seen[:-1])
    assert locks[-1] is None, "all are taken"
    assert seen[-1] == before
    for unlock in locks[:-1]:
        assert unlock is not None
        unlock()
    assert own_cores(len(before)) is None


# -- with Ray -------------------------------------------------------------------------------------


@pytest.fixture
def ray(monkeypatch) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("ray", reason="needs ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:10001", "nowhere", "host:0"])
def test_a_cluster_that_is_not_there_is_one_line(address, ray, tmp_path):
    lay_out(tmp_path, count=1)
    with pytest.raises(UsageError, match="--ray: cannot connect") as caught:
        job(tmp_path, ray=address)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_machine_that_is_lost_in_the_middle_changes_nothing(ray, tmp_path):
    """Two machines, one killed while it works on a camera: the rows of a job without it."""
    from ray.cluster_utils import Cluster

    for camera in ("door", "gate", "yard"):
        lay_out(tmp_path, camera, count=8)
    job(tmp_path)
    quick = {
        "health_check_initial_delay_ms": 1000,
        "health_check_period_ms": 500,
        "health_check_timeout_ms": 3000,
        "health_check_failure_threshold": 3,
    }
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": quick},
    )
    machines = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
    began: set[str] = set()
    left: list[int] = []

    def kill(update: Update) -> None:
        began.add(update.camera)
        if len(began) >= 2 and not left:
            cluster.remove_node(machines.pop(), allow_graceful=False)
            left.append(24 - len([*(tmp_path / "lost/manifest").glob("*.json")]))

    try:
        progress = job(
            tmp_path, "lost", ray=cluster.address, task_cpus=1, on_update=kill, checkpoint_s=0.0
        )
    finally:
        cluster.shutdown()
    assert left, "a machine was killed"
    assert left[0] > 0, "and there was more to do"
    assert (progress.files_done, progress.failures) == (24, {})
    assert rows(tmp_path, "lost") == rows(tmp_path)
    assert not [*(tmp_path / "lost/.work").glob("*/*")]


def test_the_table_of_the_documentation_is_what_the_simulation_prints():
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/scale_simulation.py")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    page = (ROOT / "docs/scale.md").read_text("utf-8")
    table, rest = done.stdout.strip().split("\n\n")[1:]
    assert table in page
    assert rest in page
