"""The detector's training: assignment, gradients, pictures, metric, export; needs torch."""

from __future__ import annotations

import io
import tarfile
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytestmark = [pytest.mark.needs_torch, pytest.mark.usefixtures("one_torch_thread")]

from training.augment import letterbox, mirror, mosaic, single  # noqa: E402
from training.batches import BatchStream, Phase, collate  # noqa: E402
from training.data import CLASS_NAMES, Sample, iou_matrix, sampling_weights  # noqa: E402
from training.depthwise import DepthwiseConv  # noqa: E402
from training.evaluate import validation_sets  # noqa: E402
from training.losses import assign, detection_loss, giou, ignore_weights  # noqa: E402
from training.metrics import AveragePrecision, average_precision, suppress  # noqa: E402
from training.network import Detector, to_xyxy  # noqa: E402
from training.photometric import EFFECTS, degrade, recolour  # noqa: E402
from training.trainer import Trainer, cosine  # noqa: E402


def sample(
    boxes: list[list[float]], class_id: list[int], ignored: list[list[float]] | None = None
) -> Sample:
    """A grey picture of 96 x 128 with a bright rectangle per box."""
    image = np.full((96, 128, 3), 60, np.uint8)
    for (x1, y1, x2, y2), colour in zip(np.int64(boxes), class_id, strict=True):
        image[y1:y2, x1:x2] = (80 + 30 * colour, 250 - 30 * colour, 200)
    ignore = np.array(ignored or [], np.float32).reshape(-1, 4)
    return Sample(
        "made",
        image,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(class_id, np.int64),
        np.ones(len(boxes), bool),
        ignore,
        np.zeros(len(ignore), np.int64),
    )


class TestAssignment:
    """Two cells in a row at x = 4 and x = 12, boxes made by hand."""

    centres = torch.tensor([[4.0, 4.0], [12.0, 4.0], [20.0, 4.0]])

    def test_a_cell_outside_every_box_is_background(self):
        boxes = torch.tensor([[0.0, 0.0, 16.0, 8.0]])
        predicted = boxes.repeat(3, 1)
        cells, owner, soft = assign(
            torch.zeros(3, 2), predicted, self.centres, boxes, torch.tensor([1])
        )
        assert cells.tolist() == [0, 1]
        assert owner.tolist() == [0, 0]
        torch.testing.assert_close(soft, torch.ones(2))

    def test_the_target_is_the_best_iou_for_the_best_cell_and_less_for_others(self):
        box = torch.tensor([[0.0, 0.0, 16.0, 8.0]])
        predicted = torch.tensor(
            [[0.0, 0.0, 16.0, 8.0], [8.0, 0.0, 16.0, 8.0], [0.0, 0.0, 16.0, 8.0]]
        )
        _, _, soft = assign(torch.zeros(3, 1), predicted, self.centres, box, torch.tensor([0]))
        torch.testing.assert_close(soft, torch.tensor([1.0, 0.5**6]), atol=1e-5, rtol=0)

    def test_a_cell_wanted_twice_goes_to_the_object_it_fits(self):
        boxes = torch.tensor([[0.0, 0.0, 24.0, 8.0], [8.0, 0.0, 16.0, 8.0]])
        predicted = boxes[[0, 1, 0]]
        cells, owner, _ = assign(
            torch.zeros(3, 1), predicted, self.centres, boxes, torch.tensor([0, 0])
        )
        assert dict(zip(cells.tolist(), owner.tolist(), strict=True)) == {0: 0, 1: 1, 2: 0}

    def test_the_score_of_the_objects_class_counts(self):
        box = torch.tensor([[0.0, 0.0, 16.0, 8.0]])
        logits = torch.tensor([[0.0, 9.0], [9.0, 0.0], [0.0, 0.0]])
        _, _, soft = assign(logits, box.repeat(3, 1), self.centres, box, torch.tensor([0]))
        assert soft[1] == 1
        assert soft[0] < 0.8

    def test_a_box_between_the_cell_centres_gets_nothing(self):
        box = torch.tensor([[5.0, 5.0, 11.0, 11.0]])
        cells, owner, soft = assign(
            torch.zeros(3, 1), box.repeat(3, 1), self.centres, box, torch.tensor([0])
        )
        assert len(cells) == len(owner) == len(soft) == 0


