"""Random networks that transformers and torchvision build, through the whole pipeline.

Their boxes are those of the libraries they come from, which prepare and postprocess the same
picture themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline as trackline
from pipeline.core.data import Result

pytestmark = [pytest.mark.needs_torch, pytest.mark.usefixtures("one_torch_thread")]
torch = pytest.importorskip("torch", reason="needs torch and ultralytics")
from support.torchvision_ops import import_torchvision  # noqa: E402

torchvision = import_torchvision()  # transformers imports it
transformers = pytest.importorskip("transformers", reason="needs torch and transformers")

CONF = 0.3
SIDE = 128


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """The exporter that knows nms and roi_align says at each call that there is a newer one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def picture(height: int = SIDE, width: int = SIDE, seed: int = 3) -> np.ndarray:
    """A picture u8[H,W,3] BGR with something in it."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 90, np.uint8)
    for _ in range(25):
        x, y = rng.integers(0, width - 20), rng.integers(0, height - 20)
        image[y : y + rng.integers(5, 40), x : x + rng.integers(5, 60)] = rng.integers(0, 256, 3)
    return image


def tracked(path: Path, image: np.ndarray, **options: Any) -> Result:
    """The third of three results of the whole pipeline, its default tracker included."""
    results = [*trackline.track([image] * 3, model=path, conf=CONF, precision="fp32", **options)]
    assert len(results) == 3
    return results[2]


def rgb(image: np.ndarray) -> Any:
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))


def ordered(boxes: Any, scores: Any, labels: Any) -> list[np.ndarray]:
    """Boxes, scores and labels as arrays, best first."""
    parts = [np.asarray(each.detach()) for each in (boxes, scores, labels)]
    order = np.argsort(-parts[1], kind="stable")
    return [each[order] for each in parts]


def check(result: Result, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> None:
    found = result.detections
    assert len(found) == len(boxes) > 3
    np.testing.assert_allclose(found.score, scores, atol=1e-3)
    np.testing.assert_allclose(found.xyxy, boxes, atol=0.05)
    assert found.class_id.tolist() == labels.tolist()


# -- transformers ---------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [16, 16, 16],
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "d_model": 32,
    "decoder_in_channels": [32, 32, 32],
    "num_queries": 30,
    "decoder_ffn_dim": 32,
    "decoder_attention_heads": 2,
    "decoder_layers": 2,
    "num_labels": 7,
    "anchor_image_size": None,
}


def rt_detr(version: str = "") -> Any:
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = getattr(transformers, f"RTDetr{version}Config")(backbone_config=backbone, **SMALL)
    return getattr(transformers, f"RTDetr{version}ForObjectDetection")(config)


def d_fine() -> Any:
    backbone = transformers.HGNetV2Config(
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 16, 16, 16],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[16, 16, 16, 16],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        hidden_sizes=[16, 16, 16, 16],
        depths=[1, 1, 1, 1],
        out_features=["stage2", "stage3", "stage4"],
    )
    config = transformers.DFineConfig(backbone_config=backbone, **SMALL)
    return transformers.DFineForObjectDetection(config)


class Outputs(torch.nn.Module):
    """A network of transformers whose outputs are a pair, as the usual exports have them."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Any) -> Any:
        found = self.network(pixel_values)
        return found.logits, found.pred_boxes


def spread(network: Any, pictures: Any) -> None:
    """Scale every layer so that what it puts out varies by 1.

    As transformers begins to train networks, features fade away and all queries are the same but
    for the last digits, which decide what is a query at all.
    """

    def scale(layer: Any, _given: Any, output: Any) -> Any:
        by = output.std().clamp(min=1e-6)
        layer.weight.div_(by)
        if layer.bias is not None:
            layer.bias.div_(by)
        return output / by

    layers = [each for each in network.modules() if isinstance(each, LAYERS)]
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    with torch.no_grad():
        network(pictures)
    for hook in hooks:
        hook.remove()


LAYERS = (torch.nn.Conv2d, torch.nn.Linear)


