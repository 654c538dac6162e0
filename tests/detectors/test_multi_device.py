"""Several devices as one: a thread each, order, who gets the next batch, failures and ends."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fakes import FakeDetector, FakeSource, Setup, fails, frames
from support.live_fakes import until
from support.threads import Latch, OneAtATime, in_thread, join

from pipeline.core.data import Detections, Frame
from pipeline.core.errors import ModelError, StageError
from pipeline.detectors.common.backend import Network
from pipeline.detectors.common.layouts import identify
from pipeline.detectors.common.multi_device import DeviceWorker, MultiDeviceBackend
from pipeline.detectors.common.postprocess import Postprocess

pytestmark = pytest.mark.timeout(60)

RULES = Postprocess(identify((1, 5, 84), (64, 64), 1, None), conf=0.1, iou=0.7, max_det=300)
Hook = Callable[[int], object]


def nothing(_: int) -> None:
    return None


def picture(shade: int) -> np.ndarray:
    return np.full((2, 2, 3), shade, np.uint8)


class FakeBackend:
    """Finds one box per picture, as wide as it is bright; hooks get the batch's number."""

    def __init__(self, number: int, on_submit: Hook = nothing, on_collect: Hook = nothing) -> None:
        self.number = number
        self.batch_size, self.in_flight = 4 + number, 2
        self.stage_ms: dict[str, float] = {}
        self.log: list[str] = []
        self.threads: set[str] = set()
        self.on_start: Callable[[], object] = lambda: None
        self.on_submit, self.on_collect = on_submit, on_collect
        self.closed = self.begun = 0
        self._queue: deque[tuple[int, list[int]]] = deque()
        self._alone = OneAtATime(f"device {number}")

    def read(self) -> Network:
        return Network((64, 64), (1, 5, 84), {0: "a"})

    def start(self, postprocess: Postprocess) -> None:
        assert postprocess is RULES
        self.on_start()

    def submit(self, images: Sequence[np.ndarray]) -> None:
        with self._alone(), self._forgetting():
            assert len(self._queue) < self.in_flight, "more batches than the device takes"
            batch, self.begun = self.begun, self.begun + 1
            self.log.append(f"submit {batch}")
            self.on_submit(batch)
            self._queue.append((batch, [int(image[0, 0, 0]) for image in images]))

    def collect(self) -> list[Detections]:
        with self._alone(), self._forgetting():
            batch, shades = self._queue.popleft()
            self.log.append(f"collect {batch}")
            self.on_collect(batch)
            self.stage_ms = {"infer": 10.0 * self.number + batch}
            return [found(shade) for shade in shades]

    def close(self) -> None:
        with self._alone():
            self.closed += 1

    def _forgetting(self) -> Forgetting:
        self.threads.add(threading.current_thread().name)
        return Forgetting(self._queue)


class Forgetting:
    """What raises within forgets all that is in flight, as a Backend must."""

    def __init__(self, queue: deque[Any]) -> None:
        self._queue = queue

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._queue.clear()


def found(shade: int) -> Detections:
    xyxy = np.array([[0, 0, shade, 1]], np.float32)
    return Detections(xyxy, np.ones(1, np.float32), np.zeros(1, np.int32))


def shades(answers: Sequence[Detections]) -> list[int]:
    return [int(one.xyxy[0, 2]) for one in answers]


class Made:
    """Fake devices with their workers, spread over and started."""

    def __init__(self, *backends: FakeBackend, ready: int = 1) -> None:
        self.backends = backends
        self.workers = [DeviceWorker(each, f"fake:{each.number}", ready=ready) for each in backends]
        self.spread = MultiDeviceBackend(self.workers)
        self.spread.read()
        self.spread.start(RULES)

    def submit(self, *batches: int) -> None:
        for shade in batches:
            self.spread.submit([picture(shade)])

    def collect(self, count: int) -> list[int]:
        return [shade for _ in range(count) for shade in shades(self.spread.collect())]

    def close(self) -> None:
        self.spread.close()
        self.spread.close()
        assert all(each.closed for each in self.backends)
        names = {f"infer on fake:{each.number}" for each in self.backends}
        assert not names & {thread.name for thread in threading.enumerate()}


def test_each_device_works_on_a_thread_of_its_own_at_the_same_time() -> None:
    """One thread for all devices: while it read one's answers, the others got no work."""
    meet = threading.Barrier(3, timeout=15)
    backends = [
        FakeBackend(n, on_submit=lambda _: meet.wait(), on_collect=lambda _: meet.wait())
        for n in range(3)
    ]
    made = Made(*backends)
    made.submit(1, 2, 3)
    assert made.collect(3) == [1, 2, 3]
    made.close()
    assert [each.threads for each in backends] == [{f"infer on fake:{n}"} for n in range(3)]


