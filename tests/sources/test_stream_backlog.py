"""A decoder slower than its camera stays current: simulated, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import pytest
from support.coded_videos import VIDEOS, encoded
from support.fakes import FakeSource, Setup, Step, frames
from support.slow_decoder import SlowDecoder
from support.tiny_videos import FPS, even_times

from pipeline.sources._file.coded_picture import is_unreferenced, may_leave_out
from pipeline.sources._stream.backlog import Backlog, Level


def simulated(
    decode_s: float | Callable[[float], float], gop: int, seconds: float = 60, period: int = 1
) -> tuple[Backlog, list[float], list[int]]:
    """Return the backlog, the age and the number of each decoded picture of a camera.

    It never waits. `decode_s` may depend on the time. Only each `period`th picture behind a key
    frame is referred to by others.
    """
    backlog, now, ages, decoded = Backlog(), 0.0, [], []
    for n in range(round(seconds * FPS)):
        filmed = n / FPS
        waited = max(0.0, filmed - now)
        now += waited + 1e-4
        unreferenced = n % gop % period > 0
        if backlog.wants(waited, now, keyframe=n % gop == 0, unreferenced=unreferenced):
            now += decode_s(now) if callable(decode_s) else decode_s
            ages.append(now - filmed)
            decoded.append(n)
    return backlog, ages, decoded


def test_a_decoder_that_keeps_up_leaves_nothing_out() -> None:
    backlog, ages, _ = simulated(0.035, gop=50, period=2)
    assert (backlog.left_out, backlog.episodes, len(ages)) == (0, 0, 60 * FPS)


@pytest.mark.parametrize("period", [1, 2, 4])
@pytest.mark.parametrize("gop", [1, 25, 50])
@pytest.mark.parametrize("decode_s", [0.045, 0.06, 0.12])
def test_pictures_do_not_grow_old_where_decoding_is_too_slow(
    decode_s: float, gop: int, period: int
) -> None:
    """Socket buffers hold ten seconds and more, which nobody saw in the age since arrival."""
    backlog, ages, _ = simulated(decode_s, gop, period=period)
    assert backlog.left_out > 0
    assert max(ages) < 2.5
    assert len(ages) > 60
    assert len(ages) + backlog.left_out == 60 * FPS


@pytest.mark.parametrize(("decode_s", "period"), [(0.045, 2), (0.06, 2), (0.06, 3), (0.12, 4)])
def test_what_others_refer_to_goes_on_where_there_is_time_for_it(
    decode_s: float, period: int
) -> None:
    """A decoder a tenth too slow gave one picture in two seconds for most of the time."""
    backlog, ages, decoded = simulated(decode_s, 48, period=period)
    settled = [n for n in decoded if n > 6 * FPS]
    assert settled == [n for n in range(settled[0], 60 * FPS) if n % 48 % period == 0]
    assert settled[0] <= 6 * FPS + period
    assert (backlog.level, backlog.episodes) == (Level.REFERENCED, 1)
    assert max(age for n, age in zip(decoded, ages, strict=True) if n > 6 * FPS) < 2 * decode_s


def test_all_are_decoded_again_in_the_same_steps() -> None:
    """Behind by far, then by a little, then not at all; with seconds between the steps."""
    steps: list[tuple[Level, float]] = []

    def decode_s(now: float) -> float:
        return 0.2 if now < 10 else 0.06 if now < 20 else 0.02

    backlog, now = Backlog(), 0.0
    for n in range(30 * FPS):
        waited = max(0.0, n / FPS - now)
        now += waited + 1e-4
        if backlog.wants(waited, now, keyframe=n % 50 == 0, unreferenced=n % 2 > 0):
            now += decode_s(now)
        if not steps or steps[-1][0] != backlog.level:
            steps.append((backlog.level, now))
    levels = [level for level, _ in steps]
    assert levels[:4] == [Level.ALL, Level.REFERENCED, Level.KEY_FRAMES, Level.REFERENCED]
    assert levels[-3:] == [Level.KEY_FRAMES, Level.REFERENCED, Level.ALL]
    assert 10 < steps[-2][1] < 14
    assert 22.5 < steps[-1][1] < 25
    assert Level.ALL not in levels[1:-1]


def test_all_are_not_tried_again_and_again_where_they_do_not_fit() -> None:
    """Each try would cost a second of pictures that grow old."""
    backlog, ages, _ = simulated(0.05, 50, seconds=600, period=2)
    assert backlog.episodes == 1
    assert max(ages[2 * FPS :]) < 0.2


def test_a_burst_after_a_stall_is_decoded_whole() -> None:
    backlog, now = Backlog(), 0.0
    for n in range(200):
        waited = 3.0 if n == 50 else 0.0 if 50 < n < 125 else 0.035
        now += waited + 0.005
        assert backlog.wants(waited, now, keyframe=n % 50 == 0)


@pytest.mark.parametrize(
    ("attribute", "cause"), [("left_out", "undecoded"), ("unwanted", "unwanted")]
)
def test_undecoded_frames_are_counted_as_drops(attribute: str, cause: str) -> None:
    """The camera sent it, so it is a frame somebody may ask for."""

    class Skipping(FakeSource):
        left_out = 0
        unwanted = 0

    source = Skipping("door", live=True)

    def leave_out(count: int) -> Step:
        return lambda: setattr(source, attribute, getattr(source, attribute) + count)

    source.connections = [
        [*frames(1), leave_out(3), *frames(1), leave_out(0), *frames(1)],
    ]
    setup = Setup(source)
    results = list(setup.pipeline.results())
    setup.check_end()
    stats = setup.stats("door")
    assert stats.grabbed == 6
    assert stats.dropped[cause] == 3
    assert results[-1].frame.index == 5
    told = [result.dropped_before.get(cause, 0) for result in results]
    assert sum(told) == 3


UNREFERENCED = {
    "h264-b.mp4": 0.3,
    "h264-b-open.ts": 0.3,
    "h264-b.flv": 0.3,
    "h264-b.h264": 0.3,
    "h264.mp4": 0,
    "hevc-b.mp4": 0.3,
    "mpeg2-b.ts": 0.5,
    "mpeg4-b.mp4": 0.5,
    "mjpeg.mkv": 0,
    "hevc-layers.mkv": 0,
}
"""What part of the packets are of pictures that no other refers to, at least; 0 for none."""


@pytest.mark.parametrize("name", UNREFERENCED)
def test_packets_of_unreferenced_pictures_are_those_the_decoder_would_skip(
    tmp_path: Path, name: str
) -> None:
    path = encoded(tmp_path / name, *VIDEOS[name])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec, extradata = stream.codec.canonical_name, stream.codec_context.extradata or b""
        stream.codec_context.skip_frame = "NONREF"
        decoded, found = 0, []
        for packet in container.demux(stream):
            if packet.size and may_leave_out(codec, extradata):
                found.append(is_unreferenced(codec, extradata, packet))
            decoded += len(stream.codec_context.decode(packet))
    if UNREFERENCED[name]:
        assert sum(found) >= UNREFERENCED[name] * len(found)
        assert decoded == found.count(False)
    else:
        assert not any(found)


@pytest.mark.parametrize("cut", range(1, 9))
@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg2video", "mpeg4"])
def test_a_packet_cut_short_refers_to_something(codec: str, cut: int) -> None:
    for kind in (0x00, 0x01, 0x02, 0xB6):
        for extradata in (b"", bytes([1, *[255] * 30])):
            packet = av.Packet((b"\0\0\1" + bytes([kind]) * 6)[:cut])
            assert is_unreferenced(codec, extradata, packet) in (True, False)  # type: ignore[arg-type]


def shown(
    machine: SlowDecoder, path: Path, **options: float
) -> tuple[list[tuple[float, bytes, int]], Backlog]:
    """Return (time, pixels, how many before it were unwanted) of what comes of the video."""
    pictures, backlog = machine.pictures(path, **options)
    return [(one.seconds, one.image.bgr.tobytes(), one.unwanted) for one in pictures], backlog  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "name", ["h264-b.mp4", "h264-b-open.ts", "hevc-b.mp4", "mpeg2-b.ts", "mpeg4-b.mp4"]
)
def test_a_camera_that_is_too_much_goes_on_with_what_others_refer_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Each with its own time and pixels; then all again, once the machine has time for them.

    B-frames of MPEG-2 and MPEG-4 came behind the picture they are shown before, at wrong times.
    """
    codec, options, _ = VIDEOS[name]
    path = encoded(tmp_path / name, codec, options, even_times(9 * FPS))
    with monkeypatch.context() as patch:
        whole, backlog = shown(SlowDecoder(patch, lambda _: 0.001), path)
        assert backlog.left_out == 0
        times = [one[0] - whole[0][0] for one in whole]
        assert times == pytest.approx(even_times(len(whole)), abs=0.02)
    machine = SlowDecoder(monkeypatch, lambda now: 0.05 if now < 4 else 0.001)
    found, backlog = shown(machine, path)
    assert (backlog.level, backlog.episodes) == (Level.ALL, 1)
    assert len(found) + backlog.left_out == len(whole)
    later = iter(enumerate(whole))  # pictures may look alike, and come in order
    places = [next(n for n, same in later if same[1] == one[1]) for one in found]
    assert [one[0] for one in found] == pytest.approx([whole[n][0] for n in places], abs=0.06)
    steps = [after - before for before, after in pairwise(places)]
    assert max(steps) <= 4
    assert steps.count(1) < len(steps)
    assert steps[-FPS:] == [1] * FPS


