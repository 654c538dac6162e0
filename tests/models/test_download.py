"""Downloads against a server on loopback that breaks off, stalls, lies and comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.http_server import (
    CONTENT,
    HALF,
    PATIENCE,
    DownloadServer,
    announcing,
    chunked,
    chunked_cut,
    cut,
    left_over,
    other_range,
    page,
    redirect,
    reset,
    stalled,
    status,
    wanted,
)

from pipeline.core.errors import ModelError
from pipeline.models.download import RetryPolicy, download, shown
from pipeline.models.file_check import why_not_weights
from pipeline.models.transfer import CHUNK, redirect_allowed


def test_a_good_download_reports_progress_and_leaves_only_the_file(
    site: DownloadServer, tmp_path: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    path = download(wanted(site, tmp_path), lambda *now: seen.append(now), PATIENCE)
    assert path.read_bytes() == CONTENT
    assert left_over(path) == {"net.onnx"}
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [have for have, _ in seen] == sorted({have for have, _ in seen})


RECOVERS: dict[str, list[Callable[[Any, DownloadServer], None]]] = {
    "breaks off once": [cut(HALF)],
    "breaks off twice": [cut(CHUNK), cut(CHUNK)],
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
    site: DownloadServer, tmp_path: Path, case: str, pinned: bool
) -> None:
    site.answers = list(RECOVERS[case])
    path = download(wanted(site, tmp_path, pinned=pinned), retry_policy=PATIENCE)
    assert path.read_bytes() == CONTENT
    assert left_over(path) == {"net.onnx"}


def test_a_length_that_is_too_long_is_tried_again(site: DownloadServer, tmp_path: Path) -> None:
    """Only where the right length is not known; where it is, the wrong one is an error at once."""
    site.answers = [announcing(len(CONTENT) + 100), announcing(len(CONTENT))]
    site.etag = None
    path = download(wanted(site, tmp_path, pinned=False), retry_policy=PATIENCE)
    assert path.read_bytes() == CONTENT


def test_a_length_that_is_too_short_is_noticed(site: DownloadServer, tmp_path: Path) -> None:
    """A client that believes a short Content-Length takes half a file for the whole."""
    site.answers = [announcing(HALF)]
    want = wanted(site, tmp_path, pinned=False)
    with pytest.raises(ModelError, match=r"no whole \.onnx"):
        download(want, retry_policy=PATIENCE)
    assert left_over(want.path) == set()


@pytest.mark.slow
def test_a_server_that_falls_silent_is_tried_again(site: DownloadServer, tmp_path: Path) -> None:
    site.answers = [stalled(HALF)]
    often = RetryPolicy(timeout_s=0.3, tries=50, pause_s=0.01)
    assert download(wanted(site, tmp_path), retry_policy=often).read_bytes() == CONTENT


@pytest.mark.slow
def test_a_server_that_stays_silent_is_given_up(site: DownloadServer, tmp_path: Path) -> None:
    site.answers = [stalled(0)] * 3
    with pytest.raises(ModelError, match=r"silent for 0\.3 s; put the file by hand"):
        download(
            wanted(site, tmp_path), retry_policy=RetryPolicy(timeout_s=0.3, tries=3, pause_s=0.01)
        )


FAILS: dict[str, tuple[list[Callable[[Any, DownloadServer], None]], str]] = {
    "404": ([status(404)], "answers 404"),
    "403": ([status(403)], "answers 403"),
    "500 for ever": ([status(500)] * 3, "answers 500"),
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
    site: DownloadServer, tmp_path: Path, case: str
) -> None:
    site.answers, says = list(FAILS[case][0]), FAILS[case][1]
    want = wanted(site, tmp_path)
    with pytest.raises(ModelError, match=says) as raised:
        download(want, retry_policy=PATIENCE)
    message = str(raised.value)
    assert "\n" not in message
    assert message.endswith(f"put the file by hand at {want.path}")
    assert not want.path.exists()


def test_wrong_content_is_removed_altogether(site: DownloadServer, tmp_path: Path) -> None:
    """A file of the right length with other bytes must not be resumed or used later."""
    site.content = CONTENT[:-1] + b"\0"
    want = wanted(site, tmp_path)
    with pytest.raises(ModelError, match="SHA-256"):
        download(want, retry_policy=PATIENCE)
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
    site: DownloadServer, tmp_path: Path, content: bytes, says: str
) -> None:
    site.content = content
    want = wanted(site, tmp_path, pinned=False)
    with pytest.raises(ModelError, match=says):
        download(want, retry_policy=PATIENCE)
    assert left_over(want.path) == set()


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
