"""Recordings in a store and on a web server: the rows of local ones, read once, no secrets kept."""

from __future__ import annotations

import functools
import pickle
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.batch_jobs import job, lay_out, record, rows
from support.remote_stores import memory_store, new_bucket, s3_server

from pipeline.archive.batch.remote_files import fetch, list_remote
from pipeline.archive.remote import place_of
from pipeline.core.errors import SourceError, StageError, UsageError

pytest.importorskip("pyarrow")
fsspec = pytest.importorskip("fsspec")
pytest.importorskip("upath")
pytest.importorskip("aiohttp")


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def store() -> Iterator[str]:
    with memory_store() as address:
        yield address


class _Handler(SimpleHTTPRequestHandler):
    """Serves files, with Last-Modified and without Range; `problems` are answered first."""

    problems: ClassVar[list[int]] = []
    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.paths.append(self.path)
        if self.problems:
            self.send_error(self.problems.pop())
            return
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def web_server(folder: Path) -> Iterator[tuple[str, type[_Handler]]]:
    handler = type("Handler", (_Handler,), {"problems": [], "paths": []})
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def upload(videos: Path, address: str) -> None:
    fs, path = fsspec.core.url_to_fs(address, use_listings_cache=False)
    for file in videos.rglob("*.*"):
        fs.pipe_file(f"{path}/{file.relative_to(videos).as_posix()}", file.read_bytes())


def portable(root: Path, dataset: str = "dataset") -> dict[str, list[Any]]:
    """The rows without where the recordings lie, and what depends on it."""
    found = rows(root, dataset)
    names = {row["segment"]: Path(row["path"]).stem for row in found["videos"]}
    for row in (row for table in found.values() for row in table):
        for key in ("segment", "first_segment", "last_segment", "continues"):
            if row.get(key):
                row[key] = names[row[key]]
        for key in ("path", "file"):
            if row.get(key):
                row[key] = Path(row[key]).name
        for key in ("hash", "reason"):
            row.pop(key, None)
    return {name: sorted(table, key=str) for name, table in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_a_folder_in_a_store_gives_the_rows_of_a_local_one(kind, store, tmp_path):
    lay_out(tmp_path, "door", count=3)
    lay_out(tmp_path, "yard", count=1)
    (tmp_path / "videos/door/readme.txt").write_text("no video")
    (tmp_path / "videos/door/.hidden.mp4").write_bytes(b"x")
    job(tmp_path)
    with s3_server() if kind == "s3" else memory_store() as address:
        place = f"{new_bucket() if kind == 's3' else address}/videos"
        upload(tmp_path / "videos", place)
        assert job(tmp_path, "remote", paths=(place,)).files_done == 4
        assert portable(tmp_path, "remote") == portable(tmp_path)
        paths = {row["path"] for row in rows(tmp_path, "remote")["videos"]}
        assert f"{place}/door/door_20240102_030402.mp4" in paths
        again = job(tmp_path, "remote", paths=(place,))
        assert (again.files_kept, again.frames) == (4, 0)
    assert not [*(tmp_path / "temporary").iterdir()], "copies are removed"


@pytest.mark.slow
def test_what_changed_in_the_store_is_done_anew(store, tmp_path):
    paths = lay_out(tmp_path, count=2)
    upload(tmp_path / "videos", store)
    job(tmp_path, paths=(store,))
    record(tmp_path, "door", paths[1].stem, 200)
    fs, inside = fsspec.core.url_to_fs(store)
    fs.pipe_file(f"{inside}/door/{paths[1].name}", paths[1].read_bytes())
    progress = job(tmp_path, paths=(store,))
    assert (progress.files_kept, progress.files_done) == (1, 2)


@pytest.mark.slow
def test_what_a_job_wrote_into_the_store_is_no_recording(store, tmp_path):
    lay_out(tmp_path, count=1)
    upload(tmp_path / "videos", store)
    dataset = place_of(f"{store}/dataset")
    job(tmp_path, dataset, paths=(store,))
    upload(tmp_path / "videos", f"{store}/dataset/annotated")
    assert job(tmp_path, dataset, paths=(store,)).files == 1


SECRETS = ("hush", "t0ken", "sIgn")


@pytest.mark.slow
def test_recordings_on_a_web_server_and_no_secret_is_kept(tmp_path, caplog):
    """A login and a signature let one in; neither is in the dataset or in a line."""
    paths = lay_out(tmp_path, count=3)
    paths[2].write_bytes(b"no video at all, " * 100)
    job(tmp_path)
    with web_server(tmp_path / "videos") as (host, handler):
        addresses = tuple(
            f"http://user:hush@{host}/door/{path.name}?X-Amz-Signature=sIgn&token=t0ken"
            for path in paths
        )
        progress = job(tmp_path, "web", paths=addresses)
        assert any("sIgn" in path for path in handler.paths), "the server is asked with them"
    assert portable(tmp_path, "web") == portable(tmp_path)
    (reason,) = progress.failures.values()
    assert "not a video" in reason
    kept = b"".join(path.read_bytes() for path in (tmp_path / "web").rglob("*") if path.is_file())
    kept += repr((rows(tmp_path, "web"), progress)).encode() + caplog.text.encode()
    for secret in SECRETS:
        assert secret.encode() not in kept
    assert str(tmp_path / "temporary").encode() not in kept, "nor where copies lay"


@pytest.mark.slow
def test_a_signature_of_another_day_is_the_same_recording(tmp_path):
    (path,) = lay_out(tmp_path, count=1)
    with web_server(tmp_path / "videos") as (host, _):
        address = f"http://{host}/door/{path.name}?Expires=1&Signature="
        job(tmp_path, paths=(f"{address}monday",))
        assert job(tmp_path, paths=(f"{address}tuesday",)).files_kept == 1


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.slow
def test_a_server_that_stumbles_is_asked_again(status, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.archive.batch.remote_files.PAUSE_S", 0.0)
    (path,) = lay_out(tmp_path, count=1)
    with web_server(tmp_path / "videos") as (host, handler):
        (found,) = list_remote(f"http://{host}/door/{path.name}").videos
        handler.problems += [status, status]
        assert fetch(found, tmp_path).read_bytes() == path.read_bytes()
        handler.problems += [status] * 9
        with pytest.raises(StageError, match="cannot be fetched"):
            fetch(found, tmp_path)
        handler.problems.clear()
        path.unlink()
        with pytest.raises(SourceError, match="cannot be read"):
            fetch(found, tmp_path)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("memory://nowhere-at-all/x", "no such file or folder"),
        ("http://user:hush@127.0.0.1:1/x.mp4", "cannot be read"),
        ("rtsp://user:hush@127.0.0.1/x", "is a camera"),
    ],
)
def test_what_is_not_there_is_one_line(address, why, tmp_path):
    lay_out(tmp_path, count=1)
    with pytest.raises(UsageError, match=why) as caught:
        job(tmp_path, paths=(address,))
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_remote_path_keeps_its_address_when_it_goes_to_a_worker(store, tmp_path):
    lay_out(tmp_path, count=1)
    upload(tmp_path / "videos", store)
    (path,) = list_remote(store).videos
    again = pickle.loads(pickle.dumps(path))
    assert (again, again.address, again.size, again.version) == (
        path, path.address, path.size, path.version,
    )  # fmt: skip
    assert str(path) == path.address
    assert path.stem == "door_20240102_030400"
