"""Downloads that are continued, and several at once: never two halves of two files."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.http_server import (
    CONTENT,
    HALF,
    PATIENCE,
    SHA256,
    DownloadServer,
    cut,
    held,
    left_over,
    onnx_like,
    status,
    wanted,
)

from pipeline.core.errors import ModelError
from pipeline.models.download import WeightsDownload, download
from pipeline.models.transfer import CHUNK


def test_the_next_run_resumes(site: DownloadServer, tmp_path: Path) -> None:
    """What a first run got before it gave up is not fetched again by the second."""
    want = wanted(site, tmp_path)
    site.answers = [cut(HALF), status(404)]
    with pytest.raises(ModelError):
        download(want, retry_policy=PATIENCE)
    assert left_over(want.path) == {"net.onnx.part", "net.onnx.part.tag"}
    site.requests.clear()
    assert download(want, retry_policy=PATIENCE).read_bytes() == CONTENT
    assert site.requests[0]["Range"] == f"bytes={HALF}-"
    assert site.requests[0]["If-Range"] == '"one"'


def test_a_file_that_changed_meanwhile_is_fetched_whole(
    site: DownloadServer, tmp_path: Path
) -> None:
    """Two halves of two versions must never become one file."""
    want = wanted(site, tmp_path, pinned=False)
    site.answers = [cut(HALF), status(404)]
    with pytest.raises(ModelError):
        download(want, retry_policy=PATIENCE)
    site.content, site.etag = onnx_like(8 * CHUNK), '"two"'
    assert download(want, retry_policy=PATIENCE).read_bytes() == site.content


def test_halves_of_two_versions_without_validator_are_noticed_by_the_hash(
    site: DownloadServer, tmp_path: Path
) -> None:
    """No ETag, so the range is served; the SHA-256 is wrong and a whole download puts it right."""
    want = wanted(site, tmp_path)
    site.etag = None
    want.path.parent.mkdir(parents=True)
    want.path.with_name("net.onnx.part").write_bytes(b"x" * HALF)
    assert download(want, retry_policy=PATIENCE).read_bytes() == CONTENT
    assert [("Range" in request) for request in site.requests] == [True, False]


def test_without_validator_or_hash_nothing_is_resumed(site: DownloadServer, tmp_path: Path) -> None:
    site.etag = None
    site.answers = [cut(HALF)]
    download(wanted(site, tmp_path, pinned=False), retry_policy=PATIENCE)
    assert not any("Range" in request for request in site.requests)


def test_a_server_without_ranges_sends_it_all_again(site: DownloadServer, tmp_path: Path) -> None:
    site.ranges = False
    site.answers = [cut(HALF)]
    assert download(wanted(site, tmp_path), retry_policy=PATIENCE).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(site: DownloadServer, tmp_path: Path) -> None:
    want = wanted(site, tmp_path)
    want.path.parent.mkdir(parents=True)
    want.path.with_name("net.onnx.part").write_bytes(CONTENT + b"more")
    assert download(want, retry_policy=PATIENCE).read_bytes() == CONTENT


def test_a_whole_part_needs_no_server(tmp_path: Path) -> None:
    """A crash between the last byte and the rename costs no second download."""
    want = WeightsDownload(
        "http://127.0.0.1:9/net.onnx", tmp_path / "net.onnx", len(CONTENT), SHA256
    )
    want.path.with_name("net.onnx.part").write_bytes(CONTENT)
    assert download(want, retry_policy=PATIENCE).read_bytes() == CONTENT


def test_no_listener(tmp_path: Path) -> None:
    want = WeightsDownload("http://127.0.0.1:9/net.onnx?key=secret", tmp_path / "net.onnx")
    with pytest.raises(ModelError, match="connection failed") as raised:
        download(want, retry_policy=PATIENCE)
    assert "secret" not in str(raised.value)


def test_a_file_in_the_way_of_the_cache_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        download(WeightsDownload("http://127.0.0.1:9/a.onnx", tmp_path / "cache" / "a.onnx"))


@pytest.mark.slow
def test_three_threads_fetch_once(site: DownloadServer, tmp_path: Path) -> None:
    want = wanted(site, tmp_path)
    site.answers = [held(HALF)]
    results: list[bytes] = []

    def fetch() -> None:
        results.append(download(want, retry_policy=PATIENCE).read_bytes())

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    let_others_wait(site)
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 3
    assert len(site.requests) == 1


@pytest.mark.slow
def test_two_processes_fetch_once(site: DownloadServer, tmp_path: Path) -> None:
    want = wanted(site, tmp_path)
    site.answers = [held(HALF)]
    program = (
        "import sys; from pathlib import Path;"
        "from pipeline.models.download import *;"
        "download(WeightsDownload(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))"
    )
    arguments = [want.url, str(want.path), str(want.size), str(want.sha256)]
    runs = [subprocess.Popen([sys.executable, "-c", program, *arguments]) for _ in range(2)]
    let_others_wait(site)
    assert [run.wait(120) for run in runs] == [0, 0]
    assert want.path.read_bytes() == CONTENT
    assert len(site.requests) == 1
    assert left_over(want.path) == {"net.onnx"}


def let_others_wait(site: DownloadServer) -> None:
    """Give those that came second time to reach the lock; that they may not have is no failure."""
    while not site.requests:
        time.sleep(0.01)
    time.sleep(0.5)
    site.stop_stalling.set()
