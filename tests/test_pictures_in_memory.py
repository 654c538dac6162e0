"""`track` and `detect` of pictures a program holds: arrays, iterators, and what is neither."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_networks import constant_network, one_box_network
from support.tiny_videos import grey_picture as picture
from support.tiny_videos import noise_picture, write_video

import trackline
from trackline import ConfigError, ModelError, SourceError


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It finds one box in the middle of every picture."""
    return one_box_network(tmp_path_factory.mktemp("network") / "one.onnx")


def several(count: int = 3) -> list[np.ndarray]:
    return [picture(number) for number in range(count)]


def one_buffer() -> Iterator[np.ndarray]:
    """As programs read cameras: the same memory, written again for every frame."""
    buffer = picture()
    for number in range(3):
        buffer[:] = number
        yield buffer


class Camera:
    """Any object that can be iterated over."""

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(several())


GIVEN = {
    "one picture": (picture(), 1),
    "turned channels": (picture()[:, :, ::-1], 1),
    "a part of one": (picture(0, 96, 128)[::2, ::2], 1),
    "read-only": (np.broadcast_to(np.uint8(7), (48, 64, 3)), 1),
    "many in one array": (np.stack(several()), 3),
    "a list": (several(), 3),
    "a tuple": (tuple(several()), 3),
    "a generator": (lambda: (each for each in several()), 3),
    "an iterator": (lambda: iter(several()), 3),
    "map": (lambda: map(np.ascontiguousarray, several()), 3),
    "a deque": (deque(several()), 3),
    "an object": (Camera(), 3),
    "one buffer": (one_buffer, 3),
    "with times": (list(zip(several(), (0.0, 0.5, 2.0), strict=True)), 3),
    "a generator with times": (lambda: zip(several(), (0, 1, 2), strict=True), 3),
    "sizes that change": ([picture(), picture(1, 96, 32), picture(2)], 3),
}


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("function", [trackline.track, trackline.detect])
def test_pictures_are_a_source(name: str, function: Any, model: trackline.LoadedModel) -> None:
    """They were refused, or their text was taken for the name of a file."""
    source, count = GIVEN[name]
    results = [*function(source() if callable(source) else source, model=model)]
    assert len(results) == count
    assert [result.frame.index for result in results] == [*range(count)]
    assert [len(result.detections) for result in results] == [1] * count
    assert {result.frame.source for result in results} == {"frames"}
    values = [int(result.frame.image[0, 0, 0]) for result in results]
    if count == 3:
        assert values == [0, 1, 2], "each frame keeps its own pixels"


@pytest.mark.parametrize(
    ("source", "options", "times"),
    [
        (several(), {}, [0, 1 / 30, 2 / 30]),
        (several(), {"fps": 10}, [0, 0.1, 0.2]),
        ([*zip(several(), (1.0, 1.5, 4.0), strict=True)], {}, [1, 1.5, 4]),
        ((picture(), np.float32(2.5)), {}, [2.5]),
    ],
)
def test_times_are_those_given_or_of_the_frame_rate(source, options, times, model) -> None:
    results = trackline.detect(source, model=model, **options)
    assert [result.frame.pts_s for result in results] == pytest.approx(times)


def test_several_iterators_are_several_sources(model: trackline.LoadedModel) -> None:
    found = trackline.track([iter(several(2)), iter(several(3))], model=model)
    names = sorted(result.frame.source for result in found)
    assert names == ["frames"] * 2 + ["frames-2"] * 3


def test_an_iterator_of_paths_is_still_one(tmp_path: Path, model: trackline.LoadedModel) -> None:
    for name in "ab":
        write_video(tmp_path / f"{name}.mkv", [noise_picture(n) for n in range(2)])
    results = [*trackline.detect(tmp_path.glob("*.mkv"), model=model)]
    assert sorted({result.frame.source for result in results}) == ["a", "b"]


