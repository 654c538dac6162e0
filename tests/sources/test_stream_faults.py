"""What goes wrong between a program and its camera, through the real engine and a real protocol.

Each fault ends in SourceLostError within the time limits or is lived through, and the pictures come
back when it is over; a test that hangs is stopped by its time limit.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support import rtsp_server
from support.fakes import FakeDetector, FakeTracker
from support.fault_proxy import Fault, FaultProxy, proxied
from support.stream_reading import open_patiently, read_until_lost
from support.web_cameras import http_camera

from pipeline.core.errors import SourceLostError
from pipeline.engine import Pipeline, RunOptions
from pipeline.sources import stream

pytestmark = pytest.mark.timeout(60)

LIMITS = {"open_timeout_s": 0.7, "read_timeout_s": 0.7}
HTTP_LIMITS = {"open_timeout_s": 2.0, "read_timeout_s": 0.7}
ENDING: list[Fault] = ["refuse", "hang", "reset", "garbage", "drip"]
LIVED_THROUGH: list[Fault] = ["delay", "split"]


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with rtsp_server.running() as camera, proxied(camera.port) as between:
        yield between


def source_behind(proxy: FaultProxy, **options: Any) -> stream.StreamSource:
    url = f"rtsp://127.0.0.1:{proxy.port}/live"
    return stream.build(stream.Options(url=url, name="door", **{**LIMITS, **options}))


@pytest.mark.slow
@pytest.mark.parametrize("fault", ENDING)
def test_a_camera_that_cannot_be_opened_is_lost_within_its_time(
    proxy: FaultProxy, fault: Fault
) -> None:
    proxy.set(fault)
    source = source_behind(proxy)
    with pytest.raises(SourceLostError, match="source door: "):
        source.open()
    proxy.set("none")
    assert open_patiently(source).read() is not None
    source.close()


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp", "tcp"])
@pytest.mark.parametrize(
    ("open_timeout_s", "read_timeout_s"), [(0.3, 0.3), (0.3, 30), (30, 0.3)], ids=str
)
def test_a_camera_that_says_nothing_does_not_answer(
    scheme: str, open_timeout_s: float, read_timeout_s: float
) -> None:
    """Whichever of the time limits ends it: FFmpeg has other errors for the same silence."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/live"
        limits = {"open_timeout_s": open_timeout_s, "read_timeout_s": read_timeout_s}
        source = stream.build(stream.Options.model_validate({"url": url, "name": "door", **limits}))
        with pytest.raises(SourceLostError, match=r"^source door: does not answer$"):
            source.open()
        source.close()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ENDING)
def test_a_camera_that_fails_while_it_is_read_comes_back(proxy: FaultProxy, fault: Fault) -> None:
    """Through the engine: a new epoch, books that balance, no end of the run."""
    pipeline, epochs = run_until(
        source_behind(proxy),
        [(0, lambda: proxy.set(fault)), (None, lambda: proxy.set("none")), (1, None)],
    )
    assert epochs == {0, 1}
    stats = pipeline.stats.sources["door"]
    assert stats.reconnects == 1
    assert stats.grabbed == stats.delivered + sum(stats.dropped.values())


@pytest.mark.slow
@pytest.mark.parametrize("fault", LIVED_THROUGH)
def test_slow_and_split_connections_are_lived_through(proxy: FaultProxy, fault: Fault) -> None:
    source = source_behind(proxy, open_timeout_s=20, read_timeout_s=20)
    source.open()
    proxy.set(fault)
    assert [source.read().index for _ in range(30)] == list(range(30))
    source.close()
    assert proxy.connections == 1


@pytest.mark.slow
def test_a_bad_line_gives_pictures_all_the_same(proxy: FaultProxy) -> None:
    """One piece in ten stalls, one in a hundred breaks the connection off."""
    proxy.set("lossy")
    source = source_behind(proxy)
    taken = 0
    while taken < 60:
        try:
            source.open()
            while taken < 60:
                source.read()
                taken += 1
        except SourceLostError:
            continue
    source.close()


@pytest.mark.slow
def test_bytes_that_never_become_a_picture_are_a_lost_camera(proxy: FaultProxy) -> None:
    """FFmpeg's own time limit begins anew with every byte; ours with every picture."""
    source = open_patiently(source_behind(proxy))
    proxy.set("drip")
    with pytest.raises(SourceLostError, match=r"no picture for 0.7 s|broke off|stopped answering"):
        read_until_lost(source)
    source.close()


@pytest.mark.slow
def test_a_camera_that_is_down_at_the_start_is_waited_for(proxy: FaultProxy) -> None:
    proxy.set("refuse")
    opener = threading.Timer(0.5, lambda: proxy.set("none"))
    opener.start()
    _, epochs = run_until(source_behind(proxy), [(0, None)])
    opener.join()
    assert epochs == {0}


@pytest.mark.slow
def test_the_end_of_a_run_waits_for_no_camera_that_hangs(
    proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Ctrl-C and SIGTERM took five seconds, and then left the camera's thread behind."""
    proxy.set("hang")
    source = source_behind(proxy, open_timeout_s=60)
    pipeline = Pipeline([source], FakeDetector(), FakeTracker, {})

    def stop() -> None:
        while not proxy.connections:
            time.sleep(0.01)
        pipeline.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert list(pipeline.results()) == []
    stopper.join()
    assert caplog.messages == []
    assert "grab door" not in {thread.name for thread in threading.enumerate()}


def run_until(
    source: stream.StreamSource, steps: list[tuple[int | None, Any]]
) -> tuple[Pipeline, set[int]]:
    """Run the pipeline through the steps and return the epochs seen.

    A step is (epoch to see three frames of, what to do then); without an epoch: once no frame has
    come for longer than the source's time limits.
    """
    pipeline = Pipeline(
        [source],
        FakeDetector(),
        FakeTracker,
        {},
        options=RunOptions(retry_first_s=0.05, retry_longest_s=0.2),
    )
    seen: list[int] = []
    last = [time.monotonic()]

    def direct() -> None:
        for epoch, act in steps:
            while not _reached(epoch, seen, last[0]) and pipeline.stop_reason is None:
                time.sleep(0.01)
            if act is not None:
                act()
        pipeline.stop()

    director = threading.Thread(target=direct)
    director.start()
    for result in pipeline.results():
        seen.append(result.frame.epoch)
        last[0] = time.monotonic()
    director.join()
    return pipeline, set(seen)


def _reached(epoch: int | None, seen: list[int], last: float) -> bool:
    if epoch is None:
        return time.monotonic() - last > 1.0
    return seen.count(epoch) >= 3


# -- cameras that speak HTTP ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("path", ["cam.mjpg", "live/index.m3u8"])
@pytest.mark.parametrize("fault", ["hang", "reset", "garbage"])
def test_web_cameras_are_lost_and_come_back(path: str, fault: Fault) -> None:
    with http_camera() as site, proxied(int(site.rpartition(":")[2])) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/{path}"
        source = stream.build(stream.Options(url=url, **HTTP_LIMITS))
        open_patiently(source)
        proxy.set(fault)
        with pytest.raises(SourceLostError):
            read_until_lost(source)
        source.close()
        proxy.set("none")
        open_patiently(source)
        source.close()
