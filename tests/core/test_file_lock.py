"""The lock file of an output folder: one process at a time, named in the refusal."""

import multiprocessing
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.core.file_lock import LockHeldError, lock_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a locked file cannot be read here")

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.core.file_lock import lock_file
release = lock_file(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(60)
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Return another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_the_file_names_its_process_and_goes_with_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    release = lock_file(path)
    pid, since, host = path.read_text().split()
    assert (int(pid), host) == (os.getpid(), platform.node())
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(LockHeldError) as caught:
        lock_file(path)
    assert caught.value.holder == f"process {pid} on {host} since {since}", "NFS: on which machine?"
    thread = threading.Thread(target=release)  # the thread that ends a run is not always its first
    thread.start()
    thread.join()
    assert not path.exists()
    lock_file(path)()
    assert not path.exists()


@pytest.mark.slow
def test_a_killed_process_leaves_a_lock_that_the_next_one_takes(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    process = holder(path)
    with pytest.raises(LockHeldError) as caught:
        lock_file(path)
    assert caught.value.pid == process.pid
    assert path.read_text().startswith(f"{process.pid} ")
    process.kill()
    process.communicate()
    assert path.exists()
    release = lock_file(path)
    assert path.read_text().startswith(f"{os.getpid()} ")
    release()


@pytest.mark.parametrize("text", ["", "no number", "\udcff"])
def test_a_pid_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.lock"
    release = lock_file(path)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(LockHeldError) as caught:
        lock_file(path)
    assert caught.value.pid is None
    release()


def test_a_forked_child_neither_holds_nor_releases_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    release = lock_file(path)
    child = multiprocessing.get_context("fork").Process(target=release)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert path.exists()
    with pytest.raises(LockHeldError):
        lock_file(path)
    release()
    assert not path.exists()


@pytest.mark.parametrize("where", ["", "missing/x.lock"])
def test_what_cannot_be_made_is_an_error(tmp_path: Path, where: str) -> None:
    with pytest.raises(OSError, match=r"directory"):
        lock_file(tmp_path / where)
    assert list(tmp_path.iterdir()) == []