WANT = "want a BGR picture, a numpy array uint8"
REFUSED = {
    "grey": (picture()[:, :, 0], r"source: want a BGR picture.*got uint8 \(48, 64\)"),
    "alpha": (np.zeros((4, 4, 4), np.uint8), r"got uint8 \(4, 4, 4\)"),
    "floats": (np.zeros((4, 4, 3)), r"got float64 \(4, 4, 3\)"),
    "16 bits": (np.zeros((4, 4, 3), np.uint16), r"got uint16"),
    "channels first": (np.zeros((3, 48, 64), np.uint8), r"got uint8 \(3, 48, 64\)"),
    "nothing in it": (np.zeros((0, 4, 3), np.uint8), r"got uint8 \(0, 4, 3\)"),
    "no pictures": (np.zeros((0, 4, 4, 3), np.uint8), r"got uint8 \(0, 4, 4, 3\)"),
    "bytes": (b"\xff\xd8\xff", r"got bytes \(3\)\. read_picture decodes"),
    "bytearray": (bytearray(4), r"got bytearray \(4\)"),
    "None": (None, r"want a path, .* got NoneType"),
    "a truth": (True, r"got bool True"),
    "a float": (0.5, r"got float 0\.5"),
    "an object": (object(), r"got object"),
    "an empty list": ([], r"got an empty list"),
    "an empty iterator": (iter(()), r"holds nothing"),
    "None in a list": ([None], r"item 0: .*got NoneType"),
    "a bad one in a list": ([picture(), picture()[:, :, 0]], r"item 1: .*uint8 \(48, 64\)"),
    "paths and pictures": (["a.mp4", picture()], r"item 1: want all items of one kind"),
    "pictures and paths": ([picture(), "a.mp4"], r"item 1: .*got str 'a.mp4' beside uint8|item 0"),
    "a list of bytes": ([b"abc"], r"item 0|got bytes"),
    "an iterator of numbers": (iter([0.5]), r"item 0: want a BGR picture.*got float 0\.5"),
    "an open file": (io.BytesIO(b"x"), r"got _io\.BytesIO"),
    "a file in a list": ([io.BytesIO(b"x")], r"item 0: .*got _io\.BytesIO"),
    "a set": ({0.5}, r"item 0: want a BGR picture"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_source_is_refused_in_one_line(name: str) -> None:
    source, says = REFUSED[name]
    with pytest.raises(SourceError, match=says) as caught:
        trackline.detect(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([picture(), None], "frames: item 1: want a BGR picture.*got NoneType"),
        ([picture(), picture()[:, :, 0]], r"frames: item 1: .*got uint8 \(48, 64\)"),
        ([(picture(), 1.0), (picture(), 0.5)], "item 1: want a time not before the last"),
        ([(picture(), 0.0), (picture(), float("nan"))], "item 1: want a time"),
    ],
)
def test_a_bad_item_later_ends_the_run_after_the_good_ones(items, says, model) -> None:
    results = trackline.detect(iter(items), model=model)
    seen = []
    with pytest.raises(SourceError, match=says):
        seen += results
    assert len(seen) <= 1


def test_an_error_of_the_generator_is_what_is_raised(model: trackline.LoadedModel) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield picture()
        raise RuntimeError("the lens fell off")

    with pytest.raises(trackline.PipelineError, match="the lens fell off"):
        list(trackline.detect(broken(), model=model))


def test_breaking_off_ends_the_generator(model: trackline.LoadedModel) -> None:
    ended = threading.Event()

    def endless() -> Iterator[np.ndarray]:
        try:
            while True:
                yield picture()
        finally:
            ended.set()

    results = trackline.detect(endless(), model=model)
    next(results)
    results.close()
    assert ended.wait(10)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), "25", True])
def test_a_bad_frame_rate_is_refused(fps: Any) -> None:
    with pytest.raises(ConfigError, match="fps: want a number above 0"):
        trackline.detect(picture(), fps=fps)


def test_a_frame_rate_is_for_pictures_only() -> None:
    with pytest.raises(ConfigError, match="files and cameras have their own times"):
        trackline.detect("a.mp4", fps=25)


@pytest.mark.parametrize("wrong", [None, 7, b"run.yaml", np.zeros(3), ["a.mp4"], object()])
def test_run_takes_configurations_only(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"want a configuration: .* got "):
        trackline.run(wrong)


# -- a model that stays loaded --------------------------------------------------------------------


