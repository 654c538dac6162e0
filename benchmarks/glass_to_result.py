"""Prints how old a camera's pictures are when their results come out, by a clock the camera films.

    python benchmarks/glass_to_result.py                               # 10 fps, 1 minute
    python benchmarks/glass_to_result.py --fps 30 --minutes 10 --infer-ms 80   # too slow for it

An RTSP camera in another process burns the time into each picture just before it encodes it, so
encoding, the network, FFmpeg, decoding, waiting, inference and tracking are all in it. FFmpeg
hands an H.264 picture on only when the next one begins, which is one frame interval of it.
`--infer-ms` makes inference take at least so long. The bounds are those of the project's promise:
p95 at most one frame interval + inference + 100 ms; last minute no older than the first, less each
one's own inference, which takes longer where other programs begin to work.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.core.data import ClassNames, Detections, Frame
from pipeline.core.interfaces import Detector
from pipeline.detectors import yolo
from pipeline.engine import Pipeline
from pipeline.sources import stream
from pipeline.trackers import trackline

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support.timecode import decoded  # noqa: E402

PROMISED_MS = 100.0
GROWTH_MS = 50.0


class Seen(NamedTuple):
    """One result: when it came out (s since the first), age by time code and by arrival, infer."""

    at_s: float
    glass_ms: float
    arrival_ms: float
    infer_ms: float


class AtLeast:
    """A detector whose `detect` takes at least so long, as on a slower machine."""

    def __init__(self, detector: Detector, least_ms: float) -> None:
        self._detector, self._least_s = detector, least_ms / 1e3
        self.batch_size = 1

    def open(self, *, prefer_latency: bool = False) -> ClassNames:
        """Open the detector."""
        return self._detector.open(prefer_latency=prefer_latency)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the detector's answer, not before its time."""
        due = time.monotonic() + self._least_s
        found = self._detector.detect(frames)
        time.sleep(max(0.0, due - time.monotonic()))
        return found

    def close(self) -> None:
        """Close the detector."""
        self._detector.close()


def main() -> int:
    """Measure, print and return 0 where the bounds are kept."""
    arguments = _arguments()
    command = [sys.executable, HERE / "_timecode_camera.py", arguments.fps, arguments.width]
    camera = subprocess.Popen(
        [*map(str, command), arguments.video or ""],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert camera.stdin is not None
    assert camera.stdout is not None
    try:
        pipeline, seen = _watch(camera.stdout.readline().strip(), arguments)
    finally:
        camera.stdin.close()
        sent = camera.stdout.readline().strip()
        camera.wait(30)
    return _report(pipeline, seen, sent, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--infer-ms", type=float, default=0, help="let inference take so long")
    parser.add_argument("--imgsz", type=int, default=yolo.Options.model_fields["imgsz"].default)
    parser.add_argument("--transport", default="tcp", choices=["tcp", "udp"])
    parser.add_argument("--width", type=int, default=640, help="of the camera's pictures")
    parser.add_argument("--video", help="what it films; default: noise")
    return parser.parse_args()


def _watch(url: str, arguments: argparse.Namespace) -> tuple[Pipeline, list[Seen]]:
    """Run for the time asked for and return what came out."""
    source = stream.build(stream.Options(url=url, name="camera", transport=arguments.transport))
    detector = AtLeast(yolo.build(yolo.Options(imgsz=arguments.imgsz)), arguments.infer_ms)
    tracker = trackline.Options()
    pipeline = Pipeline([source], detector, lambda: trackline.build(tracker), {})
    seen: list[Seen] = []
    began = None
    for result in pipeline.results():
        now_ns, now = time.monotonic_ns(), time.monotonic()
        began = now if began is None else began
        code = decoded(result.frame.image)
        age = float("nan") if code is None else (now_ns - code) / 1e6
        arrival = (now - result.frame.captured_at) * 1e3
        seen.append(Seen(now - began, age, arrival, result.stage_ms.get("infer", 0.0)))
        if now - began > arguments.minutes * 60:
            pipeline.stop()
    return pipeline, seen


def _report(pipeline: Pipeline, seen: list[Seen], sent: str, arguments: argparse.Namespace) -> int:
    steady = [one for one in seen if one.at_s > 2]  # the first pictures waited for the connection
    glass = np.array([one.glass_ms for one in steady])
    unread = int(np.isnan(glass).sum())
    interval, infer = 1e3 / arguments.fps, np.percentile([one.infer_ms for one in steady], 95)
    bound = interval + infer + PROMISED_MS
    print(f"{arguments.fps:g} fps over {arguments.transport}, {seen[-1].at_s:.0f} s, "
          f"{len(steady)} results, {unread} time codes unreadable")  # fmt: skip
    print(f"age at output by time code, ms: {_spread(glass)}")
    print(f"age since arrival, ms:          {_spread([one.arrival_ms for one in steady])}")
    print(f"inference, ms:                  {_spread([one.infer_ms for one in steady])}")
    p95 = float(np.nanpercentile(glass, 95))
    fresh = p95 <= bound
    print(f"bound: {interval:.0f} interval + {infer:.0f} inference p95 + {PROMISED_MS:.0f} = "
          f"{bound:.0f} ms; p95 {p95:.0f}: {'kept' if fresh else 'BROKEN'}")  # fmt: skip
    last = seen[-1].at_s
    waits = [(one.at_s, one.glass_ms - one.infer_ms) for one in steady]
    first_ms = [wait_ms for at_s, wait_ms in waits if at_s <= min(60, last / 2)]
    last_ms = [wait_ms for at_s, wait_ms in waits if at_s > last - min(60, last / 2)]
    growth = float(np.nanpercentile(last_ms, 50) - np.nanpercentile(first_ms, 50))
    flat = growth <= GROWTH_MS
    print(f"first minute less inference, ms: {_spread(first_ms)}")
    print(f"last minute less inference, ms:  {_spread(last_ms)}; median grew {growth:+.0f}: "
          f"{'flat' if flat else 'GROWING'}")  # fmt: skip
    stats = pipeline.stats.sources["camera"]
    dropped = dict(+stats.dropped)
    under_way = int(sent) - stats.grabbed  # sent after the run was over, or not read any more
    balanced = stats.grabbed == stats.delivered + sum(dropped.values())
    balanced = balanced and 0 <= under_way <= max(5, arguments.fps)
    print(f"camera sent {sent}, {under_way} of them under way at the end; grabbed {stats.grabbed} "
          f"= delivered {stats.delivered} + dropped {dropped}: "
          f"{'every one counted' if balanced else 'MISSING SOME'}")  # fmt: skip
    return 0 if fresh and flat and balanced and not unread else 1


def _spread(values: Sequence[float] | np.ndarray) -> str:
    p50, p95, p99 = np.nanpercentile(values, [50, 95, 99])
    return f"p50 {p50:.1f}  p95 {p95:.1f}  p99 {p99:.1f}  max {np.nanmax(values):.1f}"


if __name__ == "__main__":
    sys.exit(main())
