"""Downloads against a server on loopback that breaks off, stalls, lies and comes back."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from http_server import (
    Site,
    announcing,
    chunked,
    chunked_cut,
    cut,
    other_range,
    page,
    redirect,
    reset,
    running,
    stalled,
    status,
)

from pipeline.errors import ModelError
from pipeline.models.download import Patience, Wanted, download, shown
from pipeline.models.structure import why_not_weights
from pipeline.models.transfer import CHUNK, redirect_allowed

IMPATIENT = Patience(timeout_s=0.3, tries=3, pause_s=0.01)


def onnx_like(size: int) -> bytes:
    """Bytes with the outer shape of an ONNX file: a version, then one field that fills the rest."""
    body = bytes(i * 7 % 251 for i in range(1024)) * (size // 1024)
    length = b""
    rest = len(body)
    while rest >= 0x80:
        length += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return b"\x08\x08" + b"\x3a" + length + bytes([rest]) + body


CONTENT = onnx_like(4 * CHUNK)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = 2 * CHUNK


@pytest.fixture
def site() -> Iterator[Site]:
    with running(Site(CONTENT)) as started:
        yield started


def wanted(site: Site, tmp_path: Path, *, pinned: bool = True) -> Wanted:
    path = tmp_path / "cache" / "net.onnx"
    if pinned:
        return Wanted(f"{site.url}/net.onnx", path, len(CONTENT), SHA256)
    return Wanted(f"{site.url}/net.onnx", path)


def left_over(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()} - {f".{path.name}.lock"}


def test_a_good_download_reports_progress_and_leaves_only_the_file(
    site: Site, tmp_path: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    path = download(wanted(site, tmp_path), lambda *now: seen.append(now), IMPATIENT)
    assert path.read_bytes() == CONTENT
    assert left_over(path) == {"net.onnx"}
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [have for have, _ in seen] == sorted({have for have, _ in seen})


RECOVERS: dict[str, list[Callable[[Any, Site], None]]] = {
    "breaks off once": [cut(HALF)],
    "breaks off twice": [cut(CHUNK), cut(CHUNK)],
    "stalls": [stalled(HALF)],
    "resets the connection": [reset],
    "500 then ok": [status(500), status(503)],
    "redirects": [redirect("/elsewhere/net.onnx")],
    "no length": [chunked],
    "no length, breaks off": [chunked_cut],
    "sends another range": [cut(HALF), other_range],
}


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("case", [*RECOVERS])
def test_a_server_in_trouble_is_tried_again(
    site: Site, tmp_path: Path, case: str, pinned: bool
) -> None:
    site.answers = list(RECOVERS[case])
    path = download(wanted(site, tmp_path, pinned=pinned), patience=IMPATIENT)
    assert path.read_bytes() == CONTENT
    assert left_over(path) == {"net.onnx"}


def test_a_length_that_is_too_long_is_tried_again(site: Site, tmp_path: Path) -> None:
    """Only where the right length is not known; where it is, the wrong one is an error at once."""
    site.answers = [announcing(len(CONTENT) + 100), announcing(len(CONTENT))]
    site.etag = None
    path = download(wanted(site, tmp_path, pinned=False), patience=IMPATIENT)
    assert path.read_bytes() == CONTENT


def test_a_length_that_is_too_short_is_noticed(site: Site, tmp_path: Path) -> None:
    """A client that believes a short Content-Length takes half a file for the whole."""
    site.answers = [announcing(HALF)]
    want = wanted(site, tmp_path, pinned=False)
    with pytest.raises(ModelError, match=r"no whole \.onnx"):
        download(want, patience=IMPATIENT)
    assert left_over(want.path) == set()


FAILS: dict[str, tuple[list[Callable[[Any, Site], None]], str]] = {
    "404": ([status(404)], "answers 404"),
    "403": ([status(403)], "answers 403"),
    "500 for ever": ([status(500)] * 3, "answers 500"),
    "silent for ever": ([stalled(0)] * 3, "silent for 0.3 s"),
    "resets for ever": ([reset] * 3, "connection|answer is broken"),
    "web page": ([page("text/html; charset=utf-8")], "web page"),
    "web page under another type": ([page("application/octet-stream")] * 3, "42 bytes|web page"),
    "wrong length": ([announcing(len(CONTENT) + 1)], f"want {len(CONTENT)}"),
    "shorter length": ([announcing(HALF)], f"want {len(CONTENT)}"),
    "redirect to a file": ([redirect("file:///etc/hostname")], "not allowed"),
    "redirect without end": ([redirect("/net.onnx")] * 20, "answers 302"),
}


@pytest.mark.parametrize("case", [*FAILS])
def test_a_hopeless_server_is_one_line_with_the_way_by_hand(
    site: Site, tmp_path: Path, case: str
) -> None:
    site.answers, says = list(FAILS[case][0]), FAILS[case][1]
    want = wanted(site, tmp_path)
    with pytest.raises(ModelError, match=says) as raised:
        download(want, patience=IMPATIENT)
    message = str(raised.value)
    assert "\n" not in message
    assert message.endswith(f"put the file by hand at {want.path}")
    assert not want.path.exists()


def test_wrong_content_is_removed_altogether(site: Site, tmp_path: Path) -> None:
    """A file of the right length with other bytes must not be resumed or used later."""
    site.content = CONTENT[:-1] + b"\0"
    want = wanted(site, tmp_path)
    with pytest.raises(ModelError, match="SHA-256"):
        download(want, patience=IMPATIENT)
    assert left_over(want.path) == set()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (CONTENT[:HALF], "no whole .onnx"),
        (b"<html>not found</html>", "web page"),
        (b'{"message": "not found"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"", "empty"),
    ],
)
def test_unknown_files_are_checked_by_structure(
    site: Site, tmp_path: Path, content: bytes, says: str
) -> None:
    site.content = content
    want = wanted(site, tmp_path, pinned=False)
    with pytest.raises(ModelError, match=says):
        download(want, patience=IMPATIENT)
    assert left_over(want.path) == set()


def test_the_next_run_resumes(site: Site, tmp_path: Path) -> None:
    """What a first run got before it gave up is not fetched again by the second."""
    want = wanted(site, tmp_path)
    site.answers = [cut(HALF), status(404)]
    with pytest.raises(ModelError):
        download(want, patience=IMPATIENT)
    assert left_over(want.path) == {"net.onnx.part", "net.onnx.part.tag"}
    site.requests.clear()
    assert download(want, patience=IMPATIENT).read_bytes() == CONTENT
    assert site.requests[0]["Range"] == f"bytes={HALF}-"
    assert site.requests[0]["If-Range"] == '"one"'


def test_a_file_that_changed_meanwhile_is_fetched_whole(site: Site, tmp_path: Path) -> None:
    """Two halves of two versions must never become one file."""
    want = wanted(site, tmp_path, pinned=False)
    site.answers = [cut(HALF), status(404)]
    with pytest.raises(ModelError):
        download(want, patience=IMPATIENT)
    site.content, site.etag = onnx_like(8 * CHUNK), '"two"'
    assert download(want, patience=IMPATIENT).read_bytes() == site.content


def test_halves_of_two_versions_without_validator_are_noticed_by_the_hash(
    site: Site, tmp_path: Path
) -> None:
    """No ETag, so the range is served; the SHA-256 is wrong and a whole download puts it right."""
    want = wanted(site, tmp_path)
    site.etag = None
    want.path.parent.mkdir(parents=True)
    want.path.with_name("net.onnx.part").write_bytes(b"x" * HALF)
    assert download(want, patience=IMPATIENT).read_bytes() == CONTENT
    assert [("Range" in request) for request in site.requests] == [True, False]


def test_without_validator_or_hash_nothing_is_resumed(site: Site, tmp_path: Path) -> None:
    site.etag = None
    site.answers = [cut(HALF)]
    download(wanted(site, tmp_path, pinned=False), patience=IMPATIENT)
    assert not any("Range" in request for request in site.requests)


def test_a_server_without_ranges_sends_it_all_again(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    site.answers = [cut(HALF)]
    assert download(wanted(site, tmp_path), patience=IMPATIENT).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(site: Site, tmp_path: Path) -> None:
    want = wanted(site, tmp_path)
    want.path.parent.mkdir(parents=True)
    want.path.with_name("net.onnx.part").write_bytes(CONTENT + b"more")
    assert download(want, patience=IMPATIENT).read_bytes() == CONTENT


def test_a_whole_part_needs_no_server(tmp_path: Path) -> None:
    """A crash between the last byte and the rename costs no second download."""
    want = Wanted("http://127.0.0.1:9/net.onnx", tmp_path / "net.onnx", len(CONTENT), SHA256)
    want.path.with_name("net.onnx.part").write_bytes(CONTENT)
    assert download(want, patience=IMPATIENT).read_bytes() == CONTENT


def test_nobody_listens(tmp_path: Path) -> None:
    want = Wanted("http://127.0.0.1:9/net.onnx?key=secret", tmp_path / "net.onnx")
    with pytest.raises(ModelError, match="connection failed") as raised:
        download(want, patience=IMPATIENT)
    assert "secret" not in str(raised.value)


def test_a_file_in_the_way_of_the_cache_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        download(Wanted("http://127.0.0.1:9/a.onnx", tmp_path / "cache" / "a.onnx"))


def test_two_threads_fetch_once(site: Site, tmp_path: Path) -> None:
    want = wanted(site, tmp_path)
    site.answers = [stalled(HALF)]
    results: list[bytes] = []
    threads = [
        threading.Thread(
            target=lambda: results.append(download(want, patience=IMPATIENT).read_bytes())
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 3
    assert len(site.requests) == 2  # the stalled one and its continuation


def test_two_processes_fetch_once(site: Site, tmp_path: Path) -> None:
    want = wanted(site, tmp_path)
    site.answers = [stalled(HALF)]
    program = (
        "import sys; from pathlib import Path;"
        "from pipeline.models.download import *;"
        "download(Wanted(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]),"
        "patience=Patience(1.0, 3, 0.01))"
    )
    arguments = [want.url, str(want.path), str(want.size), str(want.sha256)]
    runs = [subprocess.Popen([sys.executable, "-c", program, *arguments]) for _ in range(2)]
    assert [run.wait(60) for run in runs] == [0, 0]
    assert want.path.read_bytes() == CONTENT
    assert len(site.requests) == 2
    assert left_over(want.path) == {"net.onnx"}


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ("http://a/x", "https://b/x", True),
        ("https://a/x", "https://b/x", True),
        ("http://a/x", "http://b/x", True),
        ("https://a/x", "http://b/x", False),
        ("https://a/x", "ftp://b/x", False),
        ("http://a/x", "file:///etc/passwd", False),
    ],
)
def test_a_redirect_never_leaves_https(old: str, new: str, allowed: bool) -> None:
    assert redirect_allowed(old, new) is allowed


def test_addresses_are_shown_without_secrets() -> None:
    assert shown("https://me:pw@host:8/a.onnx?token=x#sha256=y") == "https://host:8/a.onnx"


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", ["yolo11n.onnx", "yolo11n.pt", "yolox_nano_416.onnx"])
def test_real_weights_pass_and_cut_ones_do_not(shared: Path, tmp_path: Path, name: str) -> None:
    """The structure check must know the files people really have, whole from cut."""
    whole = shared / "models" / name
    assert why_not_weights(whole, whole.suffix) is None
    content = whole.read_bytes()
    for part in (0.1, 0.5, 0.999):
        (tmp_path / name).write_bytes(content[: int(len(content) * part)])
        assert why_not_weights(tmp_path / name, whole.suffix) is not None
