"""Networks side by side as users run them: `python -m training.compare MODEL... --data FOLDER`.

Each picture of `val.tar`, and of `val-2.tar` where it is there, goes through the program's own
detector, whatever the network's layout and size; people's labels count. Prints mAP50 over the six
classes (see evaluate.py) and the processor time a picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from pipeline import Detections, detect, load_model
from training.data import CLASS_NAMES, Sample
from training.evaluate import validation_sets
from training.metrics import LOWEST_SCORE, NMS_IOU, AveragePrecision

WARM_UP = 40


def measure(model: str, samples: list[Sample], size: int | None) -> tuple[float, float]:
    """Return mAP50 and processor milliseconds a picture; the first pictures are not timed."""
    metric = AveragePrecision(len(CLASS_NAMES))
    options = {} if size is None else {"imgsz": size}
    began = 0.0
    with load_model(
        model, classes=CLASS_NAMES, conf=LOWEST_SCORE, iou=NMS_IOU, max_det=300, **options
    ) as loaded:
        for number, result in enumerate(detect(_pictures(samples), model=loaded)):
            if number == WARM_UP:
                began = time.process_time()
            sample = samples[number]
            people = sample.by_people
            found = _by_class(result.detections, result.class_names)
            metric.add(found, sample.xyxy[people], sample.class_id[people])
        taken = time.process_time() - began
    return float(np.nanmean(metric.result())), taken / (len(samples) - WARM_UP) * 1e3


def _pictures(samples: list[Sample]) -> list[np.ndarray]:
    return [cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR) for sample in samples]


def _by_class(found: Detections, names: dict[int, str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield boxes and scores of each of CLASS_NAMES."""
    class_of = {name: number for number, name in names.items()}
    for name in CLASS_NAMES:
        rows = found.class_id == class_of[name]
        yield found.xyxy[rows], found.score[rows]


def main() -> None:
    """Print a line for each network and set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help="names or files")
    parser.add_argument("--data", type=Path, required=True, help="folder with val.tar, val-2.tar")
    parser.add_argument("--size", type=int, nargs="+", help="long sides; the network's default")
    options = parser.parse_args()
    sets = validation_sets(options.data)
    for size in options.size or [None]:
        for model in options.models:
            for name, samples in sets.items():
                accuracy, taken = measure(model, samples, size)
                print(
                    f"{Path(model).name:24s} {size or 'default':>8} {name:18s} "
                    f"mAP50 {accuracy:.3f}  {taken:6.1f} ms CPU a picture",
                    flush=True,
                )


if __name__ == "__main__":
    main()
