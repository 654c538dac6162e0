"""A dataset in an object store: the rows of a local one, each segment once, one job at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.batch_jobs import Killed, job, lay_out
from support.batch_jobs import rows as batch_rows
from support.dataset_results import moving, segment, write_all
from support.remote_stores import memory_store, new_bucket, s3_server

from pipeline.archive.dataset.files import files_below, names_in, put_bytes, read_text, work_root
from pipeline.archive.dataset.header import dataset_job
from pipeline.archive.dataset.layout import read_manifest, read_manifests
from pipeline.archive.dataset.lease import is_lease
from pipeline.archive.dataset.reader import open_dataset
from pipeline.archive.dataset.schema import TABLES
from pipeline.archive.dataset.writer import SegmentWriter
from pipeline.archive.remote import file_system, is_address, is_remote, place_of
from pipeline.core.errors import MissingExtraError, OutputError, UsageError

pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")
pytest.importorskip("upath")

OPTIONS = {"tracker": "sort"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture(params=["memory", "s3"])
def place(request) -> Iterator[Path]:
    if request.param == "s3":
        request.getfixturevalue("server")
        yield place_of(f"{new_bucket()}/job/set")
        return
    with memory_store() as address:
        yield place_of(f"{address}/job/set")


@pytest.fixture
def memory(own_cache) -> Iterator[Path]:
    with memory_store() as address:
        yield place_of(f"{address}/set")


def rows(dataset: Path | str) -> dict[str, list[dict[str, Any]]]:
    opened = open_dataset(dataset)
    return {name: opened.table(name).to_pylist() for name in TABLES}


def leases(dataset: Path) -> list[str]:
    return [*filter(is_lease, names_in(dataset))]


def writer_of(dataset: Path, number: int = 0, *, frames: int = 5) -> SegmentWriter:
    writer = SegmentWriter(dataset, segment(number, frames))
    for index in range(frames):
        writer.add(moving(index))
    return writer


@pytest.mark.slow
def test_it_holds_the_rows_of_a_local_one(place, tmp_path):
    assert len([*write_all(tmp_path / "local", 2, 20)]) == len([*write_all(place, 2, 20)])
    assert rows(place) == rows(str(place)) == rows(tmp_path / "local")
    assert not names_in(work_root(place))
    assert not leases(place)
    assert len(files_below(place / "tracks")) == 2


@pytest.mark.slow
def test_stopped_anywhere_it_goes_on(memory, tmp_path):
    """Checkpoints are on this machine, commits in the store."""
    [*write_all(tmp_path / "local", 2, 20)]
    for _ in range(20):
        job = write_all(memory, 2, 20)
        if next(job, None) is None:
            break
        job.close()
    assert rows(memory) == rows(tmp_path / "local")


@pytest.mark.slow
def test_before_its_manifest_a_segment_is_not_there(place, monkeypatch):
    """A reader sees the dataset as it was; what a lost attempt left is removed with the job."""
    with dataset_job(place, OPTIONS):
        writer = writer_of(place)
        monkeypatch.setattr("pipeline.archive.dataset.writer.write_manifest", refuse)
        with pytest.raises(OutputError, match="cannot be written: no"):
            writer.commit({})
        monkeypatch.undo()
        assert files_below(place / "tracks")
        assert open_dataset(place).table("tracks").num_rows == 0
        writer_of(place).commit({})
        assert len(files_below(place / "tracks")) == 2
    assert len(files_below(place / "tracks")) == 1
    assert open_dataset(place).table("tracks").num_rows == 15


def refuse(*_: Any, **__: Any) -> None:
    raise OSError(5, "no")


@pytest.mark.slow
def test_of_two_attempts_the_first_counts(place, tmp_path, monkeypatch):
    """A machine that was taken for lost commits after its successor."""
    with dataset_job(place, OPTIONS):
        lost = writer_of(place)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
        successor = writer_of(place)
        kept = successor.commit({"width": 1})
        assert lost.commit({"width": 2}) == kept == read_manifest(place, kept.segment)
        assert [*files_below(place / "videos")] == [
            kept.parts["videos"].path.removeprefix("videos/")
        ]
        assert [row["width"] for row in open_dataset(place).videos()] == [1]


@pytest.mark.slow
def test_a_batch_job_into_a_store_goes_on_where_it_was_killed(memory, tmp_path):
    lay_out(tmp_path, count=3)
    job(tmp_path)

    def die(update) -> None:
        if update.kind == "done":
            raise Killed

    for _ in range(3):
        with pytest.raises(Killed):
            job(tmp_path, memory, on_update=die)
    assert job(tmp_path, memory).files_kept == 3
    assert batch_rows(tmp_path, memory) == batch_rows(tmp_path)


def test_a_web_server_cannot_be_written_to(tmp_path):
    lay_out(tmp_path, count=1)
    with pytest.raises(OutputError, match="a web server cannot be written to"):
        job(tmp_path, place_of("http://127.0.0.1:1/set"))


def test_manifests_of_one_camera_are_read_alone(memory):
    with dataset_job(memory, OPTIONS):
        for camera in ("yard", "yard-2", "door"):
            SegmentWriter(memory, segment(0, 5, camera)).commit({})
    assert len(read_manifests(memory)) == 3
    assert [each.camera for each in read_manifests(memory, "yard").values()] == ["yard"]


@pytest.mark.slow
def test_one_job_at_a_time(place):
    with (
        dataset_job(place, OPTIONS),
        pytest.raises(OutputError, match=r"another job \(process \d+ on "),
        dataset_job(place, OPTIONS),
    ):
        pass
    with dataset_job(place, OPTIONS):
        assert len(leases(place)) == 1


@pytest.mark.parametrize(
    ("lock", "is_free"),
    [
        ({"host": "elsewhere", "pid": 1, "until": 1e12}, False),
        ({"host": "elsewhere", "pid": 1, "until": 1.0}, True),
        ({"host": None, "pid": 2**22 + 1, "until": 1e12}, True),
        ("cut of", True),
    ],
    ids=["held elsewhere", "not renewed", "killed on this machine", "damaged"],
)
def test_a_lock_that_was_left_behind(memory, lock, is_free):
    import platform

    if isinstance(lock, dict) and lock["host"] is None:
        lock = {**lock, "host": platform.node()}
    put_bytes(memory / ".lock-000007", json.dumps(lock).encode())
    if not is_free:
        with pytest.raises(OutputError, match="process 1 on elsewhere"), dataset_job(memory, {}):
            pass
        return
    with dataset_job(memory, {}):
        assert leases(memory) == [".lock-000008"]


@pytest.mark.slow
def test_a_lock_is_renewed_and_its_loss_is_noticed(memory, monkeypatch):
    monkeypatch.setattr("pipeline.archive.dataset.lease.RENEW_S", 0.01)

    def until(name: str) -> float:
        return float(json.loads(read_text(memory / name))["until"])

    def lose() -> None:
        with dataset_job(memory, {}):
            (own,) = leases(memory)
            first = until(own)
            deadline = time.monotonic() + 30
            while until(own) == first and time.monotonic() < deadline:
                time.sleep(0.01)
            assert until(own) > first
            put_bytes(memory / ".lock-000099", b"{}")
            time.sleep(0.3)

    with pytest.raises(OutputError, match="another job took it"):
        lose()


def test_other_options_are_refused_and_fresh_starts_over(memory):
    with dataset_job(memory, OPTIONS):
        writer_of(memory).commit({})
    with pytest.raises(UsageError, match="tracker was"), dataset_job(memory, {"tracker": "x"}):
        pass
    with dataset_job(memory, {"tracker": "x"}, fresh=True):
        assert not read_manifests(memory)
        assert not files_below(memory / "tracks")


def test_other_files_are_left_alone(memory):
    put_bytes(memory / "photo.jpg", b"x")
    with (
        pytest.raises(OutputError, match=r"holds other files \(photo.jpg\)"),
        dataset_job(memory, {}),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/x", True),
        ("https://host/x.mp4", True),
        ("file:///tmp/x", False),
        ("/tmp/x", False),
        ("12:30.mp4", False),
    ],
)
def test_what_is_an_address(text, expected, tmp_path):
    assert is_address(text) is expected
    if not expected:
        assert not is_remote(place_of(text))


@pytest.mark.parametrize(
    ("address", "error", "why"),
    [
        ("nosuch://user:secret@place/x", UsageError, "nosuch"),
        ("rtsp://user:secret@camera/x", UsageError, "is a camera"),
        ("libarchive://secret@x", MissingExtraError, "one more package"),
    ],
)
@pytest.mark.slow
def test_stores_that_cannot_be_opened_are_one_line_without_secrets(address, error, why):
    with pytest.raises(error, match=why) as caught:
        file_system(address)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
