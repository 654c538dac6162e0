"""What https cameras name and lead to: nothing is asked of anybody who is not verified."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import http_server
from support.stream_reading import read_frames, refusal
from support.tls_front import Identity, Stranger, identity, tls_before
from support.web_cameras import http_camera

from pipeline.core.errors import PipelineError, SourceError
from pipeline.sources._stream.certificates import Trust
from pipeline.sources._stream.hosts import AllowedHosts
from pipeline.sources._stream.https import VerifiedFetcher

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("camera"), "IP:127.0.0.1")


@contextmanager
def answering(
    camera: Identity, *answers: Callable[[Any, http_server.DownloadServer], None]
) -> Iterator[tuple[http_server.DownloadServer, str]]:
    """Answer one request after the other over TLS; yield the plain server and its https address."""
    site = http_server.DownloadServer(content=bytes(range(100)), etag=None, answers=list(answers))
    with (
        http_server.running(site),
        tls_before(int(site.url.rpartition(":")[2]), camera) as port,
    ):
        yield site, f"https://127.0.0.1:{port}"


def content(kind: str, body: str) -> Callable[[Any, http_server.DownloadServer], None]:
    def answer(request: Any, site: http_server.DownloadServer) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body.encode())

    return answer


@pytest.mark.parametrize("path", ["live/index.m3u8", "live/camera"])
def test_an_unverified_server_gets_no_request(path: str, camera: Identity, tmp_path: Path) -> None:
    """FFmpeg opened a playlist that was not called one, and sent the login to a stranger.

    He answers in the camera's place once the playlist has come: 401, then with the login.
    """
    stranger = Stranger(identity(tmp_path, "IP:127.0.0.1"), after=2)
    with (
        http_camera(login=f"Basic {b64encode(b'viewer:hunter2').decode()}") as address,
        tls_before(int(address.rpartition(":")[2]), camera, stranger) as port,
    ):
        url = f"https://viewer:hunter2@127.0.0.1:{port}/{path}"
        told = refusal(url, ca_file=camera.certificate, open_timeout_s=20)
    assert "its certificate is not trusted" in told
    assert stranger.connections > 0
    assert not stranger.heard


def test_a_login_is_kept_once(camera: Identity) -> None:
    """It was kept for every segment of a live playlist: 86,000 more a day."""
    with answering(camera) as (_, url):
        fetcher = VerifiedFetcher(
            "source door",
            AllowedHosts(url, any_host=False),
            Trust(True, camera.certificate),
            5.0,
            print,
        )
        sizes = set()
        for number in range(4):
            named = url.replace("://", "://viewer:hun%40ter2@")
            fetcher(f"{named}/live/{number}.ts", 1, {}).close()
            sizes.add(len(fetcher.logins.passwd[None]))
        assert len(sizes) == 1
        known = fetcher.logins.find_user_password("any", f"{url}/live/9.ts")
    assert known == ("viewer", "hun@ter2")


def test_plain_parts_of_a_verified_playlist(camera: Identity) -> None:
    """Whoever is between us and the camera could have put other pictures there."""
    with (
        http_camera() as plain,
        http_camera(segments_at=f"{plain}/live/") as address,
        tls_before(int(address.rpartition(":")[2]), camera) as port,
    ):
        url = f"https://127.0.0.1:{port}/live/index.m3u8"
        told = refusal(url, ca_file=camera.certificate, open_timeout_s=20)
        assert "it leads on to a http:// address" in told
        assert "set verify_tls: false" in told
        read_frames(url, 2, verify_tls=False)


@pytest.mark.parametrize("path", ["cam.mjpg", "live/index.m3u8"])
def test_a_redirect_to_a_plain_address(path: str, camera: Identity) -> None:
    """It leads away from every certificate."""
    with (
        http_camera() as plain,
        answering(camera, http_server.redirect(f"{plain}/{path}")) as (_, url),
    ):
        told = refusal(f"{url}/{path}", ca_file=camera.certificate)
    assert "it leads on to a http:// address" in told


def test_a_format_that_opens_addresses_by_itself_is_refused(camera: Identity) -> None:
    """DASH and lists of files open what they name by themselves, without looking who answers."""
    listed = content("text/plain", "ffconcat version 1.0\nfile other.ts\n")
    with answering(camera, listed) as (site, url):
        refusal(f"{url}/cam", ca_file=camera.certificate)
        assert [each["path"] for each in site.requests] == ["/cam"]


def test_a_recording_behind_https(camera: Identity) -> None:
    """It comes in one go here: FFmpeg cannot look at its end, where some have their length."""
    with answering(camera, content("video/mp4", "no matter what")) as (_, url):  # noqa: SIM117
        with pytest.raises(SourceError, match="is a recording, not a camera"):
            read_frames(f"{url}/clip", 1, ca_file=camera.certificate)


def test_parts_of_a_file_are_fetched_as_parts(camera: Identity) -> None:
    """Playlists with byte ranges name one long file again and again."""
    refusals: list[PipelineError] = []
    with answering(camera) as (there, url):
        trust = Trust(True, camera.certificate)
        fetcher = VerifiedFetcher(
            "source door", AllowedHosts(url, any_host=False), trust, 5.0, refusals.append
        )
        told = [({"offset": "10", "end_offset": "20"}, 10, 20), ({}, 0, 100)]
        for options, first, end in told:
            answer = fetcher(f"{url}/all.ts", 1, options)
            got = b""
            while piece := answer.read(7):
                got += piece
            answer.close()
            assert got[: end - first] == bytes(range(first, end))
        assert there.requests[0]["Range"] == "bytes=10-19"
        assert "Range" not in there.requests[1]
        there.answers.append(http_server.status(404))
        assert fetcher(f"{url}/gone.ts", 1, {}).read(7) == b"", "FFmpeg takes the next one"
        assert not refusals
        assert fetcher("crypto+https://127.0.0.1/1.ts", 1, {"key": "00"}).read(7) == b""
        assert "set verify_tls: false" in str(refusals[0])
