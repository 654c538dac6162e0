"""Cameras over TLS: who is believed, who is refused, and what is said of it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import rtmp_server, rtsp_server
from support.stream_reading import read_frames, refusal
from support.tls_front import Identity, identity, tls_before
from support.web_cameras import http_camera

from pipeline.core.errors import ConfigError, SourceError, SourceLostError
from pipeline.core.options import validated
from pipeline.sources import stream
from pipeline.sources._stream.certificates import Trust, system_authorities

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("camera"), "IP:127.0.0.1,DNS:localhost")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("stranger"), "DNS:serial-0815.local")


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    with http_camera() as address:
        yield int(address.rpartition(":")[2])


@pytest.mark.slow
def test_a_camera_with_a_self_signed_certificate(site: int, camera: Identity) -> None:
    """Whoever stood between us and the camera could show other pictures and learn the password."""
    with tls_before(site, camera) as port:
        url = f"https://viewer:hunter2@127.0.0.1:{port}/cam.mjpg"
        told = refusal(url)
        assert "its certificate is not trusted (self-signed certificate)" in told
        assert "set ca_file to it or its authority's (or verify_tls: false)" in told
        read_frames(url, 2, ca_file=camera.certificate)
        read_frames(url, 2, verify_tls=False)


def test_a_certificate_for_another_host(site: int, stranger: Identity) -> None:
    """A stolen certificate of one camera must not do for all; a serial number as name must do."""
    with tls_before(site, stranger) as port:
        url = f"https://127.0.0.1:{port}/cam.mjpg"
        told = refusal(url, ca_file=stranger.certificate)
        assert "its certificate is for serial-0815.local, not 127.0.0.1" in told
        assert "set certificate_name" in told
        named = {"ca_file": stranger.certificate, "certificate_name": "serial-0815.local"}
        read_frames(url, 2, **named)
        assert "not another.local" in refusal(url, **{**named, "certificate_name": "another.local"})
        read_frames(url, 2, verify_tls=False)


def test_a_host_written_with_capitals(site: int, stranger: Identity) -> None:
    """The name for its certificate was kept under the host in small letters, and not found."""
    with tls_before(site, stranger) as port:
        named = {"ca_file": stranger.certificate, "certificate_name": "serial-0815.local"}
        read_frames(f"https://LocalHost:{port}/cam.mjpg", 2, **named)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["rtsps", "rtmps"])
def test_every_protocol_over_tls(scheme: str, camera: Identity) -> None:
    """FFmpeg gives each of them its TLS options on another way."""
    if scheme == "rtsps":
        with rtsp_server.running() as plain, tls_before(plain.port, camera) as port:
            over_tls(f"rtsps://127.0.0.1:{port}/live", camera)
    else:
        with rtmp_server.running(2.0) as plain_port, tls_before(plain_port, camera) as port:
            over_tls(f"rtmps://127.0.0.1:{port}/live/cam", camera)


def over_tls(url: str, camera: Identity) -> None:
    assert "not trusted" in refusal(url)
    assert "not trusted" in refusal(url, ca_file=system_authorities())
    read_frames(url, 2, ca_file=camera.certificate)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["live/index.m3u8", "live/camera"])
def test_hls_is_verified(path: str, site: int, camera: Identity) -> None:
    """Its playlist is read again for ever: whoever came later could have been anybody."""
    with tls_before(site, camera) as port:
        url = f"https://127.0.0.1:{port}/{path}"
        assert "not trusted" in refusal(url)
        read_frames(url, 30, ca_file=camera.certificate)  # more than one segment
        read_frames(url, 2, verify_tls=False)


def test_what_a_playlist_names_is_verified_too(site: int, camera: Identity, tmp_path: Path) -> None:
    """FFmpeg forgets its TLS options after the playlist: the pictures came from anybody."""
    other = identity(tmp_path, "IP:127.0.0.1")
    both = tmp_path / "both.pem"
    both.write_bytes(other.certificate.read_bytes() + camera.certificate.read_bytes())
    with (
        tls_before(site, other) as behind,
        http_camera(segments_at=f"https://127.0.0.1:{behind}/live/") as address,
        tls_before(int(address.rpartition(":")[2]), camera) as port,
    ):
        url = f"https://127.0.0.1:{port}/live/index.m3u8"
        told = refusal(url, ca_file=camera.certificate, open_timeout_s=300)
        assert "its certificate is not trusted" in told
        read_frames(url, 2, ca_file=both)


@pytest.mark.slow
def test_hls_with_a_login_and_a_name_of_its_own(stranger: Identity) -> None:
    """What FFmpeg does by itself has to be done here, too."""
    wanted = f"Basic {b64encode(b'viewer:hun@ter2').decode()}"
    with (
        http_camera(login=wanted) as address,
        tls_before(int(address.rpartition(":")[2]), stranger) as port,
    ):
        trust = {"ca_file": stranger.certificate, "certificate_name": "serial-0815.local"}
        place = f"127.0.0.1:{port}/live/index.m3u8"
        read_frames(f"https://viewer:hun%40ter2@{place}", 30, **trust)
        told = refusal(f"https://viewer:hunter2@{place}", **trust)
        assert "refuses the name or password (401)" in told
        told = refusal(f"https://{place}", ca_file=stranger.certificate)
        assert "certificate is for serial-0815.local" in told


def test_a_playlist_leads_to_no_file_of_this_machine(camera: Identity) -> None:
    """What a camera says is not to be trusted that far, whoever signed for it."""
    with (
        http_camera(segments_at="file:///dev/zero?") as address,
        tls_before(int(address.rpartition(":")[2]), camera) as port,
    ):
        url = f"https://127.0.0.1:{port}/live/index.m3u8"
        assert "its playlist names what is not on the web" in refusal(
            url, ca_file=camera.certificate, open_timeout_s=300
        )


def test_a_certificate_that_is_none_of_an_authority(site: int, tmp_path: Path) -> None:
    """Cameras make their own certificates, not marked as those of an authority."""
    plain = identity(tmp_path, "IP:127.0.0.1", authority=False)
    with tls_before(site, plain) as port:
        url = f"https://127.0.0.1:{port}/cam.mjpg"
        assert "not trusted" in refusal(url)
        read_frames(url, 2, ca_file=plain.certificate)


def test_a_certificate_that_has_run_out(site: int, tmp_path: Path) -> None:
    """Only renewing helps: whoever is told to trust it would look for long."""
    old = identity(tmp_path, "IP:127.0.0.1", days=-1)
    with tls_before(site, old) as port:
        told = refusal(f"https://127.0.0.1:{port}/cam.mjpg", ca_file=old.certificate)
    assert "its certificate has expired: renew it (or set verify_tls: false)" in told


def test_a_camera_whose_certificate_is_renewed_comes_back(
    site: int, camera: Identity, tmp_path: Path
) -> None:
    """Refusing is no mistake that ends a run: a machine's clock may be wrong when it starts."""
    shown = identity(tmp_path, "IP:127.0.0.1", days=-1)
    with tls_before(site, shown) as port:
        url = f"https://127.0.0.1:{port}/cam.mjpg"
        source = stream.build(stream.Options(url=url, ca_file=camera.certificate))
        with pytest.raises(SourceLostError, match=r"not trusted|expired"):
            source.open()
        shown.key.write_bytes(camera.key.read_bytes())
        shown.certificate.write_bytes(camera.certificate.read_bytes())
        source.open()
        source.close()


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read: No such file or directory"), (b"key", "holds no certificate in PEM")],
)
def test_a_file_of_authorities_that_is_none(
    content: bytes | None, told: str, tmp_path: Path
) -> None:
    """FFmpeg goes on without it and then refuses the camera, which says nothing of the file."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SourceError, match=f"ca_file: {file}: {told}"):
        read_frames("https://127.0.0.1:1/cam.mjpg", 1, ca_file=file)


def test_a_file_of_authorities_that_is_replaced_ends_no_run(
    site: int, camera: Identity, tmp_path: Path
) -> None:
    """At a reconnect it was not there for a moment, and all cameras of the run ended with that."""
    file = tmp_path / "ca.pem"
    file.write_bytes(camera.certificate.read_bytes())
    with tls_before(site, camera) as port:
        url = f"https://127.0.0.1:{port}/cam.mjpg"
        source = stream.build(stream.Options(url=url, ca_file=file))
        source.open()
        source.close()
        file.unlink()
        with pytest.raises(SourceLostError, match=f"ca_file: {file}: cannot be read"):
            source.open()
        file.write_bytes(camera.certificate.read_bytes())
        source.open()
        source.close()


@pytest.mark.parametrize("key", ["ca_file", "certificate_name"])
def test_trust_options_are_refused_without_verification(key: str) -> None:
    """Who writes both thinks that the camera is verified, and it is not."""
    told = {"url": "https://cam/1", "verify_tls": False, key: "door.pem"}
    with pytest.raises(ConfigError, match=f"{key}: cannot be combined with verify_tls: false"):
        validated(stream.Options, told, "")


def test_a_server_without_tls_is_not_said_to_have_a_bad_certificate(site: int) -> None:
    assert "certificate" not in refusal(f"https://127.0.0.1:{site}/cam.mjpg", open_timeout_s=1)


def test_ffmpeg_gets_the_systems_authorities() -> None:
    """Its wheel looks where the machine that built it has them: a Debian trusted nobody."""
    found = system_authorities()
    assert found is not None
    assert Trust().options() == {"tls_verify": "1", "ca_file": str(found)}
    assert Trust(verify=False).options() == {"tls_verify": "0"}
