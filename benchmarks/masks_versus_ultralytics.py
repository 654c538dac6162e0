"""Compares masks and keypoints with ultralytics' own on the same random weights and pictures.

    python benchmarks/masks_versus_ultralytics.py [NAME ...] [--pictures FOLDER] [--imgsz 640]

Each NAME is a network that ultralytics builds from its YAML file, yolo11n-seg or yolo26n-pose say.
Weights are random, so features are brought to a usual size and scores are lifted until some boxes
pass; nothing that is found means anything, but each number takes the way it takes in a trained
network. Both sides read the same picture; ours runs the ONNX export, theirs torch. Their masks
are worked out at the picture's own size (retina_masks). The exit code is 1 where a mask overlaps
by less than 0.99 or a keypoint is further off than half a pixel.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

NAMES = (
    "yolo11n-seg",
    "yolov8n-seg",
    "yolo26n-seg",
    "yolo11n-pose",
    "yolov8n-pose",
    "yolo26n-pose",
)
CONF, IOU = 0.25, 0.7
MIN_IOU, MAX_PX = 0.99, 0.5
PASSING = 400
"""Places of each picture that pass the threshold, at least, before suppression."""


@dataclass(frozen=True)
class Comparison:
    """How one picture's answers compare: objects of each side, pairs, and the worst of each kind.

    `box_px` and `keypoint_px` are the largest distances, `mask_iou` the lowest overlaps, best
    first; empty where there are none.
    """

    ours: int
    theirs: int
    pairs: int
    box_px: float
    mask_iou: tuple[float, ...] = ()
    keypoint_px: tuple[float, ...] = ()

    @property
    def is_good(self) -> bool:
        """Return whether every object has its twin, with the same mask and keypoints.

        Of many objects a few are just at the threshold, where the last digit decides.
        """
        same = self.pairs >= 0.98 * max(self.ours, self.theirs)
        masks = all(iou >= MIN_IOU for iou in self.mask_iou)
        return same and masks and all(px <= MAX_PX for px in self.keypoint_px)


def quiet_ultralytics() -> Any:
    """Return the module ultralytics, which neither asks the internet nor installs anything."""
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
    from _torchvision_operators import import_torchvision

    import_torchvision()
    import ultralytics

    return ultralytics


def random_network(name: str, pictures: Sequence[Any], imgsz: int, *, end2end: bool = False) -> Any:
    """Return an ultralytics.YOLO with random weights that finds something on each picture."""
    import torch
    from ultralytics.data.augment import LetterBox

    torch.manual_seed(7)
    yolo = quiet_ultralytics().YOLO(f"{name}.yaml")
    network = yolo.model
    fit = LetterBox((imgsz, imgsz), auto=True, stride=32)
    given = [fit(image=picture)[..., ::-1].transpose(2, 0, 1) for picture in pictures]
    given = [torch.from_numpy(np.ascontiguousarray(each))[None].float() / 255 for each in given]
    norms = [each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # what it sees next is what features are like
    with torch.no_grad():
        network.train()
        network(torch.cat((given[0], given[0].flip(3))))
        network.eval()
        head = network.model[-1]
        if hasattr(head, "end2end") and not end2end:
            head.end2end = False
        _lift_scores(network, head, given)
    for norm in norms:
        norm.momentum = 0.03
    return yolo


def _lift_scores(network: Any, head: Any, given: Sequence[Any]) -> None:
    """Move the biases of the class scores until `PASSING` places are above the threshold."""
    import torch

    last = _last_layers(head, "cv3")
    for layer in last:
        layer.weight *= 3
        layer.bias.zero_()
    if head.reg_max == 1:  # distances to the edges as they come, which are not to be negative
        for layer in _last_layers(head, "cv2"):
            layer.weight *= 0.1
            layer.bias.fill_(4)
    was, head.end2end = getattr(head, "end2end", False), False
    logits = []
    for planes in given:
        found = network(planes)
        table = found[0][0] if isinstance(found[0], tuple | list) else found[0]
        scores = table[0, 4 : 4 + head.nc].max(dim=0).values.sort(descending=True).values
        logits.append(float(torch.logit(scores[min(PASSING, len(scores) - 1)])))
    head.end2end = was
    shift = float(torch.logit(torch.tensor(CONF))) - min(logits)
    for layer in last:
        layer.bias += shift


def _last_layers(head: Any, branch: str) -> list[Any]:
    """Return the last convolution of each feature map, those of heads without suppression too."""
    branches = [getattr(head, name, None) for name in (branch, f"one2one_{branch}")]
    return [level[-1] for each in branches if each is not None for level in each]


def export(yolo: Any, folder: Path, imgsz: int, **options: Any) -> Path:
    """Return the path of the network as ONNX."""
    from copy import deepcopy

    kept = yolo.model
    yolo.model = deepcopy(kept)  # the export fuses layers of what it is given
    try:
        with chdir(folder):
            found = Path(
                yolo.export(format="onnx", imgsz=imgsz, opset=17, simplify=False, **options)
            ).resolve()
    finally:
        yolo.model = kept
    return found.rename(folder / f"{found.stem}-{len(list(folder.iterdir()))}.onnx")


def compare(ours: Any, theirs: Any) -> Comparison:
    """Return how Detections compare with an ultralytics Results of the same picture."""
    from pipeline.core.boxes import iou_of_xyxy

    boxes = theirs.boxes.xyxy.numpy()
    rows, columns = _pairs(iou_of_xyxy(ours.xyxy, boxes), ours, theirs)
    box_px = np.abs(ours.xyxy[rows] - boxes[columns]).max(initial=0)
    overlaps, distances = [], []
    if ours.masks is not None and theirs.masks is not None:
        masks = theirs.masks.data.numpy().astype(bool)
        for row, column in zip(rows, columns, strict=True):
            one, other = ours.masks[row].decode(), masks[column]
            union = int((one | other).sum())
            overlaps.append(int((one & other).sum()) / union if union else 1.0)
    if ours.keypoints is not None and theirs.keypoints is not None:
        points = theirs.keypoints.data.numpy()
        off = np.abs(ours.keypoints[rows][..., :2] - points[columns][..., :2])
        distances = off.max(axis=(1, 2)).tolist()
    return Comparison(
        len(ours),
        len(boxes),
        len(rows),
        float(box_px),
        tuple(sorted(overlaps, reverse=True)),
        tuple(sorted(distances)),
    )


def _pairs(overlap: Any, ours: Any, theirs: Any) -> tuple[list[int], list[int]]:
    """Return the rows of the same object on both sides: same class, the most overlap, above 0.9."""
    overlap[ours.class_id[:, None] != theirs.boxes.cls.numpy()[None].astype(int)] = 0
    rows, columns = [], []
    while overlap.size and overlap.max() > 0.9:
        row, column = np.unravel_index(overlap.argmax(), overlap.shape)
        rows.append(int(row))
        columns.append(int(column))
        overlap[row] = 0
        overlap[:, column] = 0
    return rows, columns


def compared(
    name: str, pictures: Sequence[Any], imgsz: int, folder: Path, *, end2end: bool = False
) -> Iterator[Comparison]:
    """Yield how the two sides compare on each picture."""
    import pipeline

    yolo = random_network(name, pictures, imgsz, end2end=end2end)
    path = export(
        yolo, folder, imgsz, dynamic=not end2end, **({"end2end": True} if end2end else {})
    )
    options = {"imgsz": imgsz, "conf": CONF, "iou": IOU, "precision": "fp32"}
    with pipeline.load_model(path, **options) as model:
        for picture in pictures:
            [result] = pipeline.detect(picture, model=model)
            [theirs] = yolo.predict(
                picture, imgsz=imgsz, conf=CONF, iou=IOU, rect=not end2end, retina_masks=True,
                verbose=False, save=False, device="cpu",
            )  # fmt: skip
            yield compare(result.detections, theirs)


def main() -> int:
    """Print a line for each network and picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--pictures", type=Path, help="a folder; default: ultralytics' own two")
    parser.add_argument("--imgsz", type=int, default=640)
    arguments = parser.parse_args()
    folder = arguments.pictures or Path(quiet_ultralytics().__file__).parent / "assets"
    pictures = [cv2.imread(str(path)) for path in sorted(folder.glob("*.jpg"))]
    good = True
    print("network        objects  theirs  pairs  box px  lowest mask IoU  largest keypoint px")
    with tempfile.TemporaryDirectory() as made:
        for name in arguments.names:
            for found in compared(name, pictures, arguments.imgsz, Path(made)):
                good = good and found.is_good
                masks = f"{min(found.mask_iou):.4f}" if found.mask_iou else "-"
                points = f"{max(found.keypoint_px):.4f}" if found.keypoint_px else "-"
                print(
                    f"{name:14} {found.ours:7} {found.theirs:7} {found.pairs:6} "
                    f"{found.box_px:7.3f} {masks:>16} {points:>20}"
                )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