def test_a_loaded_model_is_loaded_once(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve pictures cost twelve loads."""
    from pipeline.detectors.common.network_detector import NetworkDetector

    opened = []
    original = NetworkDetector.open

    def counting(self: NetworkDetector, **options: Any) -> Any:
        opened.append(self)
        return original(self, **options)

    monkeypatch.setattr(NetworkDetector, "open", counting)
    with trackline.load_model(network) as model:
        assert model.class_names == {0: "person", 1: "car"}
        for number in range(12):
            (result,) = trackline.detect(picture(number), model=model)
            assert len(result.detections) == 1
    assert len(opened) == 1


@pytest.mark.parametrize("options", [{"conf": 0.95}, {"classes": ["car"]}, {"conf": 0.5}])
def test_it_gives_what_loading_it_each_time_gives(network: Path, options: Any) -> None:
    expected = [*trackline.track(several(), model=network, **options)]
    with trackline.load_model(network, **options) as model:
        for _ in range(2):
            found = [*trackline.track(several(), model=model)]
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one.detections.xyxy, other.detections.xyxy)
                np.testing.assert_array_equal(one.tracks.track_id, other.tracks.track_id)


@pytest.mark.parametrize(("score", "tracker", "boxes"), [(0.2, "none", 0), (0.2, "bytetrack", 1)])
def test_the_lowest_score_is_the_runs_own(tmp_path: Path, score, tracker, boxes) -> None:
    """A tracker that makes use of doubtful boxes gets them, also from a model loaded before."""
    box = np.array([[32], [24], [20], [10], [score], [0.0]], np.float32)[None]
    weights = constant_network(tmp_path / "n.onnx", box, metadata={"names": "{0: 'a', 1: 'b'}"})
    with trackline.load_model(weights) as model:
        (result,) = trackline.track(picture(), model=model, tracker=tracker)
        (expected,) = trackline.track(picture(), model=weights, tracker=tracker)
    assert len(result.detections) == len(expected.detections) == boxes


@pytest.mark.slow
def test_runs_on_many_threads_get_their_own_answers(network: Path) -> None:
    """Each run's pictures have a size of their own, and so have the boxes it must get."""
    found: dict[int, list[float]] = {}

    def work(number: int, model: trackline.LoadedModel) -> None:
        size = 64 * (number + 1)
        pictures = [picture(0, size, size)] * 20
        results = trackline.track(iter(pictures), model=model)
        found[number] = [float(result.detections.xyxy[0, 2]) for result in results]

    with trackline.load_model(network) as model:
        threads = [threading.Thread(target=work, args=(n, model)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(4):
            alone = trackline.detect(picture(0, 64 * (number + 1), 64 * (number + 1)), model=model)
            expected = float(next(alone).detections.xyxy[0, 2])
            assert found[number] == [expected] * 20


def test_a_run_that_is_broken_off_leaves_nothing_behind(model: trackline.LoadedModel) -> None:
    for _ in range(3):
        results = trackline.track((picture() for _ in range(100)), model=model)
        next(results)
        results.close()
    assert len([*trackline.track(several(), model=model)]) == 3


def test_two_runs_taken_in_turn_by_one_thread(model: trackline.LoadedModel) -> None:
    """Neither may wait for the other to end."""
    runs = [trackline.track((picture() for _ in range(40)), model=model) for _ in range(2)]
    assert sum(1 for _ in zip(*runs, strict=True)) == 40


def test_a_closed_model_says_so(network: Path) -> None:
    model = trackline.load_model(network)
    model.close()
    model.close()
    with pytest.raises(ModelError, match="model: closed"):
        trackline.detect(picture(), model=model)


def test_closing_while_a_run_uses_it_ends_the_run(network: Path) -> None:
    model = trackline.load_model(network)
    results = trackline.track((picture() for _ in range(10_000)), model=model)
    next(results)
    model.close()
    with pytest.raises(ModelError, match="model: closed"):
        list(results)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"conf": 0.5}, "conf: belongs in load_model"),
        ({"conf": 0.5, "imgsz": 320}, "conf, imgsz: belongs in load_model"),
    ],
)
def test_options_of_a_loaded_model_are_given_when_it_is_loaded(given, says, model) -> None:
    with pytest.raises(ConfigError, match=says):
        trackline.detect(picture(), model=model, **given)


@pytest.mark.parametrize("wrong", [7, b"yolo11n.onnx", object(), ["yolo11n"], 0.5, True])
def test_a_model_of_the_wrong_type_is_refused(wrong: Any) -> None:
    for function in (lambda m: trackline.detect(picture(), model=m), trackline.load_model):
        with pytest.raises(ConfigError, match="model: want a name, a path, an address"):
            function(wrong)
