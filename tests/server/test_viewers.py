"""Viewers over real sockets: fresh pictures, paced by acknowledgements, each on its own."""

from __future__ import annotations

import itertools
import json
import socket
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

pytest.importorskip("fastapi")

import av
import cv2
import httpx
import numpy as np
from support.fake_backend import CAMERAS, TOKEN, ServerParts, result_of, serving, showing
from support.live_fakes import until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from pipeline.events.visits import VisitChange
from pipeline.server.viewers.jpeg_encoder import JpegEncoder, encoding_width
from pipeline.server.viewers.messages import picture_message

FRONT, YARD = CAMERAS
BEARER = {"authorization": f"Bearer {TOKEN}"}
PATIENCE_S = 60.0


@pytest.fixture
def made(tmp_path: Path) -> ServerParts:
    return ServerParts(tmp_path, picture_fps=50)


@contextmanager
def page(address: str, **about: Any) -> Iterator[ClientConnection]:
    options = {"additional_headers": BEARER, **about}
    with connect(address.replace("http", "ws") + "/api/ws", **options) as link:
        yield link


def watch(link: ClientConnection, *cameras: str, **about: Any) -> None:
    link.send(json.dumps({"type": "watch", "cameras": cameras, "fps": 50, **about}))


def ack(link: ClientConnection, header: dict[str, Any]) -> None:
    message = {"type": "ack", "camera": header["camera"], "index": header["index"]}
    link.send(json.dumps(message))


