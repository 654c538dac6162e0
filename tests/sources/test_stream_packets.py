"""The packets a network camera's source offers: those of the very frames it gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import av
import numpy as np
import pytest
from support import rtmp_server, rtsp_server
from support.stream_reading import opened
from support.web_cameras import tcp_camera, transport_stream

from pipeline.core.interfaces import HasPackets
from pipeline.core.packet_tap import StreamPacket

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
