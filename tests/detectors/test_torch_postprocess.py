"""What is done on the GPU, on CPU tensors: letterbox, suppression, answers against the CPU path."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.data import Detections
from pipeline.detectors.common.layouts import LayoutVariant, identify
from pipeline.detectors.common.letterbox import PADDING, fit, paste
from pipeline.detectors.common.nms import suppress
from pipeline.detectors.common.postprocess import Postprocess

pytestmark = [pytest.mark.needs_torch, pytest.mark.usefixtures("one_torch_thread")]
torch = pytest.importorskip("torch", reason="needs torch and ultralytics")

from pipeline.detectors.torch.letterbox import Canvas, resized, runs_of  # noqa: E402
from pipeline.detectors.torch.postprocess import (  # noqa: E402
    GpuPostprocess,
    solve_suppression,
    suppression_matrix,
)

SIZE = (96, 128)


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


# -- letterbox ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 300), width=st.integers(1, 300), imgsz=st.sampled_from([32, 96, 160, 320])
)
def test_resized_as_opencv_does_within_one_grey_level(height, width, imgsz):
    """Shrunk, grown, one pixel wide: half-pixel centres and clamped borders as in cv2.resize."""
    image = picture((height, width), height)
    box = fit((height, width), (imgsz, imgsz), 32)
    canvas = np.full((*box.input_size, 3), PADDING, np.uint8)
    paste(image, box, canvas)
    ours = Canvas(1, box.input_size, torch.float32, torch.device("cpu"))
    ours.paste(0, torch.from_numpy(image)[None], box)
    rgb = (ours.pictures[0] * 255).permute(1, 2, 0).numpy()
    difference = np.abs(rgb[..., ::-1] - canvas)
    assert difference.max() <= 1.001
    assert (difference > 0.5).mean() < 0.1


@pytest.mark.parametrize("size", [(1080, 1920), (720, 1280), (576, 768), (480, 640), (1920, 1080)])
def test_usual_pictures_are_resized_to_the_same_bytes(size):
    """A grey level more or less in one pixel of nine moves scores by 0.015."""
    image = picture(size)
    box = fit(size, (416, 416), 32)
    height, width = box.scaled_size
    wanted = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    ours = resized(torch.from_numpy(image)[None], box.scaled_size)[0].numpy()
    assert (ours != wanted).mean() < 1e-3


def test_a_picture_of_the_right_size_is_not_touched():
    image = torch.from_numpy(picture((64, 96)))[None]
    np.testing.assert_array_equal(resized(image, (64, 96))[0].numpy(), image[0].numpy())


def test_input_is_channels_last_and_rgb():
    canvas = Canvas(2, (32, 32), torch.float16, torch.device("cpu"))
    assert canvas.pictures.is_contiguous(memory_format=torch.channels_last)
    blue = torch.zeros((1, 32, 32, 3), dtype=torch.uint8)
    blue[..., 0] = 255
    canvas.paste(1, blue, fit((32, 32), (32, 32), 32))
    assert canvas.pictures[1, :, 5, 5].tolist() == [0, 0, 1]
    assert canvas.pictures[0, :, 5, 5].tolist() == pytest.approx([PADDING / 255] * 3, abs=1e-3)


def test_padding_is_painted_again_where_a_picture_of_another_shape_was():
    canvas = Canvas(1, (64, 64), torch.float32, torch.device("cpu"))
    white = torch.full((1, 64, 64, 3), 255, dtype=torch.uint8)
    canvas.paste(0, white, fit((64, 64), (64, 64), 32))
    wide = fit((40, 64), (64, 64), None)
    canvas.paste(0, white[:, :40], wide)
    column = canvas.pictures[0, 0, :, 9]
    top = wide.offset[0]
    np.testing.assert_allclose(column[:top].numpy(), PADDING / 255, rtol=1e-6)
    np.testing.assert_allclose(column[top : top + 40].numpy(), 1)
    np.testing.assert_allclose(column[top + 40 :].numpy(), PADDING / 255, rtol=1e-6)


def test_neighbours_of_one_shape_go_together():
    a, b = fit((50, 60), (64, 64), 32), fit((60, 50), (64, 64), 32)
    assert runs_of([a, a, b, a]) == [(0, 2), (2, 3), (3, 4)]
    assert runs_of([a]) == [(0, 1)]
    assert runs_of([]) == []


# -- suppression ----------------------------------------------------------------------------------


def clear_of(iou: float, xyxy: np.ndarray) -> bool:
    """No overlap so near the threshold that float32 and float64 may disagree."""
    from pipeline.core.boxes import iou_of_xyxy

    return bool((np.abs(iou_of_xyxy(*[xyxy.astype(np.float64)] * 2) - iou) > 1e-4).all())


@settings(deadline=None, max_examples=80)
@given(
    count=st.integers(1, 80),
    classes=st.integers(1, 3),
    iou=st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.95]),
    by_class=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_suppression_is_greedy_s_answer(count, classes, iou, by_class, seed):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 60, (count, 2))
    xyxy = np.concatenate((corner, corner + rng.integers(1, 40, (count, 2))), 1).astype(np.float32)
    score = np.sort(rng.integers(1, 30, count) / 32)[::-1].astype(np.float32)  # many are equal
    class_id = rng.integers(0, classes, count).astype(np.int32)
    if not clear_of(iou, xyxy):
        return
    wanted = suppress(xyxy, score, class_id if by_class else None, iou, count)

    boxes = torch.from_numpy(xyxy)[None]
    usable = torch.ones((1, count), dtype=torch.bool)
    labels = torch.from_numpy(class_id)[None] if by_class else None
    stay, settled = solve_suppression(
        suppression_matrix(boxes, usable, labels, iou), rounds=count + 1
    )
    assert bool(settled[0])
    assert np.flatnonzero(stay[0].numpy()).tolist() == sorted(wanted.tolist())


def test_a_chain_longer_than_the_rounds_is_reported():
    """Each box covers the next one only: every second one stays, one settled per round."""
    left = np.arange(40) * 4.0
    chain = np.stack((left, left * 0, left + 10, left * 0 + 10), 1).astype(np.float32)
    boxes = torch.from_numpy(chain)[None].expand(2, -1, -1).clone()
    boxes[1] += torch.arange(40)[:, None] * 100  # the second picture's boxes are far apart
    usable = torch.ones((2, 40), dtype=torch.bool)
    covers = suppression_matrix(boxes, usable, None, 0.4)
    assert solve_suppression(covers, rounds=10)[1].tolist() == [False, True]
    stay, settled = solve_suppression(covers, rounds=45)
    assert settled.tolist() == [True, True]
    assert stay[0].tolist() == [True, False] * 20
    assert stay[1].all()


# -- answers --------------------------------------------------------------------------------------


def rules(layout_shape, classes: int, end2end=None, **more) -> Postprocess:
    layout = identify(layout_shape, SIZE, classes, end2end)
    return Postprocess(layout, **{"conf": 0.25, "iou": 0.6, "max_det": 300, **more})


def v8_output(rng: np.random.Generator, count: int, classes: int) -> np.ndarray:
    output = np.zeros((4 + classes, 252), np.float32)
    output[:2, :count] = rng.uniform(0, 128, (2, count))
    output[2:4, :count] = rng.uniform(5, 60, (2, count))
    output[4:, :count] = rng.uniform(0, 1, (classes, count)) ** 2
    return output


def assert_same(one: Detections | None, other: Detections) -> None:
    assert one is not None
    np.testing.assert_allclose(one.xyxy, other.xyxy, atol=1e-3)
    np.testing.assert_allclose(one.score, other.score, atol=1e-6)
    np.testing.assert_array_equal(one.class_id, other.class_id)


@settings(deadline=None, max_examples=60)
@given(
    counts=st.lists(st.integers(0, 120), min_size=1, max_size=4),
    by_class=st.booleans(),
    most=st.sampled_from([1, 7, 300]),
    wanted=st.sampled_from([None, [0], [1, 3], [9]]),
    seed=st.integers(0, 10**6),
)
def test_answers_are_the_cpu_path_s_for_every_picture_of_a_batch(
    counts, by_class, most, wanted, seed
):
    rng = np.random.default_rng(seed)
    outputs = np.stack([v8_output(rng, count, 4) for count in counts])
    ids = None if wanted is None else np.array(wanted, np.int32)
    reading = rules((1, 8, 252), 4, by_class=by_class, max_det=most, wanted=ids)
    answers = GpuPostprocess(reading)
    box = fit((270, 360), SIZE, None)
    for output, answer in zip(outputs, answers(torch.from_numpy(outputs)).numpy(), strict=True):
        assert_same(answers.unpack(answer, box), reading(output, box))


def test_answers_of_the_other_layouts():
    rng = np.random.default_rng(1)
    v5 = rng.uniform(0, 1, (2, 756, 7)).astype(np.float32)
    v5[..., :4] *= [128, 96, 40, 40]
    v5[..., 4] *= rng.uniform(0, 1, (2, 756)) > 0.9
    final = rng.uniform(0, 1, (2, 300, 6)).astype(np.float32)
    final[..., :2] *= 50
    final[..., 2:4] = final[..., :2] + final[..., 2:4] * 40 + 1
    final[..., 5] = rng.integers(0, 3, (2, 300))
    box = fit((96, 128), SIZE, None)
    for outputs, reading in (
        (v5, rules((1, 756, 7), 2)),
        (final, rules((1, 300, 6), 3, end2end=True, max_det=20)),
    ):
        answers = GpuPostprocess(reading)
        for output, answer in zip(outputs, answers(torch.from_numpy(outputs)).numpy(), strict=True):
            found = answers.unpack(answer, box)
            assert_same(found, reading(output, box))
            assert len(found) > 5


def test_boxes_of_detr_are_parts_of_the_sides():
    rng = np.random.default_rng(2)
    scores = rng.uniform(0, 1, (1, 300, 3)).astype(np.float32)
    boxes = rng.uniform(0.1, 0.9, (1, 300, 4)).astype(np.float32)
    best = np.concatenate((scores.max(2)[..., None], scores.argmax(2)[..., None]), axis=2)
    box = fit((96, 128), SIZE, None)
    for name, rest in (("detr", scores), ("detr-best", best.astype(np.float32))):
        layout = LayoutVariant(name, 3, normalised=True).layout()
        reading = Postprocess(layout=layout, conf=0.5, iou=0.7, max_det=50)
        output = np.concatenate((boxes, rest), axis=2)
        answers = GpuPostprocess(reading)
        found = answers.unpack(answers(torch.from_numpy(output)).numpy()[0], box)
        assert_same(found, reading(output[0], box))
        assert len(found) == 50
        assert found.xyxy.max() > 2


def test_what_no_fixed_shape_holds_is_an_error_and_no_guess():
    outputs = np.stack([v8_output(np.random.default_rng(n), 60 * n, 4) for n in (1, 3)])
    answers = GpuPostprocess(rules((1, 8, 252), 4), candidates=64)
    answer = answers(torch.from_numpy(outputs)).numpy()
    box = fit((96, 128), SIZE, None)
    assert answers.unpack(answer[0], box) is not None
    assert answers.unpack(answer[1], box) is None
    assert answer[1, 0, 1] > 64


@pytest.mark.parametrize("method", ["diou", "soft", "wbf"])
def test_other_methods_of_suppression_are_left_to_the_cpu(method):
    output = torch.from_numpy(v8_output(np.random.default_rng(1), 30, 4)[None])
    answers = GpuPostprocess(rules((1, 8, 252), 4, nms=method))
    assert answers.unpack(answers(output).numpy()[0], fit((96, 128), SIZE, None)) is None


def test_broken_boxes_suppress_no_other_and_are_passed_on_to_be_counted():
    output = np.zeros((1, 6, 252), np.float32)
    output[0, :4, :4] = np.array(
        [[20, 20, 10, 10], [np.nan, 20, 10, 10], [21, 20, np.inf, 10], [20, 20, 0, 10]]
    ).T
    output[0, 4, :4] = [0.5, 0.9, 0.9, 0.9]
    reading = rules((1, 6, 252), 2)
    answers = GpuPostprocess(reading)
    box = fit((96, 128), SIZE, None)
    found = answers.unpack(answers(torch.from_numpy(output)).numpy()[0], box)
    assert found is not None
    assert len(found) == len(reading(output[0], box)) == 4
    assert found.score[0] == 0.5


def test_scores_that_are_no_number_are_no_boxes():
    output = np.zeros((1, 6, 252), np.float32)
    output[0, :4] = 20
    output[0, 4, :3] = np.nan
    answers = GpuPostprocess(rules((1, 6, 252), 2))
    answer = answers(torch.from_numpy(output)).numpy()[0]
    found = answers.unpack(answer, fit((96, 128), SIZE, None))
    assert found is not None
    assert len(found) == 0