def next_text(link: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of that type; whatever else comes is passed over."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        message = link.recv(PATIENCE_S)
        if isinstance(message, str) and (found := json.loads(message))["type"] == kind:
            return dict(found)
    raise AssertionError(f"no message of type {kind}")


def seen_picture(link: ClientConnection) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """The next picture's header and pixels; whatever else comes is passed over."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        message = link.recv(PATIENCE_S)
        if isinstance(message, bytes):
            kind, length = struct.unpack(">BH", message[:3])
            assert kind == 1
            jpeg = np.frombuffer(message[3 + length :], np.uint8)
            image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
            return json.loads(message[3 : 3 + length]), image
    raise AssertionError("no picture")


def next_picture(link: ClientConnection) -> dict[str, Any]:
    """The next picture's header."""
    return seen_picture(link)[0]


def closing_code(link: ClientConnection) -> int | None:
    """Read until the server closes; the code it gives as the reason."""
    until = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < until:
            link.recv(PATIENCE_S)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
    raise AssertionError("the server does not close")


# -- the page's WebSocket -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_page_gets_cameras_tracks_and_pictures(made: ServerParts) -> None:
    made.show(7)
    with serving(made) as address, page(address) as link:
        cameras = next_text(link, "cameras")["cameras"]
        assert [camera["name"] for camera in cameras] == list(CAMERAS)
        watch(link, FRONT, pictures=True, width=640)
        tracks = next_text(link, "tracks")
        assert (tracks["camera"], tracks["index"], tracks["inside"]) == (FRONT, 7, {"lawn": 1})
        assert (tracks["width"], tracks["height"]) == (64, 48)
        assert [track["id"] for track in tracks["tracks"]] == [1, 2]
        assert tracks["tracks"][0]["class_name"] == "<person>"
        header, image = seen_picture(link)
        assert (header["camera"], header["index"], len(header["tracks"])) == (FRONT, 7, 2)
        assert image.shape == (48, 64, 3)
        assert abs(int(image.mean()) - 7) <= 2


@pytest.mark.slow
def test_a_session_cookie_opens_the_websocket(made: ServerParts) -> None:
    with serving(made) as address:
        answer = httpx.post(f"{address}/api/login", json={"token": TOKEN}, timeout=PATIENCE_S)
        cookie = answer.headers["set-cookie"].partition(";")[0]
        with page(address, additional_headers={"cookie": cookie}, origin=address) as link:
            assert next_text(link, "cameras")
            headers = {"cookie": cookie, "x-trackline": "1"}
            left = httpx.post(f"{address}/api/logout", headers=headers, timeout=PATIENCE_S)
            assert left.status_code == 204
            assert closing_code(link) == 4401, "who signs out elsewhere sees no more"


@pytest.mark.slow
def test_the_next_picture_waits_for_the_ack_and_is_the_newest(made: ServerParts) -> None:
    """A slow viewer gets fewer pictures, never older ones: nothing is queued for it."""
    made.show(0)
    with serving(made) as address, page(address) as link:
        watch(link, FRONT, YARD, pictures=True)
        first = next_picture(link)
        assert (first["camera"], first["index"]) == (FRONT, 0)
        for index in range(1, 60):
            made.show(index)
        # The front door's would be sent first: a picture of the yard shows that it was not due.
        made.show(0, YARD)
        yard = next_picture(link)
        assert (yard["camera"], yard["index"]) == (YARD, 0), "sent without an ack"
        ack(link, {"camera": FRONT, "index": 999})
        ack(link, yard)
        made.show(1, YARD)
        yard = next_picture(link)
        assert (yard["camera"], yard["index"]) == (YARD, 1), "sent for an ack of another picture"
        ack(link, first)
        second = next_picture(link)
        assert (second["camera"], second["index"]) == (FRONT, 59)


@pytest.mark.slow
def test_boxes_ride_with_their_picture(made: ServerParts) -> None:
    with serving(made) as address, page(address) as link, showing(made, 100):
        watch(link, FRONT, pictures=True)
        for _ in range(15):
            header, image = seen_picture(link)
            assert abs(int(image.mean()) - header["index"] % 200) <= 2
            ack(link, header)


@pytest.mark.slow
def test_a_page_gets_new_events_and_not_old_ones(made: ServerParts) -> None:
    with serving(made) as address, page(address) as link:
        next_text(link, "cameras")
        next_text(link, "cameras")
        made.backend.happen()
        assert next_text(link, "event")["event"]["id"] == 6


@pytest.mark.slow
def test_a_page_gets_visits_that_change(made: ServerParts) -> None:
    with serving(made) as address, page(address) as link:
        next_text(link, "cameras")
        next_text(link, "cameras")
        made.backend.visits.end([VisitChange("1" * 32, 12.0)])
        visit = next_text(link, "visit")["visit"]
        assert (visit["id"], visit["seconds"]) == (1, 12.0)


@pytest.mark.slow
def test_invalid_messages_are_ignored_until_there_are_too_many(made: ServerParts) -> None:
    made.show(1)
    with serving(made) as address, page(address) as link:
        for text in ("", "[]", "{", '{"type":"watch","cameras":5}', '{"type":"watch","fps":0}'):
            link.send(text)
        link.send(b"\x00")
        watch(link, "no such camera", FRONT)
        assert next_text(link, "tracks")["camera"] == FRONT
        with suppress(ConnectionClosed):  # the server may close before the last one is sent
            for _ in range(10):
                link.send('{"type":"watch","width":"NaN"}')
        assert closing_code(link) == 1008


@pytest.mark.slow
def test_cameras_that_are_not_watched_are_not_sent(made: ServerParts) -> None:
    made.show(1)
    made.show(1, YARD)
    with serving(made) as address, page(address) as link:
        watch(link, FRONT)
        assert next_text(link, "tracks")["camera"] == FRONT
        seen = [json.loads(link.recv(PATIENCE_S)) for _ in range(3)]
        assert {each.get("camera") for each in seen} <= {FRONT, None}
        assert made.app.context.viewers.encoder.encoded == 0, "no picture was requested"


@pytest.mark.slow
def test_the_number_of_viewers_is_limited(tmp_path: Path) -> None:
    made = ServerParts(tmp_path, viewers=1)
    with serving(made) as address, page(address) as link:
        next_text(link, "cameras")
        with page(address) as second:
            assert closing_code(second) == 1013
        stream = f"{address}/api/cameras/yard/stream.mjpg"
        assert httpx.get(stream, headers=BEARER, timeout=PATIENCE_S).status_code == 503
        assert next_text(link, "cameras"), "who sits stays"


# -- viewers that stall ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_viewer_that_reads_nothing_delays_no_other(made: ServerParts) -> None:
    """Neither the pipeline nor the other viewers; the server keeps one message for it."""
    with serving(made) as address:
        host, _, port = address.removeprefix("http://").partition(":")
        stalled = socket.create_connection((host, int(port)))
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.sendall(
            f"GET /api/cameras/{quote(FRONT, safe='')}/stream.mjpg HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        with page(address) as idle, page(address) as link, showing(made, 100) as took:
            watch(idle, FRONT, pictures=True)  # and never acknowledges or reads
            watch(link, FRONT, pictures=True)
            for _ in range(20):
                ack(link, next_picture(link))
            until(lambda: len(took) >= 20, "the pipeline waits")
        stalled.close()


@pytest.mark.slow
def test_each_frame_is_encoded_once_for_all(made: ServerParts) -> None:
    made.show(1)
    with serving(made) as address, page(address) as one, page(address) as two:
        for link in (one, two):
            watch(link, FRONT, pictures=True, width=640)
            assert next_picture(link)
        assert made.app.context.viewers.encoder.encoded == 1


@pytest.mark.parametrize(
    ("wanted", "frame", "width"),
    [(100, 1920, 160), (160, 1920, 160), (161, 1920, 240), (9999, 1920, 1920), (640, 500, 500)],
)
def test_widths_come_in_steps(wanted: int, frame: int, width: int) -> None:
    """Ten windows of slightly different sizes must not cost ten encodings."""
    assert encoding_width(wanted, frame) == width


def test_too_many_tracks_for_the_header_are_cut(made: ServerParts) -> None:
    """The header's length has two bytes; 2000 boxes have more."""
    import asyncio

    made.hub.write(result_of(FRONT, 1, tracks=2000))

    async def encode() -> Any:
        encoder = JpegEncoder(made.hub, made.options)
        return await encoder.picture(FRONT, 640)

    message = picture_message(FRONT, asyncio.run(encode()))
    length = struct.unpack(">BH", message[:3])[1]
    header = json.loads(message[3 : 3 + length])
    assert 300 < len(header["tracks"]) < 2000
    assert message[3 + length :][:2] == b"\xff\xd8"


def test_a_box_that_is_no_number_is_not_sent(made: ServerParts) -> None:
    """JSON has no NaN: one such box would end every page's WebSocket."""
    result = result_of(FRONT, 1)
    result.tracks.xyxy[0, 0] = np.nan
    made.hub.write(result)
    shown = made.hub.latest(FRONT)
    assert shown is not None
    assert [track["id"] for track in shown.tracks] == [2]
    assert json.loads(shown.tracks_json) == shown.tracks


def test_the_hub_holds_one_frame_of_a_camera(made: ServerParts) -> None:
    made.show(1)
    shown = made.hub.latest(FRONT)
    assert shown is not None
    memory = weakref.ref(shown.result.frame.image)
    del shown
    assert memory() is not None
    made.show(2)
    assert memory() is None, "older pictures are let go of"
    made.hub.forget(FRONT)
    assert made.hub.latest(FRONT) is None


# -- MJPEG and snapshots --------------------------------------------------------------------------


@pytest.mark.slow
def test_mjpeg_gives_picture_after_picture(made: ServerParts) -> None:
    url = f"/api/cameras/{quote(FRONT, safe='')}/stream.mjpg?width=64"
    with serving(made) as address, showing(made, 50):
        with httpx.stream("GET", address + url, headers=BEARER, timeout=PATIENCE_S) as answer:
            assert answer.headers["content-type"].startswith("multipart/x-mixed-replace; boundary=")
            got = b""
            for part in answer.iter_raw():
                got += part
                if got.count(b"\r\n\r\n\xff\xd8") >= 3:
                    break
        assert got.startswith(b"--trackline-picture\r\nContent-Type: image/jpeg\r\n")


@pytest.mark.slow
@pytest.mark.parametrize("boxes", [True, False])
def test_a_restreamer_reads_h264_with_boxes(made: ServerParts, boxes: bool) -> None:
    """FFmpeg, as MediaMTX and go2rtc use it, with the token in the address; it ends in order."""
    path = f"/api/cameras/{YARD}/stream.ts?width=160&boxes={int(boxes)}"
    end = threading.Event()

    def work() -> None:
        index = 0
        while not end.wait(1 / 20):
            made.show(index, YARD, size=(240, 320), tracks=3)
            index += 1

    thread = threading.Thread(target=work)
    with serving(made) as address:
        thread.start()
        url = address.replace("//", f"//x:{TOKEN}@") + path
        options = {"analyzeduration": "100000", "probesize": "20000"}
        with av.open(url, options=options, timeout=PATIENCE_S) as container:
            stream = container.streams.video[0]
            frames = list(itertools.islice(container.decode(stream), 12))
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 160, 120)
        times = [float(frame.time) for frame in frames]
        assert np.diff(times).min() > 0.02, "at the results' own times"
        corner = frames[-1].to_ndarray(format="bgr24")[:10, :10].astype(int)
        assert ((corner.max(axis=2) - corner.min(axis=2)).max() > 60) == boxes
        until(lambda: made.app.context.viewers.open == 0)
        end.set()
        thread.join()


@pytest.mark.slow
def test_a_snapshot_has_boxes_if_asked_for(made: ServerParts) -> None:
    made.show(0, size=(240, 320))
    with serving(made) as address:
        url = f"{address}/api/cameras/{quote(FRONT, safe='')}/snapshot.jpg"
        answers = [
            httpx.get(f"{url}?boxes={n}", headers=BEARER, timeout=PATIENCE_S) for n in (0, 1)
        ]
    plain, painted = (cv2.imdecode(np.frombuffer(each.content, np.uint8), 1) for each in answers)
    assert plain.shape == painted.shape == (240, 320, 3)
    assert plain.max() < 20
    assert painted.max() > 100


@pytest.mark.slow
def test_the_end_of_the_server_disconnects_viewers(
    made: ServerParts, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGTERM has five seconds in all: it ends while viewers stay, and nothing is left behind."""
    made.show(1)
    with serving(made) as address, page(address) as link:
        watch(link, FRONT, pictures=True)
        next_picture(link)
        stream = f"{address}/api/cameras/{quote(FRONT, safe='')}/stream.mjpg"
        with httpx.stream("GET", stream, headers=BEARER, timeout=PATIENCE_S) as answer:
            next(answer.iter_raw())
            made.hub.close()
            made.server.stop()
            assert made.server.ended
    assert "left behind" not in caplog.text