@pytest.fixture(
    scope="module",
    params=[rt_detr, lambda: rt_detr("V2"), d_fine],
    ids=["RT-DETR", "RT-DETRv2", "D-FINE"],
)
def detr(request, tmp_path_factory) -> tuple[Any, Path]:
    """A random network's answer to `picture`, and its export.

    The answer comes first: what is traced for an export is not what it was.
    """
    torch.manual_seed(0)
    network = request.param().eval()
    pixels = rgb(picture())[None] / 255
    spread(network, pixels)
    with torch.no_grad():
        answer = network(pixels)
    path = tmp_path_factory.mktemp("detr") / "network.onnx"
    torch.onnx.export(
        Outputs(network),
        (torch.rand(1, 3, SIDE, SIDE),),
        str(path),
        input_names=["pixel_values"],
        output_names=["logits", "pred_boxes"],
        opset_version=17,
        dynamo=False,
    )
    return answer, path


@pytest.mark.slow
def test_detr_s_boxes_are_those_of_transformers(detr):
    answer, path = detr
    image = picture()
    processor = transformers.RTDetrImageProcessor()
    (wanted,) = processor.post_process_object_detection(
        answer, threshold=CONF, target_sizes=[(SIDE, SIDE)]
    )
    boxes, scores, labels = ordered(wanted["boxes"], wanted["scores"], wanted["labels"])
    boxes = boxes.clip(0, SIDE)
    check(tracked(path, image, multi_label=True, kind="detr"), boxes, scores, labels)
    # Trackers get each query's best class alone.
    best = answer.logits[0].sigmoid().max(dim=1)
    corners = transformers.image_transforms.center_to_corners_format(answer.pred_boxes[0])
    boxes, scores, labels = ordered(corners.clamp(0, 1) * SIDE, best.values, best.indices)
    keep = scores > CONF
    check(tracked(path, image), boxes[keep], scores[keep], labels[keep])


# -- torchvision ----------------------------------------------------------------------------------


def faster_rcnn(**more: Any) -> Any:
    """A small random network; with `mask_roi_pool` a Mask R-CNN."""
    from torchvision.models.detection import FasterRCNN, MaskRCNN
    from torchvision.models.detection.rpn import AnchorGenerator

    backbone = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 7, 8, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 16, 3, 2, 1),
        torch.nn.ReLU(),
    )
    backbone.out_channels = 16
    return (MaskRCNN if more else FasterRCNN)(
        backbone,
        num_classes=5,
        min_size=96,
        max_size=160,
        rpn_anchor_generator=AnchorGenerator(((16, 32, 64),), ((0.5, 1.0, 2.0),)),
        box_roi_pool=torchvision.ops.MultiScaleRoIAlign(["0"], 5, 2),
        rpn_pre_nms_top_n_test=60,
        rpn_post_nms_top_n_test=20,
        box_detections_per_img=20,
        box_score_thresh=0.1,
        **more,
    )


@pytest.fixture(scope="module")
def rcnn(tmp_path_factory) -> tuple[Any, Path]:
    """A random Faster R-CNN that is sure of itself, and its export for pictures of any size."""
    torch.manual_seed(0)
    network = faster_rcnn().eval()
    torch.nn.init.normal_(network.roi_heads.box_predictor.cls_score.weight, std=1.0)
    path = tmp_path_factory.mktemp("rcnn") / "network.onnx"
    torch.onnx.export(
        network,
        ([torch.rand(3, 96, 140)],),
        str(path),
        input_names=["images"],
        output_names=["boxes", "labels", "scores"],
        dynamic_axes={"images": [1, 2], "boxes": [0], "labels": [0], "scores": [0]},
        opset_version=17,
        dynamo=False,
    )
    return network, path


@pytest.mark.slow
@pytest.mark.parametrize("size", [(96, 140), (130, 110)])
def test_faster_rcnn_s_boxes_are_those_of_torchvision(rcnn, size):
    network, path = rcnn
    image = picture(*size)
    with torch.no_grad():
        (wanted,) = network([rgb(image) / 255])
    boxes, scores, labels = ordered(wanted["boxes"], wanted["scores"], wanted["labels"])
    keep = scores > CONF
    result = tracked(path, image)
    check(result, boxes[keep], scores[keep], labels[keep] - 1)
    assert result.class_names[3] == "class_3"


