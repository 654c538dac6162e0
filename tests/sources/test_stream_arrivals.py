"""`captured_at` of a camera's pictures: when their own packets arrived, by a clock of the test."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from support.coded_videos import VIDEOS, encoded
from support.slow_decoder import SlowDecoder
from support.tiny_videos import FPS, even_times

REORDERED = ["h264-b.mp4", "h264-b-open.ts", "hevc-b.mp4", "mpeg2-b.ts", "mpeg4-b.mp4"]


def _none(packet: Any) -> None:
    packet.pts = packet.dts = None


def _same(packet: Any) -> None:
    packet.pts = packet.dts = 7


def _back(packet: Any) -> None:
    packet.pts, packet.dts = packet.pts % 20_000, None


def _anew() -> Callable[[Any], None]:
    """Times that start again with each key frame, as of clips that were joined."""
    began = [0]

    def stamp(packet: Any) -> None:
        if packet.is_keyframe:
            began[0] = packet.pts
        packet.pts, packet.dts = packet.pts - began[0], None

    return stamp


STAMPS: dict[str, Callable[[Any], None]] = {
    "as sent": lambda _: None,
    "none": _none,
    "all the same": _same,
    "wrap around": _back,
    "joined clips": _anew(),
}


def in_order(arrivals: list[tuple[int, float]]) -> list[float]:
    """Return when each picture arrived and all that are shown before it, as they are shown."""
    return list(accumulate((at for _, at in sorted(arrivals)), max))


@pytest.mark.parametrize("stamps", STAMPS)
@pytest.mark.parametrize("name", [*REORDERED, "h264.mp4", "mjpeg.mkv"])
def test_a_picture_is_as_old_as_its_own_packet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stamps: str
) -> None:
    """One that the decoder held back for B-frames got the time of a packet that came later."""
    path = encoded(tmp_path / name, *VIDEOS[name])
    machine = SlowDecoder(monkeypatch, lambda _: 0.001, STAMPS[stamps])
    pictures, _ = machine.pictures(path)
    at = [one.arrived_at for one in pictures]
    assert len(at) >= len(machine.arrivals) - 8  # the last are still in the decoder
    assert at == pytest.approx(in_order(machine.arrivals)[: len(at)], abs=1e-6)
    assert all(before < after for before, after in pairwise(at))  # a picture is known by it


@pytest.mark.parametrize("name", REORDERED)
def test_the_age_is_true_where_only_key_frames_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A key frame left the decoder only with later ones: 3.3 s old, it was said to be 0.3 s old."""
    codec, options, _ = VIDEOS[name]
    path = encoded(tmp_path / name, codec, options, even_times(7 * FPS))
    with monkeypatch.context() as patch:
        whole, _ = SlowDecoder(patch, lambda _: 0.001).pictures(path)
    machine = SlowDecoder(monkeypatch, lambda _: 0.7)
    pictures, backlog = machine.pictures(path)
    assert backlog.left_out > FPS
    arrived = [at for _, at in sorted(machine.arrivals)]
    later = iter(enumerate(whole))  # pictures may look alike, and come in order
    for one in pictures:
        pixels = one.image.bgr.tobytes()  # type: ignore[union-attr]
        place = next(n for n, same in later if same.image.bgr.tobytes() == pixels)  # type: ignore[union-attr]
        newest = max(arrived[max(0, place - 4) : place + 1])
        assert arrived[place] <= one.arrived_at <= newest + 1e-6


def open_groups(path: Path, pyramid: int, seconds: float = 6) -> Path:
    """Write H.265 whose key frames but the first are followed by pictures shown before them."""
    how = f"log-level=none:bframes=3:scenecut=0:open-gop=1:b-adapt=0:b-pyramid={pyramid}"
    options = {"preset": "ultrafast", "x265-params": how}
    return encoded(path, "libx265", options, even_times(round(seconds * FPS)))


@pytest.mark.parametrize("pyramid", [0, 1])
@pytest.mark.parametrize("decode_s", [0.2, 0.7])
def test_pictures_the_decoder_leaves_out_after_a_gap_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decode_s: float, pyramid: int
) -> None:
    """Pictures that lead to a key frame and refer to others that were left out: in no counter."""
    path = open_groups(tmp_path / "film.ts", pyramid)
    with monkeypatch.context() as patch:
        whole, _ = SlowDecoder(patch, lambda _: 0.001).pictures(path)
    machine = SlowDecoder(monkeypatch, lambda now: decode_s if now < 3 else 0.001)
    found, backlog = machine.pictures(path)
    assert backlog.left_out > FPS
    assert len(found) + backlog.left_out == len(whole)


def test_what_leads_to_the_first_key_frame_is_no_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection begins anywhere; nothing in front of the first picture was ever grabbed."""
    whole, path = open_groups(tmp_path / "whole.ts", 1, 3), tmp_path / "later.ts"
    with av.open(str(whole)) as film, av.open(str(path), "w") as later:
        stream = later.add_stream_from_template(film.streams.video[0])
        keys = 0
        for packet in film.demux(film.streams.video[0]):
            keys += packet.is_keyframe
            if packet.size and keys > 1:
                packet.stream = stream
                later.mux(packet)
    machine = SlowDecoder(monkeypatch, lambda _: 0.001)
    found, backlog = machine.pictures(path)
    assert backlog.left_out == 0
    arrived = [at for _, at in machine.arrivals]
    assert len(arrived) - 8 <= len(found) < len(arrived) - 2
    assert found[0].arrived_at == pytest.approx(arrived[0], abs=1e-6)
