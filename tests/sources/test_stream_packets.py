"""The packets a network camera's source offers: those of the very frames it gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from support import rtmp_server, rtsp_server
from support.live_fakes import until
from support.live_video import noise
from support.rtsp_server import Camera
from support.stream_reading import opened
from support.web_cameras import tcp_camera, transport_stream

from pipeline.core.errors import ConfigError
from pipeline.core.interfaces import HasClipPackets, HasPackets
from pipeline.core.options import validated
from pipeline.core.packet_tap import PacketTap, StreamPacket
from pipeline.sources import stream
from pipeline.sources._stream.recording import RecordingReader

pytestmark = [pytest.mark.timeout(60), pytest.mark.slow]


@contextmanager
def camera(kind: str) -> Iterator[str]:
    if kind == "rtsp":
        with rtsp_server.running() as rtsp:
            yield rtsp.url
    elif kind == "rtmp":
        with rtmp_server.running(4) as port:
            yield f"rtmp://127.0.0.1:{port}/live/cam"
    else:
        with tcp_camera(transport_stream(4)) as port:
            yield f"tcp://127.0.0.1:{port}"


def decoded(packets: Sequence[StreamPacket]) -> Any:
    """The last picture of these packets, decoded as a browser does: by format and data alone."""
    context: Any = av.CodecContext.create("h264", "r")
    context.extradata = packets[0].format.description
    pictures = []
    for packet in packets:
        pictures += context.decode(av.Packet(packet.data))
    pictures += context.decode(None)
    return pictures[-1].to_ndarray(format="bgr24")


@pytest.mark.parametrize("kind", ["rtsp", "rtmp", "mpegts"])
def test_a_frames_packets_decode_to_it(kind: str) -> None:
    """By the frame's time alone: a page draws that frame's boxes on what it has decoded."""
    with camera(kind) as url, opened(url) as source:
        assert isinstance(source, HasPackets)
        end = source.packets.subscribe()
        compared = 0
        for _ in range(40):
            frame = source.read()
            assert frame is not None
            packet = source.packets.picture(frame.captured_at)
            if packet is None:
                continue  # none since the first key frame
            packets = source.packets.between(None, packet.number)
            assert packets[-1] is packet
            np.testing.assert_allclose(decoded(packets), frame.image, atol=3)
            compared += 1
            if compared == 8:
                break
        assert compared == 8
        end()
        assert source.packets.between(None, 10**9) == []


def test_the_stream_for_clips_is_read_while_somebody_wants_it() -> None:
    """Its packets only, on a connection of its own; the frames are the other stream's."""
    main = Camera(noise(size=(192, 256)))
    with (
        rtsp_server.running(main),
        rtsp_server.running() as sub,
        opened(sub.url, record=main.url) as source,
    ):
        assert isinstance(source, HasClipPackets)
        tap = source.clip_packets
        assert tap is not None
        frame = source.read()
        assert frame is not None
        assert frame.image.shape == (96, 128, 3)
        assert main.requests == [], "nobody wants it yet"
        end = tap.subscribe()
        until(lambda: len(tap.since(1e9)) >= 5)
        assert decoded(tap.since(1e9)).shape == (192, 256, 3)
        end()
        until(lambda: main.viewers == 0, "the connection stays")
        assert sub.viewers == 1
        tap.subscribe()
        until(lambda: tap.since(1e9))
        source.close()
        until(
            lambda: not tap.since(1e9), "a camera that was removed kept its last packets for ever"
        )


def test_a_reader_that_was_ended_while_it_connected_leaves_the_tap_alone() -> None:
    """The camera was back and read anew by then: the packets kept for clips were thrown away."""
    answered, asked = threading.Event(), threading.Event()

    class SlowCamera:
        where = "source cam: record"

        @contextmanager
        def open(self, _: object) -> Iterator[Any]:
            asked.set()
            assert answered.wait(10)
            context = SimpleNamespace(name="hevc", extradata=None)
            video = SimpleNamespace(codec_context=context, index=0)
            yield SimpleNamespace(streams=SimpleNamespace(video=[video]), demux=lambda: iter(()))

    tap = PacketTap()
    tap.subscribe()
    camera: Any = SlowCamera()
    before = RecordingReader(camera, tap)
    before.start()
    assert asked.wait(10)
    before.end()
    tap.begin("h264", None)
    tap.add(b"\x00\x00\x01\x67\x64\x00\x1f", 0, 1.0, is_key=True)
    answered.set()
    assert before.join(10)
    assert len(tap.since(1.0)) == 1


def test_a_camera_without_its_stream_for_clips_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with rtsp_server.running() as gone:
        pass
    secret = gone.url.replace("//", "//admin:hunter2@")
    with rtsp_server.running() as sub, opened(sub.url, record=secret, name="gate") as source:
        assert source.clip_packets is not None
        source.clip_packets.subscribe()
        until(lambda: "clips are made of the analysed stream" in caplog.text)
        assert "source gate: record: " in caplog.text
        assert "hunter2" not in caplog.text
        assert source.read() is not None


@pytest.mark.parametrize("record", ["http://cam/main.m3u8", "main", "rtsp://"])
def test_what_cannot_be_a_stream_for_clips(record: str) -> None:
    with pytest.raises(ConfigError, match="record"):
        validated(stream.Options, {"url": "rtsp://cam/sub", "record": record}, "source")
    assert stream.build(stream.Options(url="rtsp://cam/sub")).clip_packets is None
