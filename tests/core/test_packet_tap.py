"""Packets of a camera: kept only for subscribers, from a key frame on, within bounds."""

from __future__ import annotations

import pytest

from pipeline.core.packet_tap import PacketTap

SPS = b"\x00\x00\x00\x01\x67\x64\x00\x1f"
"""A sequence parameter set, as far as it is read: High, level 3.1."""
RECORD = b"\x01\x64\x00\x28\xff"


class Camera:
    """Feeds a tap: a letter per picture, K a key frame; each is 40 ms long."""

    def __init__(
        self, codec: str = "h264", extradata: bytes | None = None, max_bytes: int = 2**20
    ) -> None:
        self.tap = PacketTap(max_bytes)
        self.tap.begin(codec, extradata)
        self.at = 0

    def send(self, pictures: str, *, size: int = 10, has_sets: bool = True) -> None:
        for each in pictures:
            is_key = each == "K"
            data = (SPS if is_key and has_sets else b"") + b"." * size
            self.tap.add(data, self.at * 40_000, self.at * 0.04, is_key=is_key)
            self.tap.add_picture(self.at * 40_000, 100 + self.at * 0.04)
            self.at += 1

    def kept(self, after: int | None = None) -> list[int]:
        """The numbers of the packets up to the newest one."""
        picture = self.tap.picture(100 + (self.at - 1) * 0.04)
        return [one.number for one in self.tap.between(after, picture.number)] if picture else []


def test_without_subscribers_nothing_is_kept() -> None:
    camera = Camera()
    camera.send("KPP")
    assert not camera.tap.is_wanted
    end = camera.tap.subscribe()
    assert camera.tap.is_wanted
    camera.send("PP")
    assert camera.kept() == [], "no key frame yet"
    camera.send("KP")
    assert len(camera.kept()) == 2
    end()
    end()
    assert not camera.tap.is_wanted
    assert camera.kept() == [], "memory is freed with the last subscriber"


def test_who_comes_late_begins_at_the_newest_key_frame() -> None:
    camera = Camera()
    camera.tap.subscribe()
    camera.send("KPPKPP")
    assert camera.kept() == [4, 5, 6]
    assert camera.kept(after=2) == [3, 4, 5, 6], "who has some gets the rest"
    assert camera.kept(after=6) == []
    first = camera.tap.between(None, 6)[0]
    assert (first.is_key, first.format.codec, first.format.description) == (
        True,
        "avc1.64001f",
        None,
    )


def test_old_groups_go_and_who_waited_for_them_begins_anew() -> None:
    camera = Camera()
    camera.tap.subscribe()
    for _ in range(6):
        camera.send("K" + 24 * "P")
    assert camera.kept(after=50)[0] == 51, "three seconds are kept"
    assert camera.kept(after=3)[0] == 126, "too slow: the newest key frame"


def test_who_wants_more_has_it_kept_for_all() -> None:
    camera = Camera()
    camera.tap.subscribe()
    end = camera.tap.subscribe(hold_s=4)
    for _ in range(6):
        camera.send("K" + 24 * "P")
    assert camera.kept(after=25)[0] == 26
    assert [one.number for one in camera.tap.since(3.5)] == list(range(76, 151))
    assert camera.tap.since(0.9) == []
    assert [one.number for one in camera.tap.since(99)] == list(range(126, 151))
    end()
    camera.send("K")
    assert camera.kept(after=26)[0] == 151, "those before are gone"


def test_bytes_are_bounded() -> None:
    """A group of pictures that never ends must not fill the memory."""
    camera = Camera(max_bytes=1000)
    camera.tap.subscribe()
    camera.send("KPKPP", size=200)
    assert camera.kept() == [3, 4, 5], "the older group goes first"
    camera.send("PPPP", size=200)
    assert camera.kept() == []
    camera.send("K", size=200)
    assert camera.kept() == [10]


@pytest.mark.parametrize("trouble", ["lost", "no time", "same time", "clock set back"])
def test_after_trouble_it_begins_at_the_next_key_frame(trouble: str) -> None:
    """Packets that follow on a gap show rubbish, and pictures of one time are mixed up."""
    camera = Camera()
    end = camera.tap.subscribe()
    camera.send("KPP")
    epoch = camera.tap.between(None, 3)[0].format.epoch
    if trouble == "lost":
        camera.tap.lose()
    elif trouble == "no time":
        camera.tap.add(b"...", None, 1.0, is_key=False)
    elif trouble == "same time":
        camera.tap.add(b"...", 80_000, 1.0, is_key=False)
    else:
        camera.tap.add(b"...", -50_000_000, 1.0, is_key=False)
        camera.at = 1
    camera.send("PP")
    assert camera.kept() == []
    camera.send("KP")
    found = camera.tap.between(None, 100)
    assert [one.is_key for one in found] == [True, False]
    assert (found[0].format.epoch > epoch) == (trouble == "clock set back")
    end()


def test_parameter_sets_come_with_each_key_frame() -> None:
    """An RTSP camera may name them in its description alone; a browser asks for them here."""
    camera = Camera(extradata=SPS)
    camera.tap.subscribe()
    camera.send("K", has_sets=False)
    assert camera.tap.between(None, 1)[0].data == SPS + b"." * 10


def test_packets_with_a_record_stay_as_they_are() -> None:
    camera = Camera(extradata=RECORD)
    camera.tap.subscribe()
    camera.send("K", has_sets=False)
    packet = camera.tap.between(None, 1)[0]
    assert packet.data == b"." * 10
    assert (packet.format.codec, packet.format.description) == ("avc1.640028", RECORD)


@pytest.mark.parametrize(("codec", "extradata"), [("mjpeg", None), ("h264", None)])
def test_what_no_browser_plays_is_not_kept(codec: str, extradata: bytes | None) -> None:
    """MJPEG, and a stream whose parameter sets are missing."""
    camera = Camera(codec, extradata)
    camera.tap.subscribe()
    camera.send("KP", has_sets=False)
    assert camera.kept() == []


def test_a_reconnect_begins_another_epoch() -> None:
    camera = Camera()
    camera.tap.subscribe()
    camera.send("KP")
    before = camera.tap.between(None, 2)[0]
    camera.tap.begin("h264", None)
    assert camera.kept() == []
    camera.send("K")
    after = camera.tap.between(2, 3)
    assert [one.is_key for one in after] == [True]
    assert after[0].format.epoch > before.format.epoch


def test_pictures_that_come_in_another_order() -> None:
    """With B-frames the decoder gives a picture out after packets that were sent later."""
    tap = PacketTap()
    tap.begin("h264", None)
    tap.subscribe()
    for pts, is_key in ((0, True), (120, False), (40, False), (80, False)):
        tap.add(SPS, pts * 1000, pts / 1000, is_key=is_key)
    for pts in (0, 40, 80, 120):
        tap.add_picture(pts * 1000, 7 + pts)
    found = [tap.picture(7 + pts) for pts in (0, 40, 80, 120)]
    assert [one.number for one in found if one] == [1, 3, 4, 2]
    assert tap.picture(8) is None