@pytest.mark.parametrize("options", ["open-gop=1:b-adapt=0", "open-gop=1:b-adapt=0:b-pyramid=2"])
def test_what_refers_to_pictures_that_were_left_out_is_not_shown(
    options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures shown before a key frame that comes before them in the stream: one was a smear."""
    codec, others, _ = VIDEOS["h264-b-open.ts"]
    path = tmp_path / "film.ts"
    encoded(path, codec, {**others, "x264-params": options}, even_times(7 * FPS))
    with monkeypatch.context() as patch:
        whole, _ = shown(SlowDecoder(patch, lambda _: 0.001), path)
    machine = SlowDecoder(monkeypatch, lambda now: 0.7 if now < 4 else 0.001)
    found, backlog = shown(machine, path)
    assert backlog.left_out > FPS
    assert {one[1] for one in found} <= {one[1] for one in whole}
    assert len(found) + backlog.left_out == pytest.approx(len(whole), abs=3)


def test_pictures_left_out_for_either_reason_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, options, _ = VIDEOS["h264-b.mp4"]
    path = encoded(tmp_path / "film.mp4", codec, options, even_times(6 * FPS))
    found, backlog = shown(SlowDecoder(monkeypatch, lambda _: 0.05), path, max_fps=12.5)
    assert backlog.left_out > FPS
    wanted = [one for one in found if one[0] > 3]
    assert len(wanted) == pytest.approx(3 * 12.5, abs=3)
    counted = sum(1 + one[2] for one in found) + backlog.left_out
    assert 6 * FPS - 10 < counted <= 6 * FPS  # the last ones are still to be decoded
