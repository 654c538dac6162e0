"""Option `slice`: tiles in batches through the network, over its seams, in whole runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.tiny_networks import colour_network, one_box_network

import pipeline
from pipeline.cli.main import main
from pipeline.core.data import Detections, Image
from pipeline.core.errors import ConfigError, ModelError
from pipeline.core.masks import Mask
from pipeline.detectors.common.backend import LayoutOverrides, Network
from pipeline.detectors.common.layouts import identify
from pipeline.detectors.common.postprocess import Postprocess
from pipeline.detectors.common.probe import RecognisedLayout
from pipeline.detectors.common.sliced_backend import SlicedBackend

RULES = Postprocess(identify((1, 5, 84), (64, 64), 1, None), conf=0.1, iou=0.7, max_det=300)


class BlobBackend:
    """Finds every bright rectangle of a picture up to 90 pixels wide, with mask and a keypoint."""

    def __init__(self, batch_size: int = 3, in_flight: int = 2) -> None:
        self.batch_size, self.in_flight = batch_size, in_flight
        self.stage_ms = {"preprocess": 1.0, "infer": 2.0, "postprocess": 4.0}
        self.batches: list[int] = []
        self.under_way: list[list[Image]] = []
        self.most_under_way = 0
        self.fails_at = -1
        self.closed = 0

    def read(self) -> Network:
        return Network((64, 64), (1, 5, 84), {})

    def recognise(self, forced: LayoutOverrides) -> RecognisedLayout:
        raise NotImplementedError

    def start(self, postprocess: Postprocess) -> None:
        assert postprocess is RULES

    def submit(self, images: Sequence[Image]) -> None:
        if len(self.batches) == self.fails_at:
            self.under_way.clear()
            raise ModelError("device lost")
        self.batches.append(len(images))
        self.under_way.append([*images])
        self.most_under_way = max(self.most_under_way, len(self.under_way))

    def collect(self) -> list[Detections]:
        return [blobs(image) for image in self.under_way.pop(0)]

    def close(self) -> None:
        self.closed += 1


def blobs(image: Image) -> Detections:
    count, labels, stats, _ = cv2.connectedComponentsWithStats((image[..., 0] > 100).astype("u1"))
    found = [(*row[:2], *(row[:2] + row[2:4]), n) for n, row in enumerate(stats[:count]) if n]
    found = [row for row in found if row[2] - row[0] <= 90]
    xyxy = np.array([row[:4] for row in found], np.float32).reshape(-1, 4)
    masks = tuple(Mask.from_pixels(labels == row[4]) for row in found)
    keypoints = np.ones((len(found), 1, 3), np.float32)
    keypoints[:, 0, :2] = xyxy[:, :2]
    n = len(found)
    return Detections(xyxy, np.full(n, 0.5, np.float32), np.zeros(n, np.int32), masks, keypoints)


def picture(*boxes: Sequence[int], size: tuple[int, int] = (100, 300)) -> Image:
    image = np.zeros((*size, 3), np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = 200
    return image


def opened(backend: BlobBackend, side: int = 100, **more: Any) -> SlicedBackend:
    sliced = SlicedBackend(backend, side, 0.2, **more)
    sliced.start(RULES)
    return sliced


SCENES = [
    picture((75, 10, 105, 30), (10, 50, 20, 60)),  # over the edge of the first tile
    picture(),
    picture((60, 10, 149, 30)),  # wider than what tiles share
    picture((5, 5, 25, 25), size=(50, 90)),  # not cut at all
]
WANTED = [[[75, 10, 105, 30], [10, 50, 20, 60]], [], [[60, 10, 149, 30]], [[5, 5, 25, 25]]]


def sorted_boxes(found: Detections) -> list[list[float]]:
    return sorted(found.xyxy.tolist(), reverse=True)


@pytest.mark.parametrize(("batch_size", "in_flight"), [(1, 1), (1, 3), (3, 2), (16, 2)])
def test_objects_on_seams_come_out_whole_and_in_order(batch_size: int, in_flight: int) -> None:
    backend = BlobBackend(batch_size, in_flight)
    sliced = opened(backend)
    sliced.submit(SCENES[:2])
    sliced.submit(SCENES[2:])
    assert [sorted_boxes(one) for one in sliced.collect()] == WANTED[:2]
    sliced.submit(SCENES[:1])
    assert [sorted_boxes(one) for one in sliced.collect()] == WANTED[2:]
    assert [sorted_boxes(one) for one in sliced.collect()] == WANTED[:1]
    assert max(backend.batches) <= batch_size
    assert backend.most_under_way <= in_flight
    assert sum(backend.batches) == 3 * (1 + 4) + (1 + 4) + 1


def test_masks_and_keypoints_lie_in_the_picture() -> None:
    sliced = opened(BlobBackend())
    sliced.submit(SCENES[:1])
    [found] = sliced.collect()
    assert found.masks is not None
    assert found.keypoints is not None
    for box, mask, points in zip(found.xyxy.tolist(), found.masks, found.keypoints, strict=True):
        left, top, right, bottom = map(int, box)
        pixels = mask.decode()
        assert pixels.shape == (100, 300)
        assert (
            pixels.sum() == pixels[top:bottom, left:right].sum() == (right - left) * (bottom - top)
        )
        assert points.tolist() == [[left, top, 1]]


def test_tiles_are_views_of_their_picture() -> None:
    """However many there are of a 4K picture, no pixel is copied."""
    backend = BlobBackend()
    sliced = opened(backend)
    image = picture()
    sliced.submit([image])
    assert all(np.shares_memory(view, image) for batch in backend.under_way for view in batch)


def test_stage_times_are_per_picture() -> None:
    sliced = opened(BlobBackend())
    sliced.submit(SCENES[:2])
    sliced.collect()
    assert sliced.stage_ms["preprocess"] == pytest.approx(5 * 1.0)
    assert sliced.stage_ms["infer"] == pytest.approx(5 * 2.0)
    assert sliced.stage_ms["postprocess"] >= 5 * 4.0


@pytest.mark.parametrize(
    ("batch_size", "in_flight", "tiles", "want"),
    [(1, 3, 5, (1, 2)), (1, 33, 5, (1, 7)), (16, 2, 20, (4, 2)), (1, 3, 1, (1, 3))],
)
def test_as_many_pictures_are_in_flight_as_keep_the_network_busy(
    batch_size: int, in_flight: int, tiles: int, want: tuple[int, int]
) -> None:
    sliced = opened(BlobBackend(batch_size, in_flight))
    several = sliced.batch_size if tiles > 1 else 1
    sliced.submit([picture(size=(100, 300 if tiles > 1 else 90))] * several)
    assert (sliced.batch_size, sliced.in_flight) == want
    lone = opened(BlobBackend(batch_size, in_flight), prefer_latency=True)
    lone.submit([picture()])
    assert (lone.batch_size, lone.in_flight) == (1, 1)


@pytest.mark.parametrize("at", [0, 1, 3])
def test_after_a_failure_the_next_batch_starts_afresh(at: int) -> None:
    backend = BlobBackend(batch_size=2)
    sliced = opened(backend)
    backend.fails_at = at
    with pytest.raises(ModelError, match="device lost"):
        sliced.submit([*SCENES, *SCENES])
    backend.fails_at = -1
    sliced.submit(SCENES)
    assert [sorted_boxes(one) for one in sliced.collect()] == WANTED
    sliced.close()
    assert backend.closed == 1


# -- whole runs -----------------------------------------------------------------------------------

# The network of 64 x 64 answers a box in its middle wherever it sees blue.
BLUE_RIGHT = np.zeros((64, 100, 3), np.uint8)
BLUE_RIGHT[:, 64:, 0] = 255
IN_THE_RIGHT_TILE = [66.0, 30.0, 86.0, 50.0]


@pytest.fixture
def blue(tmp_path: Path) -> Path:
    return colour_network(tmp_path / "colours.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("how", [pipeline.detect, pipeline.track])
def test_a_run_finds_what_is_in_a_tile(blue: Path, how: Callable[..., Any]) -> None:
    options = {"model": blue, "imgsz": 64, "conf": 0.5, "precision": "fp32", "classes": [2]}
    whole = [*how([BLUE_RIGHT] * 5, **options)]
    sliced = [*how([BLUE_RIGHT] * 5, slice=64, **options)]
    assert len(whole) == len(sliced) == 5
    for result in whole:
        assert len(result.detections) == 1
    for result in sliced:
        boxes = result.detections.xyxy
        assert len(boxes) == 2
        assert np.abs(boxes - IN_THE_RIGHT_TILE).max(axis=1).min() < 0.01
        assert {"preprocess", "infer", "postprocess"} <= result.stage_ms.keys()
    if how is pipeline.track:
        assert sorted(sliced[-1].tracks.track_id.tolist()) == [1, 2]


@pytest.mark.slow
def test_a_loaded_model_keeps_it(blue: Path) -> None:
    with pipeline.load_model(
        blue, imgsz=64, conf=0.5, precision="fp32", slice=64, prefer_latency=True
    ) as model:
        [result] = pipeline.detect(BLUE_RIGHT, model=model)
    assert len(result.detections) == 2


@pytest.mark.slow
def test_the_command_takes_it(
    blue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "blue.png"
    cv2.imwrite(str(path), BLUE_RIGHT)
    arguments = ["detect", str(path), "--model", str(blue), "--imgsz", "64", "--conf", "0.5"]
    counts = []
    for more in ([], ["--slice", "64"], ["--slice", "64", "--set", "detector.overlap=0.9"]):
        assert main([*arguments, *more, "--json"]) == 0
        counts.append(len(json.loads(capsys.readouterr().out)["objects"]))
    assert counts[0] == 1
    assert counts[1] == 2
    assert counts[2] > 2  # tiles of another place: the same answer, at another place


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slice": 0}, "detector.slice: want 32 or more, got 0"),
        ({"slice": -640}, "detector.slice: want 32 or more, got -640"),
        ({"slice": "big"}, "detector.slice: want a whole number, got 'big'"),
        ({"slice": 640, "overlap": -0.1}, "detector.overlap: want 0.0 or more, got -0.1"),
        ({"slice": 640, "overlap": 0.95}, "detector.overlap: want 0.9 or less, got 0.95"),
        ({"kind": "replay", "paths": ["d.txt"], "slice": 640}, "detector: unknown key 'slice'"),
    ],
)
def test_what_is_no_slice_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    config = {"sources": [{"kind": "synthetic"}], "sinks": [], "detector": options}
    with pytest.raises(ConfigError) as error:
        pipeline.run(config)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_without_it_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    network = one_box_network(tmp_path / "one.onnx")
    code = (
        "import sys, numpy, pipeline\n"
        f"list(pipeline.detect(numpy.zeros((48, 64, 3), 'u1'), model={str(network)!r}))\n"
        "print([name for name in sys.modules if 'slic' in name and 'pipeline' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
