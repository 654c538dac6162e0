"""The camera's own video for one viewer: results with their packets, never a queue that grows."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from support.fake_backend import CAMERAS, ServerParts, result_of

from pipeline.core.packet_tap import PacketTap
from pipeline.server.viewers.hub import Hub
from pipeline.server.viewers.video_sender import MAX_UNACKED, VideoSender

SPS = b"\x00\x00\x00\x01\x67\x64\x00\x1f"
YARD = CAMERAS[1]


@dataclass
class Stream:
    """A camera whose pictures all get a result, K a key frame, and one viewer of it."""

    tap: PacketTap = field(default_factory=PacketTap)
    hub: Hub = field(default_factory=Hub)
    at: int = 0
    offered: bool = True
    profile: bytes = b"\x64"
    sender: VideoSender = field(init=False)

    def __post_init__(self) -> None:
        self.tap.begin("h264", None)
        self.sender = VideoSender(self.hub, lambda name: self.tap if self.offered else None)

    def send(self, pictures: str, *, analysed: bool = True, every_s: float = 0.04) -> None:
        """Let pictures arrive; the hub has a result of the last one if they are analysed."""
        for each in pictures:
            is_key = each == "K"
            result = result_of(YARD, self.at)
            data = SPS.replace(b"\x64", self.profile) if is_key else b"abc"
            pts_us = round(self.at * every_s * 1e6)
            self.tap.add(data, pts_us, self.at * every_s, is_key=is_key)
            self.tap.add_picture(pts_us, result.frame.captured_at)
            self.at += 1
        if analysed:
            self.hub.write(result)

    def got(self, *, acks: bool = True) -> tuple[dict[str, Any], bytes] | None:
        """The next message's header and data, None where there is none."""
        message = self.sender.message(YARD)
        if message is None:
            return None
        kind, length = struct.unpack(">BI", message[:5])
        assert kind == 2
        header = json.loads(message[5 : 5 + length])
        assert sum(size for _, size, _ in header["packets"]) == len(message) - 5 - length
        if acks:
            self.sender.ack(YARD, header["index"])
        return header, message[5 + length :]

    def times(self) -> list[int]:
        """The numbers of the pictures in the next message, from 0; none without one."""
        found = self.got()
        return [round(pts / 40_000) for pts, _, _ in found[0]["packets"]] if found else []


@pytest.fixture
def stream() -> Iterator[Stream]:
    made = Stream()
    made.sender.watch([YARD])
    yield made
    made.sender.close()
    assert not made.tap.is_wanted


def test_a_message_has_the_packets_up_to_a_result(stream: Stream) -> None:
    stream.send("PP")
    assert stream.got() is None, "no key frame yet: JPEG"
    assert not stream.sender.is_running(YARD)
    stream.send("KPP")
    found = stream.got()
    assert found is not None
    header, data = found
    assert header["start"]
    assert (header["camera"], header["index"], header["pts_us"]) == (YARD, 4, 160_000)
    assert (header["width"], header["height"], len(header["tracks"])) == (64, 48, 2)
    assert header["format"] == {"codec": "avc1.64001f", "description": None, "epoch": 1}
    assert header["packets"] == [[80_000, 8, True], [120_000, 3, False], [160_000, 3, False]]
    assert data == SPS + b"abcabc"
    assert stream.sender.is_running(YARD)
    assert stream.got() is None, "once each"
    stream.send("PPP", analysed=False)
    assert stream.got() is None, "their boxes are still to come"
    stream.send("P")
    found = stream.got()
    assert found is not None
    assert not found[0]["start"]
    assert [pts // 40_000 for pts, _, _ in found[0]["packets"]] == [5, 6, 7, 8]


def test_who_does_not_acknowledge_gets_no_more(stream: Stream) -> None:
    for _ in range(MAX_UNACKED):
        stream.send("K")
        assert stream.got(acks=False)
    stream.send("K")
    assert stream.got() is None
    stream.sender.ack(YARD, 99)
    assert stream.got() is None, "an ack of what was never sent"
    stream.sender.ack(YARD, MAX_UNACKED - 1)
    assert stream.times() == [MAX_UNACKED]


def test_who_is_slow_goes_on_at_the_newest_key_frame(stream: Stream) -> None:
    stream.send("KP")
    assert stream.times() == [0, 1]
    stream.send("PK" + 49 * "P" + "KPP")
    found = stream.got()
    assert found is not None
    assert found[0]["start"]
    assert [pts // 40_000 for pts, _, _ in found[0]["packets"]] == [53, 54, 55]


def test_who_is_slow_has_jpeg_until_a_key_frame_comes(stream: Stream) -> None:
    """With a key frame every ten seconds a viewer would else be ten seconds behind."""
    stream.send("KP")
    assert stream.times() == [0, 1]
    stream.send(60 * "P")
    assert stream.got() is None
    assert not stream.sender.is_running(YARD)
    stream.send("P")
    assert stream.got() is None, "not from the old key frame on"
    stream.send("KP")
    assert stream.times() == [63, 64]
    assert stream.sender.is_running(YARD)


@pytest.mark.parametrize("trouble", ["lost", "reconnect"])
def test_after_trouble_there_is_jpeg_until_a_key_frame_comes(stream: Stream, trouble: str) -> None:
    stream.send("KP")
    assert stream.times() == [0, 1]
    if trouble == "lost":
        stream.tap.lose()
    else:
        stream.tap.begin("h264", None)
    stream.send("P")
    assert stream.got() is None
    assert not stream.sender.is_running(YARD)
    stream.send("KP")
    found = stream.got()
    assert found is not None
    assert found[0]["start"]
    assert found[0]["format"]["epoch"] == (2 if trouble == "reconnect" else 1)


def test_a_message_is_of_one_format(stream: Stream) -> None:
    """A camera that is set to another profile: a decoder that begins there wants a key frame."""
    stream.send("KP")
    assert stream.times() == [0, 1]
    stream.send("PP", analysed=False)
    stream.profile = b"\x42"
    stream.send("KP")
    found = stream.got()
    assert found is not None
    assert found[0]["format"] == {"codec": "avc1.42001f", "description": None, "epoch": 2}
    assert [is_key for _, _, is_key in found[0]["packets"]] == [True, False]
    assert found[0]["start"]


def test_a_camera_that_is_replaced_or_offers_nothing(stream: Stream) -> None:
    old = stream.tap
    assert stream.sender.cameras == (YARD,)
    stream.tap = PacketTap()
    stream.sender.watch([YARD])
    assert not old.is_wanted
    assert stream.tap.is_wanted
    stream.offered = False
    stream.sender.watch([YARD])
    assert stream.sender.cameras == ()
    assert stream.sender.message(YARD) is None
    stream.sender.ack(YARD, 1)


@pytest.mark.parametrize("video", [True, False])
def test_without_the_option_no_packets_are_asked_for(tmp_path: Path, video: bool) -> None:
    made = ServerParts(tmp_path, video=video)
    made.backend.taps[YARD] = PacketTap()
    assert (made.app.context.viewers.packets(YARD) is not None) == video
