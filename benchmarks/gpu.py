"""Trackline on a GPU beside the bare network and ultralytics' `track`, in one run.

    python benchmarks/gpu.py MODEL.pt [--video 1080P.mp4] [--sources 1,4,16] [--frames 600]

Without --video the sample clip is enlarged to 1920x1080. Three figures per number of file sources:
the network alone on pictures that are there already (a captured graph, the same batch), this
program from files to tracks, and ultralytics from the same files, in fp16 on both sides. Then the
GPU's milliseconds per frame and step, from CUDA events, and how busy nvidia-smi saw the GPU.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.core.cpu_count import cores
from pipeline.core.data import Detections
from pipeline.detectors import yolo
from pipeline.detectors.common.backend import FamilyOptions
from pipeline.detectors.common.network_detector import NetworkDetector
from pipeline.engine import Pipeline, RunOptions
from pipeline.sources import file
from pipeline.tools.bench.jobs import Job, MeasurementError, measure
from pipeline.tools.doctor.cuda import driver
from pipeline.tools.doctor.limits import cpu_name
from pipeline.trackers import trackline

ROOT = Path(__file__).resolve().parent.parent
SIZE = (1920, 1080)
BARE_RUNS = 50
WARM_FRAMES = 64


@dataclass
class Busy:
    """What nvidia-smi said of the GPU, in percent, while something ran."""

    samples: list[float] = field(default_factory=list)

    @property
    def share(self) -> str:
        """Return the mean in words."""
        return f"{statistics.fmean(self.samples):.0f} %" if self.samples else "unknown"


class Watched(NetworkDetector):
    """The detector, adding up what the GPU's own clock says of each batch."""

    def __init__(self, options: yolo.Options) -> None:
        super().__init__("yolo", options, FamilyOptions(imgsz=options.imgsz), suppression=options)
        self.total_ms: Counter[str] = Counter()
        self.frames = self.batches = 0

    def collect(self) -> list[Detections]:
        """Return the oldest batch's detections."""
        found = super().collect()
        for name, ms in getattr(self._backend, "device_ms", {}).items():
            self.total_ms[name] += ms
        self.frames += len(found)
        self.batches += 1
        return found


def main() -> int:
    """Measure and print; exit code 2 without a GPU."""
    given = _arguments()
    gpu = driver()
    if gpu is None or not gpu.devices:
        print("gpu.py: no NVIDIA GPU on this machine; nothing was measured")
        return 2
    name = gpu.devices[0].name
    print(f"{name}, driver {gpu.version}; {cpu_name()}, {cores().usable:g} cores; fp16")
    with tempfile.TemporaryDirectory() as folder:
        video = given.video or enlarged(ROOT / "samples" / "street.mp4", Path(folder))
        print(f"{given.model.name} at {given.imgsz}, {video.name}, median of {given.repeats}\n")
        print(f"{'sources':>8}{'bare':>10}{'ours':>10}{'of bare':>9}{'theirs':>10}{'ratio':>8}")
        for count in given.sources:
            _compare(given, video, count, Path(folder))
    return 0


def _compare(given: argparse.Namespace, video: Path, count: int, folder: Path) -> None:
    """Print a line for so many sources, and where the time went."""
    bare, ours, theirs = [], [], []
    for _ in range(given.repeats):
        bare.append(bare_network(given, video))
        watched, rate, busy = run_ours(given, video, count)
        ours.append(rate)
        theirs += [] if given.only_ours else run_theirs(given, video, count, folder)
    alone, own = statistics.median(bare), statistics.median(ours)
    other = statistics.median(theirs) if theirs else float("nan")
    figures = f"{count:>8}{alone:>10.0f}{own:>10.0f}{100 * own / alone:>8.0f}%"
    print(f"{figures}{other:>10.0f}{own / other:>7.1f}x")
    steps = ", ".join(
        f"{name} {ms / max(watched.frames, 1):.3f}" for name, ms in watched.total_ms.items()
    )
    full = watched.frames / max(watched.batches, 1)
    print(
        f"{'':8}GPU busy {busy.share}; ms a frame: {steps}; {full:.1f} frames a batch", flush=True
    )