class MasksOverBoxes(torch.nn.Module):
    """A Mask R-CNN of torchvision that leaves masks as they are over their boxes, as Detectron2."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Any) -> Any:
        from torchvision.models.detection.transform import resize_boxes

        network = self.network
        pictures, _ = network.transform(images)
        features = {"0": network.backbone(pictures.tensors)}
        proposals, _ = network.rpn(pictures, features)
        (found,), _ = network.roi_heads(features, proposals, pictures.image_sizes)
        size = [torch.tensor(side) for side in images[0].shape[-2:]]
        boxes = resize_boxes(found["boxes"], pictures.image_sizes[0], size)
        return boxes, found["labels"], found["scores"], found["masks"]


def centre(network: Any, layer: Any, pixels: Any) -> None:
    """Scale a layer so that each channel it puts out is 0 on average and varies by 1."""

    def scale(layer: Any, _given: Any, output: Any) -> Any:
        mean, std = output.mean((0, 2, 3)), output.std((0, 2, 3)).clamp(min=1e-6)
        layer.weight.div_(std[:, None, None, None])
        layer.bias.sub_(mean).div_(std)

    hook = layer.register_forward_hook(scale)
    with torch.no_grad():
        network([pixels])
    hook.remove()


@pytest.fixture(scope="module")
def mask_rcnn(tmp_path_factory) -> tuple[Any, dict[str, Path]]:
    """A random Mask R-CNN, and its export with masks over the picture and over their boxes."""
    torch.manual_seed(0)
    network = faster_rcnn(mask_roi_pool=torchvision.ops.MultiScaleRoIAlign(["0"], 14, 2)).eval()
    torch.nn.init.normal_(network.roi_heads.box_predictor.cls_score.weight, std=1.0)
    # Outlines of some size, as trained networks draw them: neighbours are alike, half is inside.
    predictor = network.roi_heads.mask_predictor
    network.roi_heads.mask_predictor = torch.nn.Sequential(predictor, torch.nn.AvgPool2d(9, 1, 4))
    centre(network, predictor.mask_fcn_logits, rgb(picture(480, 640)) / 255)
    folder = tmp_path_factory.mktemp("mask_rcnn")
    paths = {name: folder / f"{name}.onnx" for name in ("picture", "boxes")}
    for name, exported in (("picture", network), ("boxes", MasksOverBoxes(network).eval())):
        outputs = ["boxes", "labels", "scores", "masks"]
        torch.onnx.export(
            exported,
            ([torch.rand(3, 480, 640)],),
            str(paths[name]),
            input_names=["images"],
            output_names=outputs,
            dynamic_axes={"images": [1, 2], **{each: [0] for each in outputs}},
            opset_version=17,
            dynamo=False,
        )
    return network, paths


@pytest.mark.slow
@pytest.mark.parametrize("over", ["picture", "boxes"])
@pytest.mark.parametrize("size", [(480, 640), (600, 420)])
def test_mask_rcnn_s_masks_are_those_of_torchvision(mask_rcnn, over, size):
    network, paths = mask_rcnn
    image = picture(*size)
    with torch.no_grad():
        (wanted,) = network([rgb(image) / 255])
    keep = wanted["scores"].numpy() > CONF
    result = tracked(paths[over], image)
    boxes, scores, labels = (wanted[name].numpy()[keep] for name in ("boxes", "scores", "labels"))
    check(result, boxes, scores, labels - 1)
    masks = result.detections.masks
    assert masks is not None
    for mask, theirs in zip(masks, wanted["masks"].numpy()[keep, 0] > 0.5, strict=True):
        ours = mask.decode()
        both, either = (ours & theirs).sum(), (ours | theirs).sum()
        assert both / either >= 0.99, mask.xyxy