@pytest.mark.parametrize(
    ("a", "b", "iou", "generalised"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1.0, 1.0),
        ([0, 0, 2, 2], [1, 0, 3, 2], 1 / 3, 1 / 3),
        ([0, 0, 1, 1], [2, 0, 3, 1], 0.0, -1 / 3),
    ],
)
def test_giou(a, b, iou, generalised):
    got = giou(torch.tensor(a).float(), torch.tensor(b).float())
    torch.testing.assert_close(torch.stack(got), torch.tensor([iou, generalised]))


def test_unsure_teacher_boxes_are_not_background():
    """The teacher's boxes of middling score must silence one class there and nothing else."""
    batch = collate([letterbox(sample([], [], ignored=[[0, 0, 64, 48]]), (96, 128))])
    centres = torch.tensor([[10.0, 10.0], [100.0, 10.0]])
    weights = ignore_weights(torch.Size([1, 2, 3]), centres, batch)
    assert weights.tolist() == [[[0, 1, 1], [1, 1, 1]]]


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("side", [12, 13])
def test_the_fast_depthwise_gradients_are_the_ordinary_ones(kernel, stride, side):
    torch.manual_seed(0)
    layer = DepthwiseConv(8, kernel, stride).to(memory_format=torch.channels_last).train()
    x = torch.randn(2, 8, side, 16).contiguous(memory_format=torch.channels_last)
    grads = []
    for fast in (True, False):
        picture = x.clone().requires_grad_()
        layer.weight.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            y = layer(picture)
        torch.manual_seed(1)
        y.float().mul(torch.randn(y.shape)).sum().backward()
        grads.append((y.detach().float(), picture.grad, layer.weight.grad))
    for fast, plain in zip(*grads, strict=True):
        assert (fast - plain).abs().max() < 0.02 * plain.abs().max()


