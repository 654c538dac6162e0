"""Train the built-in detector on a CPU: `python -m training.train --data FOLDER --out FOLDER`.

The budget is a number of pictures or of minutes, whichever ends first; the learning rate, the
picture sizes and the mosaics follow the share of the budget that is used, so a slow or shared
machine still finishes its schedule.  `--resume` goes on from the last checkpoint in `--out`.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from training.batches import BatchStream, Phase
from training.data import CLASS_NAMES, Sample, read_shards
from training.evaluate import Predict, measure, validation_sets
from training.export import UNCALIBRATED, YoloLayout
from training.network import Detector
from training.trainer import Trainer
from training.weights import imagenet_weights, load_export, load_imagenet, load_matching

PHASES = (
    Phase(0.00, ((256, 320), (320, 256), (288, 384), (320, 320)), mosaic=0.6),
    Phase(0.60, ((320, 416), (352, 352), (416, 320), (352, 448)), mosaic=0.6),
    Phase(0.88, ((384, 512), (416, 416), (448, 352), (384, 448)), mosaic=0.0),
)
# From a trained network on: at last the canvases that the detector runs at, and whole pictures.
TUNING_PHASES = (
    Phase(0.00, ((288, 384), (320, 320), (384, 320), (320, 448)), mosaic=0.5),
    Phase(0.50, ((384, 512), (352, 448), (416, 416), (448, 352)), mosaic=0.4),
    Phase(0.85, ((384, 512), (416, 544), (480, 480), (384, 480)), mosaic=0.0),
)
# A short run from a trained network, so that enlarged pictures are not new to it.
LARGE_PHASES = (
    Phase(0.00, ((416, 544), (480, 480), (512, 640), (416, 416)), mosaic=0.3),
    Phase(0.50, ((416, 416), (480, 640), (384, 512), (576, 576)), mosaic=0.0),
)
SCHEDULES = {"growing": PHASES, "tuning": TUNING_PHASES, "large": LARGE_PHASES}
VALIDATION_SIZE = (416, 416)
SAVE_EVERY = 180.0  # seconds
NORM_BATCHES = 20  # what the norms of a network out of an export are measured on
LOG_EVERY = 50  # steps


def run(
    trainer: Trainer,
    stream: BatchStream,
    validation: dict[str, list[Sample]],
    options: argparse.Namespace,
) -> None:
    """Train until the budget is used; log, checkpoint and validate on the way and at the end."""
    last = options.out / "last.pt"
    losses: list[tuple[float, float]] = []
    saved = validated = logged = time.monotonic()
    for batch in stream:
        losses.append(trainer.step(batch))
        stream.progress = trainer.progress
        now = time.monotonic()
        if len(losses) == LOG_EVERY:
            class_loss, box_loss = np.mean(losses, 0)
            print(
                f"step {trainer.steps} progress {trainer.progress:.3f} "
                f"class {class_loss:.3f} box {box_loss:.3f} "
                f"{LOG_EVERY * len(batch.images) / (now - logged):.1f} pictures/s",
                flush=True,
            )
            losses, logged = [], now
        done = trainer.progress >= 1
        if done or now - saved > SAVE_EVERY:
            trainer.save(last)
            saved = now
        if done or now - validated > options.validate_every * 60:
            validate(trainer, validation)
            validated = logged = time.monotonic()
        if done:
            return


def validate(trainer: Trainer, validation: dict[str, list[Sample]]) -> None:
    """Print AP at IoU 0.5 of the averaged weights on each set."""
    minute = trainer.elapsed / 60
    predict = torch_predict(trainer.average)
    for title, samples in validation.items():
        result = measure(predict, samples, VALIDATION_SIZE).result()
        classes = " ".join(f"{name} {ap:.3f}" for name, ap in zip(CLASS_NAMES, result, strict=True))
        print(f"{title} {np.nanmean(result):.4f} {classes} minute {minute:.1f}", flush=True)


def torch_predict(network: Detector) -> Predict:
    """The network as a function of u8 (B, H, W, 3) pictures, in float32."""
    layout = YoloLayout(network, UNCALIBRATED).eval()

    @torch.no_grad()
    def predict(images: np.ndarray) -> np.ndarray:
        return layout(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0).numpy()

    return predict


def starting_network(start: Path | None, stream: BatchStream) -> Detector:
    """A detector with the weights of a checkpoint or an export, or with an ImageNet backbone."""
    network = Detector()
    if start is None:
        load_imagenet(network, imagenet_weights())
        return network
    if start.suffix == ".onnx":
        load_export(network, start, (b.images.float() / 255 for b in islice(stream, NORM_BATCHES)))
        print(f"from {start.name}, an export", flush=True)
        return network
    state = torch.load(start, map_location="cpu", weights_only=True)
    fresh = load_matching(network, state.get("average", state["network"]))
    print(f"from {start.name}; not in it: {', '.join(fresh) or 'nothing'}", flush=True)
    return network


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with train-*.tar and val.tar"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint last.pt")
    parser.add_argument(
        "--start", type=Path, help="checkpoint or exported .onnx to start from (default: ImageNet)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from OUT/last.pt")
    parser.add_argument(
        "--schedule",
        default="growing",
        choices=SCHEDULES,
        help="canvas sizes: growing (from ImageNet), tuning (from a trained network), large",
    )
    parser.add_argument("--pictures", type=int, default=240_000, help="budget in pictures")
    parser.add_argument("--minutes", type=float, default=1440.0, help="budget in minutes")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate of the head")
    parser.add_argument("--seed", type=int, default=0, help="of the pictures' draw")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--validate-every", type=float, default=10.0, metavar="MINUTES")
    return parser.parse_args()


def main() -> None:
    """Train as the command line says."""
    options = arguments()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    options.out.mkdir(parents=True, exist_ok=True)
    samples = read_shards(sorted(options.data.glob("train-*.tar")))
    validation = validation_sets(options.data)
    phases = SCHEDULES[options.schedule]
    stream = BatchStream(samples, len(CLASS_NAMES), phases, options.batch, options.seed)
    network = starting_network(options.start, stream)
    trainer = Trainer(network, options.rate, options.pictures, options.minutes * 60)
    if options.resume:
        trainer.load(options.out / "last.pt")
        stream.rng = np.random.default_rng([options.seed, trainer.steps])  # not the same pictures
    stream.progress = trainer.progress
    print(f"{len(samples)} pictures, from step {trainer.steps}", flush=True)
    run(trainer, stream, validation, options)


if __name__ == "__main__":
    main()
