"""Addresses of cameras as people, and people with bad intentions, type them."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi")

from pipeline.core.errors import ConfigError
from pipeline.server.cameras.address import CameraAddress, split_login, typed_address

SECRET = "s3cr3t-hunter2"


@pytest.mark.parametrize(
    ("text", "address", "user", "password"),
    [
        ("rtsp://10.0.0.5/stream1", "rtsp://10.0.0.5/stream1", "", ""),
        (" rtsp://admin:pw@10.0.0.5:554/1 ", "rtsp://10.0.0.5:554/1", "admin", "pw"),
        ("RTSP://admin:p%40ss@cam/1?a=b@c", "RTSP://cam/1?a=b@c", "admin", "p@ss"),
        ("rtsp://admin:p@ss@cam/1", "rtsp://cam/1", "admin", "p@ss"),
        ("https://[fe80::1]:8443/video", "https://[fe80::1]:8443/video", "", ""),
        ("0", "0", "", ""),
        ("/dev/video2", "/dev/video2", "", ""),
    ],
)
def test_a_login_in_the_address_is_taken_apart(
    text: str, address: str, user: str, password: str
) -> None:
    assert typed_address(text) == CameraAddress(address, user, password)


def test_a_login_of_its_own_goes_before() -> None:
    found = typed_address("rtsp://a:b@cam/1", "viewer", "p@s/s ${X}")
    assert found == CameraAddress("rtsp://cam/1", "viewer", "p@s/s ${X}")
    assert found.complete() == "rtsp://viewer:p%40s%2Fs%20%24%7BX%7D@cam/1"
    assert split_login(found.complete()) == found


@pytest.mark.parametrize(
    "text",
    ["", "file:///etc/passwd", "/etc/passwd", "../x.mp4", "video.mp4", "synthetic", "-1", "99999",
     "/dev/sda", "/dev/video0/../sda", "/dev/video0\n", "rtsp://", "rtsp:///x", "rtsp://cam:0/",
     "rtsp://cam:99999/", "rtsp://cam/a b", "rtsp://cam/\x00", "rtsp://cam/\n", "ftp://cam/1",
     "concat:a|b", "tcp://cam:5", "udp://:5000", "srt://cam:5", "rtmp://cam/1", "http+unix://x/",
     "javascript:alert(1)", "data://text,x", "subfile,,start,0,end,0,,:/etc/passwd", "pipe:0",
     "http://cam/list.m3u8", "https://cam/LIST.M3U", "http://cam/a.mpd?x=1", "http://cam/a.sdp",
     "rtsp://${HOME}/1", "rtsp://cam/${CAM_PASSWORD}", "${CAMERA_1}", "$${A}://x/",
     "rtsp://cam\\x/1", "http://cam/\u2028x", "rtsp://[::1/1", "rtsp://:secret@cam/1",
     f"file://{SECRET}@x/", f"rtsp://u:{SECRET}@cam:x/", f"ftp://u:{SECRET}@cam/",
     f"rtsp://u:{SECRET}@cam/a b", f"rtsp://u:{SECRET}@cam/x.m3u8", f"0:{SECRET}@x"],
)  # fmt: skip
def test_what_is_no_camera_is_refused_and_nothing_of_it_shown(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        typed_address(text)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("user", "password"), [("", "x"), ("${A}", "x"), ("a\n", ""), ("a", "\x00")]
)
def test_a_login_that_no_address_can_hold_is_refused(user: str, password: str) -> None:
    with pytest.raises(ConfigError):
        typed_address("rtsp://cam/1", user, password)


@pytest.mark.parametrize(
    ("text", "holds", "shown"),
    [
        ("rtsp://cam/1", False, "rtsp://cam/1"),
        ("rtsp://cam/realmonitor?channel=1", False, "rtsp://cam/realmonitor?channel=1"),
        ("rtsp://cam/a?channel=1&subtype=0", False, "rtsp://cam/a?channel=1&subtype=0"),
        ("http://cam/v?size=640x480&token=x", True, "http://cam/v?size=640x480&token=***"),
        ("http://cam/v?loginuse=a&loginpas=1", True, "http://cam/v?loginuse=a&loginpas=***"),
        ("http://cam/v?u=a&p=1", True, "http://cam/v?u=a&p=***"),
        ("http://cam/v?PW=1&MyKey=2&n=3", True, "http://cam/v?PW=***&MyKey=***&n=3"),
        ("http://cam/v?n=1;mykey=x", True, "http://cam/v?n=***"),
        ("http://cam/v?of=http%3A%2F%2Fu%3Apw%40x", True, "http://cam/v?of=***"),
        (f"http://cam/v?of={'a1' * 16}", True, "http://cam/v?of=***"),
        ("http://cam/v?c0ffee", True, "http://cam/v?***"),
        ("http://cam/video?user=a&pwd=x", True, "http://cam/video?user=a&pwd=***"),
        (
            "rtsp://cam/user=a_password=x_channel=1",
            True,
            "rtsp://cam/user=a_password=***_channel=1",
        ),
        ("http://cam/v?api_token=x", True, "http://cam/v?api_token=***"),
    ],
)
def test_keys_outside_the_login_are_found(text: str, holds: bool, shown: str) -> None:
    found = typed_address(text)
    assert (found.holds_key, found.shown) == (holds, shown)


@pytest.mark.parametrize(
    "text",
    [
        "http://cam/v?size=640x480&token=***",
        "http://cam/v?channel=2&token=***&pwd=***",
        "http://cam/v?***",
        "rtsp://cam/user=a_password=***_channel=2",
        "rtsp://***@cam/1",
        "rtsp://a:***@cam/1",
        "rtsp://***@***",
    ],
)
def test_what_was_masked_is_not_taken_for_the_value(text: str) -> None:
    """An address shown masked and sent back with another channel made `***` the camera's key."""
    with pytest.raises(ConfigError, match="contains masked values: enter the whole address again"):
        typed_address(text, "viewer", "pw")