def test_four_pictures_are_learnt_by_heart():
    torch.manual_seed(0)
    pictures = [
        sample([[10, 10, 60, 80]], [0]),
        sample([[40, 20, 110, 70]], [2]),
        sample([[70, 10, 120, 90], [5, 40, 45, 90]], [5, 0]),
        sample([], []),
    ]
    batch = collate([letterbox(picture, (96, 128)) for picture in pictures])
    # The warm-up is 200 steps long: after 40 the rate is a fifth of this.
    trainer = Trainer(Detector(width=16, frozen=0), rate=2e-2, pictures=10**6, seconds=10**6)
    losses = [sum(trainer.step(batch)) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    assert np.isfinite(losses).all()


def test_a_picture_without_objects_has_a_finite_loss():
    batch = collate([letterbox(sample([], []), (96, 128))])
    class_loss, box_loss = detection_loss(*Detector(width=16)(batch.images / 255), batch)
    assert torch.isfinite(class_loss)
    assert box_loss == 0


def test_training_resumes_where_it_was(tmp_path):
    batch = collate([letterbox(sample([[10, 10, 60, 80]], [0]), (96, 128))])
    first = Trainer(Detector(width=16), rate=1e-3, pictures=10, seconds=1000)
    for _ in range(4):
        first.step(batch)
    first.save(tmp_path / "last.pt")
    second = Trainer(Detector(width=16), rate=1e-3, pictures=10, seconds=1000)
    second.load(tmp_path / "last.pt")
    assert (second.steps, second.seen, second.progress) == (4, 4, pytest.approx(0.4))
    for name, value in first.average.state_dict().items():
        torch.testing.assert_close(second.average.state_dict()[name], value)


def test_a_run_ends_with_its_validation(tmp_path, capsys):
    """A training of 100 minutes stopped with a TypeError at its last step, the validation."""
    pytest.importorskip("onnx", reason="onnx is absent: only exporting needs it")
    from training.train import run

    pictures = [sample([[10, 10, 60, 80]], [0])]
    stream = BatchStream(pictures, len(CLASS_NAMES), (Phase(0, ((64, 64),), 0.0),), 1, seed=0)
    trainer = Trainer(Detector(width=16), rate=1e-3, pictures=2, seconds=1000)
    run(trainer, stream, {"val": pictures}, Namespace(out=tmp_path, validate_every=60.0))
    assert (tmp_path / "last.pt").exists()
    assert capsys.readouterr().out.startswith("val ")


def test_the_rate_ends_low():
    assert cosine(0) == pytest.approx(1)
    assert cosine(1) == pytest.approx(0.02)


class TestPictures:
    def test_letterbox_says_how_to_go_back(self):
        view = letterbox(sample([[10, 10, 60, 80]], [0]), (160, 160))
        back = (view.xyxy - np.tile(view.shift, 2)) / view.scale
        np.testing.assert_allclose(back, [[10, 10, 60, 80]], atol=1e-3)
        assert (view.image[:20] == 114).all()

    def test_mirroring_twice_changes_nothing(self):
        boxes = np.array([[10.0, 10, 60, 80]])
        np.testing.assert_allclose(mirror(mirror(boxes, 128), 128), boxes)
        np.testing.assert_allclose(mirror(boxes, 128), [[68, 10, 118, 80]])

    @pytest.mark.parametrize(
        "make", [single, *(lambda p, *rest, n=n: mosaic([p] * n, *rest) for n in (4, 9))]
    )
    def test_boxes_lie_on_what_they_label(self, make, monkeypatch):
        """The brightest green is inside each box, whatever was scaled, cut and mirrored."""
        monkeypatch.setattr("training.augment.degrade", lambda image, _: image)
        rng = np.random.default_rng(0)
        picture = sample([[30, 20, 100, 80]], [0], ignored=[[0, 0, 20, 20]])
        for _ in range(20):
            view = make(picture, (128, 160), rng)
            assert view.image.shape == (128, 160, 3)
            assert len(view.class_id) == len(view.xyxy)
            assert len(view.ignore_class) == len(view.ignore_xyxy)
            for x1, y1, x2, y2 in view.xyxy:
                middle = view.image[int((y1 + y2) / 2), int((x1 + x2) / 2), 1]
                assert middle > 0.8 * view.image[..., 1].max()
                assert x1 >= 0
                assert y2 <= 128

    def test_what_is_cut_to_a_sliver_is_ignored_not_background(self):
        picture = sample([[0, 0, 128, 96]], [3])
        rng = np.random.default_rng(1)
        views = [single(picture, (64, 64), rng) for _ in range(40)]
        for view in views:
            assert len(view.xyxy) + len(view.ignore_xyxy) == 1

    def test_rare_classes_are_drawn_more_often(self):
        pictures = [sample([[0, 0, 9, 9]], [0])] * 99 + [sample([[0, 0, 9, 9]], [1])]
        weights = sampling_weights(pictures, 2)
        assert weights[-1] == pytest.approx(weights[0] * 5)

    def test_batches_follow_the_phase(self):
        phases = (Phase(0.0, ((32, 64),), 0.5), Phase(0.5, ((64, 64),), 0.0))
        stream = BatchStream([sample([[30, 20, 100, 80]], [0])], 1, phases, 2, seed=0)
        assert next(iter(stream)).images.shape == (2, 3, 32, 64)
        stream.progress = 0.7
        assert next(iter(stream)).images.shape == (2, 3, 64, 64)


class TestPhotometric:
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)

    @pytest.mark.parametrize("change", [recolour, degrade, *(effect for effect, _ in EFFECTS)])
    def test_a_picture_keeps_its_shape_and_its_source_is_untouched(self, change):
        before = self.picture.copy()
        changed = [change(self.picture, np.random.default_rng(seed)) for seed in range(20)]
        assert all(image.shape == (60, 80, 3) and image.dtype == np.uint8 for image in changed)
        assert any((image != before).any() for image in changed)
        np.testing.assert_array_equal(self.picture, before)

    def test_most_pictures_are_left_clear(self):
        rng = np.random.default_rng(0)
        clear = [degrade(self.picture, rng) is self.picture for _ in range(200)]
        assert 0.4 < np.mean(clear) < 0.7


