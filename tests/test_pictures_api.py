"""`detect` of files of pictures, and `localize`: the one best object."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_networks import constant_network
from support.tiny_videos import grey_picture as picture
from support.tiny_videos import write_picture

import trackline
from trackline import ConfigError, Detection, SourceBrokenError, SourceError

# Two persons of one score, a car of a higher one, in the network's 64x64 pixels.
ROWS = [(10, 10, 8, 8, 0.5, 0.0), (32, 24, 20, 10, 0.5, 0.0), (50, 30, 6, 6, 0.0, 0.8)]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = np.array(ROWS, np.float32).T[None]
    path = tmp_path_factory.mktemp("network") / "three.onnx"
    return constant_network(path, rows, metadata={"names": "{0: 'person', 1: 'car'}"})


def test_one_picture_is_one_result(tmp_path: Path, model: trackline.LoadedModel) -> None:
    path = write_picture(tmp_path / "a.png", height=48, width=64)
    [result] = trackline.detect(path, model=model)
    assert result.frame.file == str(path)
    assert len(result.detections) == 3
    assert result.tracks.track_id.tolist() == [0, 0, 0]


def test_a_list_of_pictures_is_one_source_in_its_order(tmp_path: Path, model: Any) -> None:
    """Each was a source with a thread, opened and decoded before the first result, and again."""
    paths = [
        write_picture(tmp_path / f"{n}.png", n, height=40 + n, width=64) for n in (3, 1, 12, 2)
    ]
    for given in (paths, [str(path) for path in paths], tuple(paths)):
        results = [*trackline.detect(given, model=model)]
        assert [result.frame.file for result in results] == [str(path) for path in paths]
        assert {result.frame.source for result in results} == {"pictures"}
        assert [result.frame.image.shape[0] for result in results] == [43, 41, 52, 42]


def test_the_others_are_detected_on_where_one_of_a_list_cannot_be_read(
    tmp_path: Path, model: Any
) -> None:
    good = [write_picture(tmp_path / f"{n}.png") for n in range(2)]
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    results = []
    with pytest.raises(SourceBrokenError, match=r"bad\.jpg.*2 such"):
        results += trackline.detect(
            [good[0], tmp_path / "bad.jpg", tmp_path / "absent.png", good[1]], model=model
        )
    assert len(results) <= 2


BEST = Detection((47.0, 19.0, 53.0, 25.0), pytest.approx(0.8), 1, "car")  # type: ignore[arg-type]
LARGEST = Detection((22.0, 11.0, 42.0, 21.0), pytest.approx(0.5), 0, "person")  # type: ignore[arg-type]


@pytest.mark.parametrize(("classes", "found"), [
    (None, BEST), ("car", BEST), (["person", "car"], BEST), (1, BEST),
    ("person", LARGEST), ([0], LARGEST),
])  # fmt: skip
def test_the_best_object_has_the_highest_score_and_is_the_largest(
    classes: Any, found: Detection, network: Path, model: trackline.LoadedModel
) -> None:
    for given in (model, network):
        one = trackline.localize(picture(), classes=classes, model=given)
        assert one is not None
        assert one == Detection(
            pytest.approx(found.xyxy, abs=0.01), found.score, found.class_id, found.class_name
        )


def test_an_object_of_a_file_and_of_an_array_is_the_same(tmp_path: Path, model: Any) -> None:
    path = write_picture(tmp_path / "a.png", 7, height=48, width=64)
    assert trackline.localize(path, model=model) == trackline.localize(picture(7), model=model)


def test_no_object_is_none(network: Path) -> None:
    with trackline.load_model(network, conf=0.95) as strict:
        assert trackline.localize(picture(), model=strict) is None
    assert trackline.localize(picture(), model=network, conf=0.95) is None


@pytest.mark.parametrize(("given", "options", "error", "says"), [
    ("absent.jpg", {}, SourceError, "absent.jpg: not a readable picture"),
    (picture()[0], {}, SourceError, "picture: want a BGR picture"),
    ([picture()], {}, SourceError, "picture: want a BGR picture"),
    (picture(), {"classes": ["lorry"]}, trackline.ModelError, "lorry"),
    (picture(), {"conf": 0.5}, ConfigError, "conf: belongs in load_model"),
])  # fmt: skip
def test_mistakes_are_one_line(
    given: Any, options: Any, error: Any, says: str, model: trackline.LoadedModel
) -> None:
    with pytest.raises(error, match=says):
        trackline.localize(given, model=model, **options)


@pytest.mark.slow
def test_many_threads_localize_with_one_model(model: trackline.LoadedModel) -> None:
    """The answer to a picture of another size has another box: none may be mixed up."""
    sizes = [(48, 64), (96, 128), (480, 640), (48, 128), (64, 48), (200, 100)]
    expected = [trackline.localize(picture(0, *size), model=model) for size in sizes]
    assert len({one.xyxy for one in expected if one}) == len(sizes)
    wrong: list[Any] = []

    def work(first: int) -> None:
        for turn in range(6):
            place = (first + turn) % len(sizes)
            found = trackline.localize(picture(0, *sizes[place]), model=model)
            if found != expected[place]:
                wrong.append((place, found))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
