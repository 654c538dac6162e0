"""Comparison of a network with its int8 copy: boxes and speed, as a run would have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from pipeline.core.data import Detections, Frame, Image
from pipeline.detectors import yolo
from pipeline.detectors.common.backend import Precision
from pipeline.detectors.common.network_detector import NetworkDetector
from pipeline.tools.export.agreement import Agreement, agreement

CONF = 0.25
"""Score from which a box of the original counts as true; the detector's default."""
LOWEST = 0.01
ROUNDS = 7
FRAMES_PER_ROUND = 24


@dataclass(frozen=True, slots=True)
class Comparison:
    """Boxes against the original in fp32, and median milliseconds per frame of each."""

    default: Agreement
    int8: Agreement
    fp32_ms: float
    default_ms: float
    int8_ms: float
    faster_than_fp32: float
    faster_than_default: float


def compare(original: Path, int8: Path, images: Sequence[Image], imgsz: int) -> Comparison:
    """Compare an int8 copy with its original on pictures that it was not calibrated on.

    `default` is the original as it runs by default, which on CPUs with bf16 is not fp32. The three
    take turns, and speeds are compared within a turn, so a machine that is busy with other things
    slows all of them. The int8 copy's rate is the median over turns of its ratio to the original.
    """
    frames = [Frame(image, "held-out", index, 0.0, 0.0) for index, image in enumerate(images)]
    runs: tuple[tuple[Path, Precision], ...] = (
        (original, "fp32"),
        (original, "auto"),
        (int8, "auto"),
    )
    fp32, default, quantized = (_boxes(*run, imgsz, frames) for run in runs)
    turns = _timed([_opened(*run, imgsz, CONF) for run in runs], frames)
    times = [median(turn[i] for turn in turns) for i in range(len(runs))]
    return Comparison(
        default=agreement(fp32, default, CONF),
        int8=agreement(fp32, quantized, CONF),
        fp32_ms=times[0],
        default_ms=times[1],
        int8_ms=times[2],
        faster_than_fp32=median(turn[0] / turn[2] for turn in turns),
        faster_than_default=median(turn[1] / turn[2] for turn in turns),
    )


def _opened(path: Path, precision: Precision, imgsz: int, conf: float) -> NetworkDetector:
    options = yolo.Options(model=str(path), conf=conf, imgsz=imgsz, precision=precision)
    detector = yolo.build(options)
    detector.open()
    return detector


def _boxes(
    path: Path, precision: Precision, imgsz: int, frames: Sequence[Frame]
) -> list[Detections]:
    """Return what is found down to very low scores, which the average precision needs."""
    detector = _opened(path, precision, imgsz, LOWEST)
    try:
        return detector.detect(frames)
    finally:
        detector.close()


def _timed(detectors: Sequence[NetworkDetector], frames: Sequence[Frame]) -> list[list[float]]:
    """Return ms per frame of each detector in each of several turns; closes the detectors."""
    # Spread over the footage, so that crowded and empty scenes are both in.
    some = frames[:: max(len(frames) // FRAMES_PER_ROUND, 1)][:FRAMES_PER_ROUND]
    try:
        for each in detectors:
            each.detect(some)  # the first time compiles
        return [[_ms_per_frame(each, some) for each in detectors] for _ in range(ROUNDS)]
    finally:
        for each in detectors:
            each.close()


def _ms_per_frame(detector: NetworkDetector, frames: Sequence[Frame]) -> float:
    started = perf_counter()
    detector.detect(frames)
    return (perf_counter() - started) * 1000 / len(frames)
