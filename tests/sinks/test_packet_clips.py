"""Clips copied from a camera's main stream: nothing is encoded again, and boxes fit."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from support.event_results import START, event, result, run_info
from support.event_servers import eventually
from support.live_video import Encoder

from pipeline.core.packet_tap import PacketTap
from pipeline.sinks import events as plugin
from pipeline.sinks.clips import recorder
from pipeline.sinks.clips.packet_clips import PacketClipWriter

FPS, GOP, WIDTH, HEIGHT = 20, 20, 320, 240
"""Of the main stream: a key frame each second; pictures of twice the size of those analysed."""
START_CODE = b"\x00\x00\x00\x01"


class Run:
    """A sink that is open, and a camera with two streams, ten pictures a second analysed."""

    def __init__(self, output: Path) -> None:
        self.tap = PacketTap()
        self.tap.begin("h264", None)
        self.sink = plugin.build(plugin.Options(before_s=1.0, after_s=2.0))
        info = run_info(output, "gate", files=True)
        self.sink.open(replace(info, clip_packets=lambda source: self.tap))
        assert self.sink.store is not None
        self.store = self.sink.store
        self._width = WIDTH
        self._encoder = Encoder(self._width, HEIGHT, FPS, GOP)
        self._sent = 0

    def change_size(self) -> None:
        """Go on with a main stream of another size at the next key frame."""
        while self._sent % GOP:
            self._send(self._sent)
            self._sent += 1
        self._width = 2 * WIDTH
        self._encoder = Encoder(self._width, HEIGHT, FPS, GOP)

    def frames(self, first: int, last: int, *at: int, has_main: bool = True) -> None:
        """Write results, those of `at` with an event; the main stream's pictures just before."""
        for index in range(first, last):
            while has_main and self._sent <= index * 2:
                self._send(self._sent)
                self._sent += 1
            self.sink.write(result(index, *([event(index)] if index in at else [])))

    def _send(self, n: int) -> None:
        image = np.full((HEIGHT, self._width, 3), 40 + n // 2 % 180, np.uint8)
        nals = self._encoder.encode(image, n * 90_000 // FPS)
        data = b"".join(START_CODE + nal for nal in nals)
        pts_us = 7_000_000 + n * 1_000_000 // FPS
        self.tap.add(data, pts_us, START + n / FPS, is_key=n % GOP == 0)

    def clip(self, number: int = 0) -> Path:
        """The clip of the event with that number, from 0."""
        self.sink.close()
        path = self.store.clip_path([one.id for one in reversed(self.store.query())][number])
        assert path is not None
        return path


def test_a_clip_is_the_main_streams_packets(tmp_path: Path) -> None:
    """It begins with a key frame, says where in it the event is, and its boxes are scaled."""
    run = Run(tmp_path)
    run.frames(0, 90, 55)
    with av.open(str(run.clip())) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", WIDTH, HEIGHT)
        frames = list(container.decode(stream))
    times = [float(frame.time) for frame in frames]
    np.testing.assert_allclose(times, np.arange(len(times)) / FPS, atol=1e-3)
    assert times[-1] == pytest.approx(3.5, abs=0.06)  # 4.0 to 7.5 s
    levels = [int(frame.to_ndarray(format="bgr24").mean()) for frame in frames]
    assert levels == pytest.approx([80 + n // 2 for n in range(len(levels))], abs=4)
    (stored,) = run.store.query()
    assert stored.clip_offset_s == pytest.approx(1.5, abs=0.01)
    boxes = run.store.clip_boxes(stored.id)
    assert boxes is not None
    assert boxes["size"] == [WIDTH, HEIGHT]
    assert boxes["frames"][0] == [pytest.approx(0.5), [[1, 40, 40, 120, 180]]]
    assert boxes["frames"][-1][0] == pytest.approx(3.5)


def test_without_the_main_stream_clips_are_of_the_analysed_pictures(tmp_path: Path) -> None:
    """A main stream that breaks off ends its clip; the next one is encoded as without it."""
    run = Run(tmp_path)
    run.frames(0, 60, 55)
    run.frames(60, 130, 100, has_main=False)
    for number, size, seconds in ((0, (WIDTH, HEIGHT), 1.9), (1, (160, 120), 3.0)):
        with av.open(str(run.clip(number))) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == size
            times = [float(frame.time) for frame in container.decode(stream)]
        assert times[-1] == pytest.approx(seconds, abs=0.1)


def test_a_main_stream_that_cannot_be_copied_is_left_alone(tmp_path: Path) -> None:
    """Pictures in another order (B-frames) would want times that are not known."""
    run = Run(tmp_path)
    run.frames(0, 10)
    run.tap.add(b"\x00\x00\x01\x01late", 7_100_000, START + 0.99, is_key=False)
    run.frames(10, 40, 12)
    with av.open(str(run.clip())) as container:
        assert container.streams.video[0].width == 160


def test_a_main_stream_that_changes_its_size_before_the_event_is_left_alone(tmp_path: Path) -> None:
    """What follows could not be decoded with what stands at the head of the file."""
    run = Run(tmp_path)
    run.frames(0, 20)
    run.change_size()
    run.frames(20, 60, 25)
    with av.open(str(run.clip())) as container:
        assert container.streams.video[0].width == 160
        assert sum(1 for _ in container.decode(video=0)) > 10


def test_a_disk_that_stands_still_has_no_packets_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Twelve hundred pictures might wait, each with the packets of a tenth of a second."""
    released = threading.Event()
    monkeypatch.setattr(recorder, "MAX_WAITING_BYTES", 100)
    monkeypatch.setattr(PacketClipWriter, "write", lambda *_: released.wait(30))
    run = Run(tmp_path)
    run.frames(0, 50, 25)
    released.set()
    run.sink.close()
    assert "events: clips lack 1 pictures" in caplog.text, "the clip ends with the first one"


def test_nothing_is_kept_of_a_camera_that_was_removed(tmp_path: Path) -> None:
    """Up to 24 MB of pictures stayed with each, and its main stream's packets."""
    taps = {name: PacketTap() for name in ("gate", "door")}
    sink = plugin.build(plugin.Options())
    sink.open(replace(run_info(tmp_path, *taps), clip_packets=taps.get))
    sink.write(result(0))
    kept = []
    for index in (10, 590, 610):
        sink.write(result(index, source="door"))
        kept.append([name for name, tap in taps.items() if tap.is_wanted])
    sink.close()
    assert kept == [["gate", "door"], ["gate", "door"], ["door"]]


def test_nothing_is_kept_of_the_only_camera_once_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures were let go when another camera's picture came, and there was none."""
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], time=time.time)
    monkeypatch.setattr(recorder, "time", clock)
    tap = PacketTap()
    sink = plugin.build(plugin.Options())
    sink.open(replace(run_info(tmp_path, "gate"), clip_packets=lambda source: tap))
    sink.write(result(0))
    assert tap.is_wanted
    now[0] = 2 * recorder.IDLE_S
    eventually(lambda: not tap.is_wanted, "let go")
    sink.write(result(1))
    assert tap.is_wanted
    sink.close()


def test_the_clip_of_a_camera_that_was_away_ends_before_it(tmp_path: Path) -> None:
    """Where the encoder was behind, the clip was still open when the camera came back, and went on
    with it: seconds later on a clock that had begun anew."""
    sink = plugin.build(plugin.Options(after_s=2.0))
    sink.open(run_info(tmp_path, "gate", "door"))
    for index in (0, 2, 4, 6):
        sink.write(result(index, *([event(index)] if index == 0 else [])))
    sink.write(result(610, source="door"))
    for index in (620, 622):
        sink.write(result(index))
    sink.close()
    (clip,) = tmp_path.rglob("*.mp4")
    with av.open(str(clip)) as container:
        levels = [
            frame.to_ndarray(format="bgr24")[110:, 140:].mean()
            for frame in container.decode(video=0)
        ]
    assert levels == pytest.approx([40, 42, 44, 46], abs=2)
