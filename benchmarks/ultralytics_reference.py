"""Write what ultralytics itself detects on every frame of a clip, as reference for our tests.

    python benchmarks/ultralytics_reference.py VIDEO MODEL.onnx tests/data/plaza_ultralytics.npz

Needs ultralytics, and onnxruntime for `.onnx` (float32; no reduced precision anywhere). Frames are
decoded by `cv2.VideoCapture`; settings are ultralytics' predict defaults, which are ours too:
imgsz 640 with rectangular letterbox, conf 0.25, iou 0.7, max_det 300. The file holds, in row order
of the frames, `count` i32[frames], `xyxy` f32[N,4], `score` f32[N] and `class_id` u8[N].
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import _torchvision_operators
import cv2
import numpy as np

os.environ.update(YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false", YOLO_OFFLINE="true")


def main() -> None:
    """Run ultralytics over the clip and save what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()

    _torchvision_operators.import_torchvision()
    import ultralytics

    model = ultralytics.YOLO(arguments.model, task="detect")
    capture = cv2.VideoCapture(str(arguments.video))
    count, xyxy, score, class_id = [], [], [], []
    while True:
        good, image = capture.read()
        if not good:
            break
        boxes = model.predict(image, device="cpu", verbose=False)[0].boxes
        count.append(len(boxes))
        xyxy.append(boxes.xyxy.numpy())
        score.append(boxes.conf.numpy())
        class_id.append(boxes.cls.numpy())
    np.savez_compressed(
        arguments.output,
        count=np.array(count, np.int32),
        xyxy=np.concatenate(xyxy).astype(np.float32),
        score=np.concatenate(score).astype(np.float32),
        class_id=np.concatenate(class_id).astype(np.uint8),
        made_by=f"ultralytics {ultralytics.__version__}, {arguments.model.name}",
    )
    print(
        f"{len(count)} frames, {sum(count)} boxes, "
        f"stand-ins for torchvision's operators: {_torchvision_operators.has_stand_ins()}"
    )


if __name__ == "__main__":
    main()