def test_batches_come_back_in_order_with_their_own_answers_and_times() -> None:
    """The first device is the slowest: what others found first must wait for it."""
    all_begun = Latch()
    made = Made(FakeBackend(0, on_collect=all_begun), FakeBackend(1), FakeBackend(2))
    assert (made.spread.batch_size, made.spread.in_flight) == (4, 9)
    in_thread(lambda: (until(lambda: made.workers[1].unanswered == 0), all_begun.open()))
    for first in (10, 20, 30, 40):
        made.spread.submit([picture(first + n) for n in range(3)])
    answers = [shades(made.spread.collect()) for _ in range(4)]
    assert answers == [[10, 11, 12], [20, 21, 22], [30, 31, 32], [40, 41, 42]]
    made.submit(50)
    assert made.collect(1) == [50]
    assert made.spread.stage_ms in [{"infer": 10.0 * n + 1} for n in range(3)]
    made.close()


def test_stage_times_are_those_of_the_batch_collected() -> None:
    """A device goes on with its next batch before the last one's times are asked for."""
    made = Made(FakeBackend(1))
    made.submit(1, 2, 3)
    until(lambda: made.workers[0].unanswered == 0)
    times = [(made.collect(1), made.spread.stage_ms["infer"]) for _ in range(3)]
    assert times == [([1], 10.0), ([2], 11.0), ([3], 12.0)]
    made.close()


def test_equal_devices_take_turns_and_none_gets_more_than_it_takes() -> None:
    hold = Latch()
    made = Made(*(FakeBackend(n, on_submit=hold) for n in range(3)))
    counts = []
    for shade in range(9):
        made.submit(shade)
        counts.append([worker.unanswered for worker in made.workers])
    assert counts[2::3] == [[1, 1, 1], [2, 2, 2], [3, 3, 3]]
    hold.open()
    assert made.collect(9) == list(range(9))
    made.close()


def test_a_slow_device_does_not_hold_work_that_a_fast_one_could_take() -> None:
    """With batches in turn each second one waited for the slow device: lock-step."""
    hold = Latch()
    made = Made(FakeBackend(0, on_collect=hold), FakeBackend(1))
    for shade in range(6):
        made.submit(shade)
        until(lambda: made.workers[1].unanswered == 0)
    assert [each.begun for each in made.backends] == [1, 5]
    hold.open()
    assert made.collect(6) == list(range(6))
    made.close()


@pytest.mark.parametrize(("ready", "begun_third"), [(1, "submit 2"), (0, "collect 1")])
def test_a_device_has_its_next_batch_before_its_answer_is_looked_at(
    ready: int, begun_third: str
) -> None:
    """Without one that is ready, a device had nothing to do while the tracker ran."""
    hold, backend = Latch(), FakeBackend(0, on_submit=lambda batch: batch or hold())
    made = Made(backend, ready=ready)
    made.submit(*range(made.spread.in_flight))
    hold.open()
    until(lambda: made.workers[0].unanswered == 0)
    assert backend.log[:4] == ["submit 0", "submit 1", "collect 0", begun_third]
    made.close()


def test_an_idle_device_holds_no_picture() -> None:
    """Frame memory is used again once nobody refers to it; a waiting thread must not."""
    made = Made(FakeBackend(0))
    image = picture(7)
    before = sys.getrefcount(image)
    made.spread.submit([image])
    assert shades(made.spread.collect()) == [7]
    until(lambda: sys.getrefcount(image) == before, "the picture is still held")
    made.close()


# -- failures and ends ----------------------------------------------------------------------------


def breaks_at(number: int) -> Hook:
    def hook(batch: int) -> None:
        if batch == number:
            raise RuntimeError("out of memory")

    return hook


@pytest.mark.parametrize("where", ["on_submit", "on_collect"])
def test_a_failure_is_raised_for_its_batch_and_the_next_one_starts_afresh(where: str) -> None:
    """What a thread raises must reach whoever collects; no batch may get another's answer."""
    made = Made(FakeBackend(0), FakeBackend(1))
    setattr(made.backends[1], where, breaks_at(1))
    hold = Latch()
    made.backends[0].on_submit = lambda batch: batch or hold()
    made.submit(1, 2, 3, 4, 5)
    hold.open()
    answered: list[int] = []
    with pytest.raises(StageError, match=r"^detector yolo on fake:1: RuntimeError: out of memory$"):
        answered.extend(made.collect(1)[0] for _ in range(5))
    assert answered
    assert answered == list(range(1, len(answered) + 1))
    for _ in range(3):
        made.submit(6, 7, 8)
        assert made.collect(3) == [6, 7, 8]
    made.close()


