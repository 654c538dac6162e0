"""The network camera: every protocol on loopback, times, damage, changed pictures, its name."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support import rtmp_server, rtsp_server
from support.fault_proxy import UdpRelay
from support.live_video import PreRollFrame, encoded, looped, noise
from support.owners import Owners
from support.rtsp_server import Camera
from support.stream_reading import opened, read_frames, read_until_lost
from support.tiny_videos import noise_picture
from support.web_cameras import http_camera, tcp_camera, transport_stream, udp_camera

from pipeline.core.data import Frame
from pipeline.core.errors import ConfigError, SourceError, SourceLostError
from pipeline.core.options import validated
from pipeline.sources import stream

pytestmark = pytest.mark.timeout(60)


def open_and_read_on(source: Any) -> None:
    source.open()
    read_until_lost(source)


def check(frames: list[Frame], height: int = 96, width: int = 128) -> None:
    assert {frame.image.shape for frame in frames} == {(height, width, 3)}
    assert (np.diff([frame.pts_s for frame in frames]) > 0).all()
    assert (np.diff([frame.captured_at for frame in frames]) >= 0).all()
    assert [frame.index for frame in frames] == list(range(len(frames)))


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.slow
def test_rtsp(transport: str) -> None:
    with rtsp_server.running() as camera:
        check(read_frames(camera.url, 20, transport=transport))


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
@pytest.mark.slow
def test_a_camera_with_a_password(scheme: str) -> None:
    """The password holds what ends a login in an address, as its percent codes."""
    with rtsp_server.running(Camera(login=(scheme, "admin", "p@ss:w/rd?"))) as camera:
        host = camera.url.removeprefix("rtsp://")
        check(read_frames(f"rtsp://admin:p%40ss%3Aw%2Frd%3F@{host}", 3))
        with pytest.raises(SourceLostError, match="refuses the name or password") as caught:
            read_frames(f"rtsp://admin:hunter2@{host}", 1)
        assert "hunter2" not in str(caught.value)


@pytest.mark.slow
def test_mjpeg_over_http() -> None:
    with http_camera() as site:
        check(read_frames(f"{site}/cam.mjpg", 20))


@pytest.mark.slow
def test_hls_pictures_come_at_the_pace_they_were_filmed() -> None:
    """A segment arrives at once; behind the source all but its last pictures would be dropped."""
    with http_camera() as site:
        frames = read_frames(f"{site}/live/index.m3u8", 30)
    check(frames)
    assert frames[-1].captured_at - frames[0].captured_at > 0.8


@pytest.mark.slow
def test_hls_pictures_are_chosen_by_when_they_were_filmed() -> None:
    """Chosen by when they arrive, once a second gave two pictures of a segment of six."""
    with http_camera() as site:
        frames = read_frames(f"{site}/live/index.m3u8", 4, max_fps=1)
    np.testing.assert_allclose(np.diff([frame.pts_s for frame in frames]), 1.0, atol=0.1)


@pytest.mark.parametrize("path", ["index.m3u8", "camera"])
@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.slow
def test_a_playlist_leads_to_no_other_host_by_default(path: str, allowed: bool) -> None:
    """A camera that was taken over had the program ask any machine of the network."""
    with http_camera() as other:
        elsewhere = other.replace("127.0.0.1", "localhost")
        with http_camera(segments_at=f"{elsewhere}/live/") as site:
            address = f"{site}/live/{path}"
            if allowed:
                check(read_frames(address, 5, other_hosts=True))
            else:
                with pytest.raises(SourceLostError, match=r"another server \(localhost\).*other_h"):
                    read_frames(address, 1)


@pytest.mark.slow
def test_a_playlist_under_another_name_and_on_another_port_is_read() -> None:
    with http_camera() as other, http_camera(segments_at=f"{other}/live/") as site:
        check(read_frames(f"{site}/live/camera", 5))


@pytest.mark.slow
def test_mpeg_ts_over_tcp_and_udp() -> None:
    recording = transport_stream(1.6)
    with tcp_camera(recording) as port:
        check(read_frames(f"tcp://127.0.0.1:{port}", 20))
    port = free_udp_port()
    with udp_camera(port, recording):
        check(read_frames(f"udp://127.0.0.1:{port}", 60))  # its time stamps begin anew on the way


@pytest.mark.slow
def test_rtmp() -> None:
    with rtmp_server.running(1.6) as port:
        check(read_frames(f"rtmp://127.0.0.1:{port}/live/cam", 20))


@pytest.mark.slow
def test_a_recording_is_no_camera_and_a_missing_page_is_a_lost_one() -> None:
    """Read as a camera, a recording would be raced through with most of its pictures dropped."""
    with http_camera() as site:
        with pytest.raises(SourceError, match="download it"):
            read_frames(f"{site}/recording.mkv", 1)
        with pytest.raises(SourceLostError, match="404"):
            read_frames(f"{site}/nothing-here", 1)


def test_the_end_of_the_stream_is_a_lost_camera() -> None:
    with rtsp_server.running(Camera(noise(ends_after=5))) as camera, opened(camera.url) as source:
        assert [source.read().index for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(SourceLostError, match="ended"):
            source.read()


def test_a_protocol_this_ffmpeg_lacks_is_a_mistake_and_not_a_camera_that_is_down() -> None:
    with pytest.raises(SourceError, match=r"cannot read such addresses|source .*"):
        read_frames("srt://127.0.0.1:9?passphrase=hunter2", 1, open_timeout_s=0.5)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("rstp://admin:hunter2@cam/1", "begins with rtsp://"),
        ("cam.local/1", "begins with rtsp://"),
        ("rtsp://", "want a host"),
        ("rtsp://admin:hunter2@/1", "want a host"),
        ("rtsp://admin:hunter2@cam:port/1", "a port from 1 to 65535"),
        ("rtsp://admin:hunter2@cam:77777/1", "a port from 1 to 65535"),
        ("tcp://cam", "want a port"),
        ("udp://239.0.0.1", "want a port"),
        ("rtsp://admin:hunter2 @cam/1", "without spaces"),
        ("rtsp://admin:hun'ter2@[::1/1", "want a host and a port"),
    ],
)
def test_an_address_that_can_be_none_is_one_line_without_the_password(
    url: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        validated(stream.Options, {"url": url}, "sources.0")
    assert "sources.0.url" in str(caught.value)
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("rtsp://admin:hunter2@10.0.0.5:554/h264?pw=hunter2", "10.0.0.5"),
        ("rtsp://cam.local/user=admin_password=hunter2_channel=1", "cam.local"),
        ("rtsp://[fe80::1]/1", "fe80--1"),
        ("udp://:5000", "udp-5000"),
        ("udp://@:5000", "udp-5000"),
    ],
)
def test_a_camera_is_called_after_its_host(url: str, name: str) -> None:
    assert stream.build(stream.Options(url=url)).name == name


@pytest.mark.slow
def test_time_stamps_that_repeat_jump_and_wrap_do_not_stop_time() -> None:
    """Trackers divide by the time between two frames."""
    ticks = iter(range(10**9))

    def shift(stamp: int) -> int:
        n = next(ticks)
        if n % 7 == 3:
            return stamp + 90_000 * 3600
        return 12345 if n % 5 == 0 else stamp + 2**32 - 90_000

    with rtsp_server.running(Camera(shift_ticks=shift)) as camera:
        frames = read_frames(camera.url, 40)
    check(frames)
    real_s = frames[-1].captured_at - frames[0].captured_at
    assert abs((frames[-1].pts_s - frames[0].pts_s) - real_s) < 1.5


@pytest.mark.slow
def test_pictures_that_change_their_size_on_the_way() -> None:
    small, large = (
        encoded([noise_picture(n, *size) for n in range(5)], 25) for size in [(96, 128), (128, 192)]
    )

    def feed() -> Iterator[PreRollFrame]:
        yield from looped(small + large + small, 25)()

    with rtsp_server.running(Camera(feed)) as camera:
        frames = read_frames(camera.url, 15)
    heights = [frame.image.shape[0] for frame in frames]
    assert heights == [96] * 5 + [128] * 5 + [96] * 5
    assert len({id(frame.image.base) for frame in frames}) == 15, "a held picture was used again"


@pytest.mark.slow
def test_another_codec_and_size_after_a_reconnect() -> None:
    first, second = transport_stream(0.6), transport_stream(0.6, "mpeg4", (64, 96))
    with tcp_camera(first, second) as port, opened(f"tcp://127.0.0.1:{port}") as source:
        assert source.read().image.shape == (96, 128, 3)
        source.close()
        info = source.open()
        assert (info.height, info.width, info.description) == (64, 96, "mpeg4 in mpegts")
        check([source.read() for _ in range(5)], 64, 96)


@pytest.mark.slow
def test_damage_is_counted_said_once_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    port = free_udp_port()
    with (
        UdpRelay(port, loss=0.05) as relay,
        udp_camera(relay.port, transport_stream(1.6)),
        caplog.at_level(logging.WARNING, "trackline"),
        opened(f"udp://127.0.0.1:{port}") as source,
    ):
        check([source.read() for _ in range(60)])
        assert source.damaged > 1
    assert len([line for line in caplog.messages if "damaged" in line]) == 1


@pytest.mark.slow
def test_many_lost_packets_of_rtsp_over_udp_do_not_lose_the_camera() -> None:
    with rtsp_server.running(Camera(loss=0.1)) as camera:
        check(read_frames(camera.url, 15, transport="udp"))


@pytest.mark.parametrize("waits_in", ["open", "read"])
@pytest.mark.slow
def test_interrupt_ends_a_wait_at_once(waits_in: str) -> None:
    """Ctrl-C and SIGTERM had to wait for the time limits of every camera that hung."""
    connected, go_on = threading.Event(), threading.Event()

    def feed() -> Iterator[PreRollFrame]:
        if waits_in == "read":
            yield from noise(ends_after=10)()
        connected.set()
        go_on.wait(30)

    with rtsp_server.running(Camera(feed)) as camera:
        source = stream.build(
            stream.Options(url=camera.url, open_timeout_s=300, read_timeout_s=300)
        )

        def watch() -> None:
            connected.wait(30)
            source.interrupt()

        threading.Thread(target=watch).start()
        with pytest.raises(SourceLostError, match="was closed"):
            open_and_read_on(source)
        go_on.set()
        source.close()


@pytest.mark.slow
def test_an_interrupt_before_the_wait_is_not_lost() -> None:
    """The engine may interrupt in the moment before the source begins to connect."""
    with rtsp_server.running() as camera:
        source = stream.build(stream.Options(url=camera.url, open_timeout_s=300))
        source.interrupt()
        with pytest.raises(SourceLostError, match="was closed"):
            source.open()
        source.close()
        source.open()
        source.close()


@pytest.mark.slow
def test_steady_state_allocates_no_picture_memory() -> None:
    with rtsp_server.running() as camera, opened(camera.url) as source:
        owners = Owners()
        for _ in range(20):
            owners.note(source.read())
        assert owners.count <= 6


def test_a_source_that_is_not_open_says_so() -> None:
    source = stream.build(stream.Options(url="rtsp://cam/1"))
    with pytest.raises(SourceLostError, match="not open"):
        source.read()
    source.interrupt()
    source.close()