def bare_network(given: argparse.Namespace, video: Path) -> float:
    """Return frames a second of the network alone at our batch, pictures on the GPU already."""
    import av
    import torch

    from pipeline.detectors.common.letterbox import fit
    from pipeline.detectors.torch.backend import FRAMES_ON_CUDA
    from pipeline.detectors.torch.device import CudaDevice
    from pipeline.detectors.torch.letterbox import Canvas
    from pipeline.detectors.torch.network import UltralyticsNetwork

    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        size = (stream.height, stream.width)
    device = CudaDevice(torch.device("cuda", 0))
    network = UltralyticsNetwork(given.model, device.device, half=True)
    batch = given.batch or FRAMES_ON_CUDA
    side = -(-given.imgsz // network.stride) * network.stride
    box = fit(size, (side, side), network.stride)
    with torch.inference_mode(), device.on("compute"):
        canvas = Canvas(batch, box.input_size, network.dtype, device.device)
        work = device.repeatable(lambda: network(canvas.pictures))
        kept = network.kept()
        began = device.mark("compute")
        for _ in range(BARE_RUNS):
            work()
        ended = device.mark("compute")
        ended.wait()
    del kept
    return BARE_RUNS * batch / ended.since(began) * 1e3


def run_ours(given: argparse.Namespace, video: Path, count: int) -> tuple[Watched, float, Busy]:
    """Return the detector with its sums, frames a second once warm, and how busy the GPU was."""
    options = yolo.Options(
        model=str(given.model), imgsz=given.imgsz, device="cuda:0", batch=given.batch
    )
    detector = Watched(options)
    sources = [
        file.build(file.Options(path=video, name=f"s{n}", decode=given.decode))
        for n in range(count)
    ]
    each = max(given.frames // count, 2 * WARM_FRAMES)
    running = Pipeline(
        sources,
        detector,
        lambda: trackline.build(trackline.Options()),
        options=RunOptions(max_frames=each),
    )
    began, counted = 0.0, -WARM_FRAMES * count
    with gpu_watched() as busy:
        for _ in running.results():
            counted += 1
            if counted == 0:
                began = time.perf_counter()
        seconds = time.perf_counter() - began
    return detector, counted / seconds, busy


def run_theirs(given: argparse.Namespace, video: Path, count: int, folder: Path) -> Sequence[float]:
    """Return their frames a second, or nothing and a line saying why."""
    source = str(video)
    if count > 1:
        source = str(folder / f"{count}.streams")
        links = [folder / f"{n}{video.suffix}" for n in range(count)]
        for link in links:
            if not link.exists():
                link.symlink_to(video)
        Path(source).write_text("\n".join(map(str, links)) + "\n", "utf-8")
    options = {"device": "cuda:0", "imgsz": given.imgsz, "half": True, "stream_buffer": True}
    frames = max(given.frames, 2 * WARM_FRAMES * count)
    try:
        return [measure("theirs", Job(source, str(given.model), options, False, frames)).fps]
    except MeasurementError as error:
        print(f"ultralytics, {count} sources: {error}")
        return []


@contextmanager
def gpu_watched() -> Iterator[Busy]:
    """Yield what fills with the GPU's utilisation, five times a second, until the context ends."""
    busy = Busy()
    query = ["nvidia-smi", "-i", "0", "--query-gpu=utilization.gpu"]
    try:
        asking = subprocess.Popen(
            [*query, "--format=csv,noheader,nounits", "-lms", "200"],
            stdout=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError:
        yield busy
        return
    try:
        yield busy
    finally:
        asking.terminate()
        said, _ = asking.communicate()
        busy.samples += [float(line) for line in said.split() if line.isdecimal()]


def enlarged(video: Path, folder: Path) -> Path:
    """Return the video at 1920x1080, three times over, so that a run is long enough."""
    import av

    path = folder / "street_1080p.mp4"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        number = 0
        for _ in range(3):
            with av.open(str(video)) as container:
                for picture in container.decode(video=0):
                    large = picture.reformat(*SIZE, format="yuv420p")
                    large.pts, large.time_base = number, Fraction(1, 25)
                    number += 1
                    output.mux(stream.encode(large))
        output.mux(stream.encode())
    return path


def _arguments() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(one) for one in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=lambda text: Path(text).resolve(), help=".pt weights")
    parser.add_argument("--video", type=lambda text: Path(text).resolve(), help="a 1080p file")
    parser.add_argument("--sources", type=numbers, default=[1, 4, 16])
    parser.add_argument("--frames", type=int, default=2400, help="per run, over all sources")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--batch", type=int, help="frames a batch; by default the program's own")
    parser.add_argument("--decode", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--only-ours", action="store_true", help="leave ultralytics out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