def test_a_failure_takes_with_it_what_was_in_flight_on_its_device_alone() -> None:
    """A backend that raises forgets its batches: their answers would never come."""
    all_given = Latch()
    backend = FakeBackend(0, on_submit=lambda batch: batch or all_given(), on_collect=breaks_at(0))
    worker = DeviceWorker(backend, "fake:0")
    worker.start(RULES)
    given = [worker.submit([picture(shade)]) for shade in (1, 2, 3)]
    all_given.open()
    for answer in given[:2]:
        with pytest.raises(StageError, match="out of memory"):
            answer.result(15)
    assert shades(given[2].result(15)[0]) == [3]
    worker.close()
    with pytest.raises(StageError, match="submit after close"):
        worker.submit([picture(4)])


def test_closing_does_not_wait_for_work_that_has_not_begun() -> None:
    """And whoever still waits for an answer is told, not left waiting."""
    inside, hold = Latch(), Latch()

    def on_collect(_: int) -> None:
        inside.open()
        hold()

    backend = FakeBackend(0, on_collect=on_collect)
    worker = DeviceWorker(backend, "fake:0")
    worker.start(RULES)
    given = [worker.submit([picture(shade)]) for shade in range(4)]
    inside()
    closing = in_thread(worker.close)
    hold.open()
    join(closing)
    assert given[3].cancelled()
    assert backend.closed == 1
    assert backend.begun <= 3
    for answer in given[:3]:
        assert answer.done()


class Unsteady(FakeBackend):
    """Cannot say how much it takes, once it is broken: asked where no batch is known."""

    broken = False

    @property
    def in_flight(self) -> int:
        if self.broken:
            raise RuntimeError("device lost")
        return 2

    @in_flight.setter
    def in_flight(self, _: int) -> None:
        pass


def test_a_thread_that_ended_by_itself_leaves_no_caller_waiting() -> None:
    """It took no notice of what was given later, and whoever collected that waited for ever."""
    inside, hold = Latch(), Latch()
    backend = Unsteady(0, on_submit=lambda batch: (inside.open(), hold()))
    worker = DeviceWorker(backend, "fake:0")
    worker.start(RULES)
    given = [worker.submit([picture(shade)]) for shade in range(3)]
    given[2].cancel()
    inside()
    backend.broken = True
    hold.open()
    message = "^detector yolo on fake:0: RuntimeError: device lost$"
    for answer in given[:2]:
        with pytest.raises(StageError, match=message):
            answer.result(15)
    assert given[2].cancelled()
    with pytest.raises(StageError, match=message):
        worker.submit([picture(4)])
    worker.close()
    assert backend.closed == 1


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_where_one_device_cannot_start_none_is_left_running(failing: int) -> None:
    """Threads and memory of the others would stay until the process ends."""
    backends = [FakeBackend(n) for n in range(3)]
    workers = [DeviceWorker(each, f"fake:{each.number}") for each in backends]
    spread = MultiDeviceBackend(workers)
    spread.read()

    def on_start() -> None:
        raise ModelError("device: no cuda:1")

    backends[failing].on_start = on_start
    with pytest.raises(ModelError, match="no cuda:1"):
        spread.start(RULES)
    assert [each.closed for each in backends] == [1, 1, 1]
    assert not [one for one in threading.enumerate() if one.name.startswith("infer on fake")]


class SpreadDetector(FakeDetector):
    """The spread devices as the engine sees them."""

    def __init__(self, made: Made) -> None:
        super().__init__(batch_size=made.spread.batch_size)
        self.made = made
        self.in_flight = made.spread.in_flight

    def submit(self, frames: Sequence[Frame]) -> None:
        self.made.spread.submit([picture(frame.index + 1) for frame in frames])

    def collect(self) -> list[Detections]:
        return self.made.spread.collect()

    def close(self) -> None:
        super().close()
        self.made.close()


def test_sources_spread_over_devices_keep_their_frames_in_order() -> None:
    """A tracker must see its source's frames one after the other, whichever device had them."""
    detector = SpreadDetector(Made(FakeBackend(0), FakeBackend(1)))
    setup = Setup(FakeSource("a", frames(41)), FakeSource("b", frames(23)), detector=detector)
    seen: dict[str, list[int]] = {"a": [], "b": []}
    for result in setup.pipeline.results():
        seen[result.frame.source].append(result.frame.index)
        assert shades([result.detections]) == [result.frame.index + 1]
    setup.check_end()
    assert seen == {"a": list(range(41)), "b": list(range(23))}
    assert all(each.begun > 1 for each in detector.made.backends)


