"""`trackline batch` as a command: exit codes, lines, signals and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.batch_jobs import job, lay_out, rows
from support.paths import ROOT

from pipeline.cli.main import main

pytest.importorskip("pyarrow")


def words(root: Path, *more: str, dataset: str = "dataset") -> list[str]:
    detections = ["--detections", str(root / "det")]
    return ["batch", str(root / "videos"), "-o", str(root / dataset), *detections, *more]


def is_running(pid: int) -> bool:
    """Return whether there is such a process; one that ended may still wait for its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def workers_of(pid: int) -> list[int]:
    """The processes that a process has spawned."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_it_says_what_was_done_and_what_could_not_be_read(tmp_path, capfd):
    paths = lay_out(tmp_path, count=3)
    paths[1].write_bytes(b"")
    assert main(words(tmp_path)) == 1
    said, errors = capfd.readouterr()
    assert said.startswith("3 of 3 files, 1 failed; 50 frames in 0:00:")
    assert f"written to {tmp_path / 'dataset'}" in said
    shown = "".join(errors.split())
    assert shown.count("".join(f"{paths[1]}: the file is empty; set aside".split())) == 1
    assert (said + errors).count("the file is empty") == 1, "each file was reported twice"


@pytest.mark.slow
def test_a_rerun_of_a_finished_dataset_is_a_success(tmp_path, capfd):
    """One bad file made each of a nightly job's runs exit with 1 for ever."""
    paths = lay_out(tmp_path, count=3)
    paths[1].write_bytes(b"")
    main(words(tmp_path))
    capfd.readouterr()
    assert main(words(tmp_path)) == 0
    said, errors = capfd.readouterr()
    where = tmp_path / "dataset"
    assert (
        said
        == f"nothing new: 3 files are in {where}; 1 file set aside earlier: see its table videos\n"
    )
    assert errors == ""
    lay_out(tmp_path, "yard", count=1)
    assert main(words(tmp_path)) == 0
    assert "4 of 4 files, 3 of them before, 1 file set aside earlier; 25 " in capfd.readouterr().out
    (tmp_path / "videos/yard/bad.mp4").write_bytes(b"no video")
    assert main(words(tmp_path)) == 1, "this one is new"