class TestValidationSets:
    def shard(self, path: Path, names: list[str]) -> None:
        picture = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
        with tarfile.open(path, "w") as archive:
            for name in names:
                for place, content in (
                    (f"images/{name}.jpg", picture),
                    (f"labels/{name}.txt", b""),
                    (f"teacher/{name}.txt", b""),
                ):
                    entry = tarfile.TarInfo(place)
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))

    def test_what_a_teacher_labelled_is_given_with_and_without(self, tmp_path):
        self.shard(tmp_path / "val.tar", ["voc-1"])
        self.shard(tmp_path / "val-2.tar", ["auto-1", "coco-1"])
        sets = validation_sets(tmp_path)
        assert {title: [s.name for s in part] for title, part in sets.items()} == {
            "val": ["voc-1"],
            "val-2": ["auto-1", "coco-1"],
            "val-2 by people": ["coco-1"],
        }

    def test_none_is_an_error(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no val\.tar"):
            validation_sets(tmp_path)


class TestMetric:
    def test_iou_matrix(self):
        got = iou_matrix(np.array([[0, 0, 2, 2.0]]), np.array([[1, 0, 3, 2.0], [5, 5, 6, 6]]))
        np.testing.assert_allclose(got, [[1 / 3, 0]], atol=1e-6)

    @pytest.mark.parametrize(
        ("scores", "hits", "labels", "wanted"),
        [
            ([0.9, 0.8], [True, True], 2, 1.0),
            ([0.9, 0.8], [False, True], 1, 0.5),
            ([0.9], [True], 2, 51 / 101),
            ([], [], 3, 0.0),
        ],
    )
    def test_average_precision(self, scores, hits, labels, wanted):
        got = average_precision(np.array(scores), np.array(hits, bool), labels)
        assert got == pytest.approx(wanted)

    def test_a_label_is_found_once(self):
        metric = AveragePrecision(1)
        twice = (np.array([[0, 0, 10, 10], [0, 0, 10, 10.0]]), np.array([0.9, 0.8]))
        metric.add([twice], np.array([[0, 0, 10, 10], [20, 20, 30, 30.0]]), np.array([0, 0]))
        assert metric.result() == pytest.approx([51 / 101])

    def test_suppression_is_by_class(self):
        boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9]], np.float32)
        kept = suppress(boxes, np.array([[0.9, 0.1], [0.8, 0.7]], np.float32))
        assert [scores.tolist() for _, scores in kept] == [
            [pytest.approx(0.9)],
            [pytest.approx(0.7)],
        ]


def test_the_export_has_the_layout_that_yolo_readers_expect(tmp_path: Path):
    onnx = pytest.importorskip("onnx", reason="onnx is absent: only exporting needs it")
    openvino = pytest.importorskip("openvino", reason="openvino is absent")
    from training.calibrate import Calibration
    from training.export import TOLERANCE, YoloLayout, export, worst_difference

    network = Detector(width=16).eval()
    path = tmp_path / "tiny.onnx"
    export(network, path)
    assert worst_difference(network, path) < TOLERANCE
    props = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert props["names"] == repr(dict(enumerate(CLASS_NAMES)))
    assert props["license"] == "Apache-2.0"
    model = openvino.Core().compile_model(path, "CPU")
    for batch, height, width in ((1, 96, 128), (3, 64, 64)):
        images = np.zeros((batch, 3, height, width), np.float32)
        cells = height * width * 21 // 1024
        assert model(images)[0].shape == (batch, 4 + len(CLASS_NAMES), cells)
    logits, sides, centres = network(torch.zeros(1, 3, 64, 64))
    row = YoloLayout(network, Calibration())(torch.zeros(1, 3, 64, 64))[0, :4, 5].detach()
    x1, y1, x2, y2 = to_xyxy(sides, centres)[0, 5].detach()
    torch.testing.assert_close(row, torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]))
    assert logits.shape == (1, len(CLASS_NAMES), 84)