def test_a_failing_device_ends_the_run_in_order() -> None:
    detector = SpreadDetector(Made(FakeBackend(0), FakeBackend(1, on_collect=breaks_at(3))))
    setup = Setup(FakeSource("a", frames(500)), detector=detector)
    fails(setup, StageError, "^detector yolo on fake:1: RuntimeError: out of memory$")
    written = setup.sinks["table"].written["a"]
    assert written == list(range(len(written)))
    assert setup.stats("a").dropped["failed"] > 0


# -- torch ----------------------------------------------------------------------------------------


def spread_over(path: Path, devices: Sequence[str], **more: Any) -> tuple[MultiDeviceBackend, Any]:
    """The torch backend on several devices, and alone on the first; both started."""
    from support.torch_backends import rules_for, settings_for

    from pipeline.detectors.torch.backend import TorchBackend

    tensors = not devices[0].startswith("cuda")
    settings = [settings_for(path, device=each, **more) for each in devices]
    several = [TorchBackend(each, tensors_on_cpu=tensors) for each in settings]
    names = [f"{each} ({n})" for n, each in enumerate(devices)]
    workers = [DeviceWorker(*each) for each in zip(several, names, strict=True)]
    spread, alone = MultiDeviceBackend(workers), TorchBackend(settings[0], tensors_on_cpu=tensors)
    for backend in (spread, alone):
        backend.start(rules_for(backend.read()))
    return spread, alone


def check_spread(spread: MultiDeviceBackend, alone: Any, images: list[np.ndarray]) -> None:
    """Many batches of several sizes in flight give what one device gives one by one."""
    from support.detection_compare import PIXELS, SCORE, compare
    from support.torch_backends import detected

    batches = [images[:3], images[3:4], images[4:8], images[1:6], images[2:4], images[:8]]
    expected = [detected(alone, batch) for batch in batches]
    waiting: deque[list[Detections]] = deque()
    for batch, answer in zip(batches * 2, expected * 2, strict=True):
        spread.submit(batch)
        waiting.append(answer)
        if len(waiting) == spread.in_flight:
            compare_one(compare, spread.collect(), waiting.popleft(), PIXELS, SCORE)
    while waiting:
        compare_one(compare, spread.collect(), waiting.popleft(), PIXELS, SCORE)
    assert set(spread.stage_ms) == {"preprocess", "infer", "postprocess"}


def compare_one(
    compare: Any, found: list[Detections], wanted: list[Detections], pixels: float, score: float
) -> None:
    result = compare(dict(enumerate(found)), wanted)
    assert len(result.pixels) >= len(wanted)
    assert max(result.pixels) <= pixels
    assert max(result.score) <= score
    assert [one for one in result.alone if one > 0.27] == []


@pytest.mark.needs_shared
@pytest.mark.needs_torch
@pytest.mark.usefixtures("one_torch_thread")
def test_the_network_on_two_threads_gives_what_it_gives_on_one(shared: Path) -> None:
    """On CPU tensors, which go the way of the GPU's: nothing of a device is shared by accident."""
    from support.torch_backends import pictures

    images = pictures(shared, 8)
    spread, alone = spread_over(shared / "models" / "yolo11n.pt", ["cpu", "cpu"])
    check_spread(spread, alone, images)

    spread.submit(images[:2])
    spread.submit([np.zeros((64, 64), np.uint8)])
    assert len(spread.collect()) == 2
    with pytest.raises(StageError, match=r"on cpu \(\d\): ValueError: .*broadcast"):
        spread.collect()
    for _ in range(3):
        spread.submit(images[:2])
    assert len(spread.collect()) == 2  # and it is closed with work in flight
    for backend in (spread, alone):
        backend.close()


@pytest.mark.needs_shared
@pytest.mark.needs_torch
@pytest.mark.needs_cuda
@pytest.mark.parametrize("devices", [(0, 0), (0, 1)], ids=["one GPU twice", "two GPUs"])
def test_devices_capture_and_run_at_the_same_time(
    shared: Path, cuda: Any, devices: tuple[int, int]
) -> None:
    """PyTorch allows one capture at a time in a process; each device has graphs of its own.

    What a thread leaves current on the wrong device goes wrong only where there are two.
    """
    import torch
    from support.torch_backends import pictures

    if max(devices) >= torch.cuda.device_count():
        pytest.skip("one CUDA device")
    assert cuda.type == "cuda"
    images = pictures(shared, 8)
    names = [f"cuda:{index}" for index in devices]
    spread, alone = spread_over(shared / "models" / "yolo11n.pt", names, batch=8)
    check_spread(spread, alone, images)
    assert torch.cuda.current_device() == 0
    for backend in (spread, alone):
        backend.close()