@pytest.mark.slow
def test_videos_of_what_was_done_before_are_not_made(tmp_path, capfd):
    """`--save video` on a finished dataset wrote nothing and said nothing."""
    lay_out(tmp_path, count=2)
    assert main(words(tmp_path)) == 0
    assert "annotated" not in capfd.readouterr().err
    assert main(words(tmp_path, "--save", "video")) == 0
    said = capfd.readouterr().err
    assert "have no annotated video (2); --fresh makes them" in " ".join(said.split())


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--set", "tracker.max_age_s=2"], "tracker.max_age_s was 1.5 by default, is 2.0"),
        (["--group-by", "("], "--group-by: not a regular expression"),
        (["--save", "csv"], "--save: unknown kind 'csv'"),
        (["--max-seam", "-1"], "--max-seam: want 0 to 3600 seconds"),
        (["--tracker", "nothing"], "unknown"),
        (["--zones", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
@pytest.mark.slow
def test_a_mistake_is_one_line_and_touches_nothing(more, line, tmp_path, capfd):
    lay_out(tmp_path, count=1)
    assert main(words(tmp_path)) == 0
    before = rows(tmp_path)
    capfd.readouterr()
    assert main(words(tmp_path, *more)) == 2
    said, errors = capfd.readouterr()
    assert (said, errors.count("\n")) == ("", 1)
    assert line in errors
    assert rows(tmp_path) == before


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--detections", "/nowhere"], "/nowhere"),
        (["--model", "nonsense"], "unknown name 'nonsense'"),
        (["--model", "builtin", "--classes", "zebra"], "no class 'zebra'"),
        (["--model", "builtin", "--classes", "zebra", "--workers", "2"], "no class 'zebra'"),
        (["--zones", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
@pytest.mark.slow
def test_mistakes_in_options_are_found_before_files_are_searched_for(more, line, tmp_path, capfd):
    """A wrong name of a model was said after all files of a large disk had been looked at."""
    words = ["batch", str(tmp_path / "nowhere"), "-o", str(tmp_path / "dataset"), *more]
    assert main(words) == 2
    errors = capfd.readouterr().err
    assert line in errors
    assert "no such file or folder" not in errors
    assert not (tmp_path / "dataset").exists()


class LongJob:
    """A job over two cameras as a command, into a dataset of its own."""

    def __init__(self, root: Path, dataset: str) -> None:
        self.root, self.dataset = root, dataset
        self.process: subprocess.Popen[str]

    def words(self, *more: str) -> list[str]:
        return words(self.root, *more, dataset=self.dataset)

    def start(self, workers: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pipeline", *self.words("--workers", str(workers))]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return self.process

    def wait_for_manifests(self, count: int) -> None:
        while self.process.poll() is None:
            if len([*(self.root / self.dataset / "manifest").glob("*.json")]) >= count:
                return
            time.sleep(0.005)

    def is_as_if_never_interrupted(self) -> bool:
        return rows(self.root, self.dataset) == rows(self.root, "whole")


@pytest.fixture(scope="module")
def long_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cameras, and the dataset `whole` of an uninterrupted job."""
    root = tmp_path_factory.mktemp("scene")
    lay_out(root, "door", count=6)
    lay_out(root, "yard", count=6)
    job(root, "whole", timezone=None)
    return root


@pytest.fixture
def long_job(long_scene: Path, tmp_path: Path) -> LongJob:
    return LongJob(long_scene, f"dataset of {tmp_path.name}")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_a_signal_ends_it_in_order(number, workers, long_job):
    process = long_job.start(workers)
    long_job.wait_for_manifests(2)
    process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in errors
    assert "of 12 files" in said
    assert main(long_job.words()) == 0
    assert long_job.is_as_if_never_interrupted()


@pytest.mark.slow
def test_killed_with_its_workers_it_goes_on(long_job):
    """The workers notice that the main process is gone, and end."""
    process = long_job.start(2)
    long_job.wait_for_manifests(3)
    workers = workers_of(process.pid)
    process.kill()
    process.communicate()
    while any(is_running(pid) for pid in workers):  # a time limit ends the test
        time.sleep(0.01)
    assert main(long_job.words()) == 0
    assert long_job.is_as_if_never_interrupted()


@pytest.mark.slow
def test_a_killed_worker_ends_the_job_with_a_line(long_job):
    process = long_job.start(2)
    long_job.wait_for_manifests(3)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "ended by SIGKILL; the same command goes on" in errors
    assert main(long_job.words()) == 0
    assert long_job.is_as_if_never_interrupted()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "when"), [(signal.SIGTERM, "it works"), (signal.SIGINT, "it imports libraries")]
)
def test_a_signal_to_one_worker_does_not_end_the_job(number, when, long_job):
    """One worker that got SIGTERM stopped them all, and the unfinished job ended with code 0. One
    that still imported ended with a traceback."""
    process = long_job.start(2)
    if when == "it works":
        long_job.wait_for_manifests(2)
    else:
        while process.poll() is None and len(workers_of(process.pid)) < 2:
            time.sleep(0.02)  # each look costs as much
    for worker in workers_of(process.pid):
        os.kill(worker, number)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "12 of 12 files" in said
    assert long_job.is_as_if_never_interrupted()


@pytest.mark.slow
def test_a_failure_in_a_worker_is_the_commands(tmp_path):
    """Detections of one recording are missing: the line says which, and no traceback is shown."""
    lay_out(tmp_path, "door", count=2)
    lay_out(tmp_path, "yard", count=1)
    for path in (tmp_path / "det").glob("yard*"):
        path.unlink()
    process = LongJob(tmp_path, "dataset").start(2)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "no detections for source 'yard_" in errors
    assert "Traceback" not in errors
