"""A decoder slower than its camera stays current: simulated, with a clock of the test's own."""

from __future__ import annotations

import pytest
from support.fakes import FakeSource, Setup, Step, frames

from pipeline.sources._stream.backlog import Backlog

FPS = 25


def simulated(decode_s: float, gop: int, seconds: float = 60) -> tuple[Backlog, list[float]]:
    """Return the backlog and the age of each decoded picture, of a camera that never waits."""
    backlog, now, ages = Backlog(), 0.0, []
    for n in range(round(seconds * FPS)):
        filmed = n / FPS
        waited = max(0.0, filmed - now)
        now += waited + 1e-4
        if backlog.wants(waited, now, keyframe=n % gop == 0):
            now += decode_s
            ages.append(now - filmed)
    return backlog, ages


def test_a_decoder_that_keeps_up_leaves_nothing_out() -> None:
    backlog, ages = simulated(0.035, gop=50)
    assert (backlog.left_out, backlog.episodes, len(ages)) == (0, 0, 60 * FPS)


@pytest.mark.parametrize("gop", [1, 25, 50])
@pytest.mark.parametrize("decode_s", [0.045, 0.06, 0.12])
def test_pictures_do_not_grow_old_where_decoding_is_too_slow(decode_s: float, gop: int) -> None:
    """Socket buffers hold ten seconds and more, which nobody saw in the age since arrival."""
    backlog, ages = simulated(decode_s, gop)
    assert backlog.left_out > 0
    assert max(ages) < 2.5
    assert len(ages) > 60
    assert len(ages) + backlog.left_out == 60 * FPS


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