class TestStartingFromAnExport:
    """The weights' only copy was the exported file, and a training could not start from it."""

    def exported(self, path: Path, **sizes: int) -> Detector:
        """A network whose norms have seen something, and its file."""
        pytest.importorskip("onnx", reason="onnx is absent: only exporting needs it")
        from training.export import export

        torch.manual_seed(0)
        network = Detector(**sizes)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.2, 3)
                torch.nn.init.uniform_(module.weight, -2, 2)
                torch.nn.init.normal_(module.bias)
        export(network.eval(), path)
        return network

    def test_it_computes_the_same_and_its_norms_fit_the_pictures(self, tmp_path):
        from training.weights import load_export

        network = self.exported(tmp_path / "tiny.onnx", width=16, frozen=0)
        images = torch.rand(4, 3, 96, 128)
        restored = Detector(width=16, frozen=0)
        load_export(restored, tmp_path / "tiny.onnx", [images[:2], images[2:]])
        with torch.no_grad():
            for got, wanted in zip(restored.eval()(images), network(images), strict=True):
                assert (got - wanted).abs().max() < 1e-3 * wanted.abs().max()
            # In training the norms use the batch's statistics: here the ones that were measured.
            logits = restored(images)[0]
            assert (restored.train()(images)[0] - logits).abs().max() < 0.02 * logits.abs().max()

    def test_a_file_of_another_network_is_an_error(self, tmp_path):
        from training.weights import load_export

        self.exported(tmp_path / "tiny.onnx", width=16)
        with pytest.raises(ValueError, match=r"no convolution lateral\.0\.0 of shape"):
            load_export(Detector(width=24), tmp_path / "tiny.onnx", [torch.rand(1, 3, 64, 64)])

    @pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
    def test_an_average_lies_between_its_files(self, tmp_path, share):
        """At both ends it computes what that file does."""
        from training.weights import load_average

        ends = [self.exported(tmp_path / "a.onnx", width=16, frozen=0)]
        torch.manual_seed(1)
        changed = self.exported(tmp_path / "b.onnx", width=16, frozen=0)
        with torch.no_grad():
            for each in changed.parameters():
                each.mul_(1.01)
        from training.export import export

        export(changed, tmp_path / "b.onnx")
        ends.append(changed)
        mixed = Detector(width=16, frozen=0)
        load_average(mixed, tmp_path / "a.onnx", tmp_path / "b.onnx", share)
        images = torch.rand(2, 3, 64, 96)
        with torch.no_grad():
            got = mixed.eval()(images)[0]
            first, second = (network(images)[0] for network in ends)
        if share in (0.0, 1.0):
            wanted = (first, second)[int(share)]
            assert (got - wanted).abs().max() < 1e-3 * wanted.abs().max()
        else:
            assert (got - first).abs().max() > 0
            assert (got - second).abs().max() > 0

    def test_files_of_different_networks_have_no_average(self, tmp_path):
        from training.weights import load_average

        self.exported(tmp_path / "a.onnx", width=16)
        self.exported(tmp_path / "b.onnx", width=24)
        with pytest.raises((ValueError, RuntimeError)):
            load_average(Detector(width=16), tmp_path / "a.onnx", tmp_path / "b.onnx", 0.5)


def test_calibrated_scores_are_the_share_of_right_boxes():
    """A sure hit had a score of 0.6, and trackers that wait for 0.7 followed nobody."""
    from training.calibrate import fit
    from training.metrics import AveragePrecision

    class Judged(AveragePrecision):
        def judged(self):
            rng = np.random.default_rng(0)
            logits = rng.normal(-1, 1.5, 20_000)
            right = rng.random(20_000) < 1 / (1 + np.exp(-(1.7 * logits + 0.9)))
            return 1 / (1 + np.exp(-logits)), right

    assert fit(Judged(1)) == pytest.approx((1.7, 0.9), abs=0.08)
