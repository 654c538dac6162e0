"""What viewers cost the pipeline: its frames per second with and without them, in one run.

`python benchmarks/viewers.py` starts `trackline live` on synthetic cameras that give more than can
be inferred, and measures without viewers, then with ten of which two stall (one reads nothing, one
never acknowledges); several rounds, so that what else the machine does falls on both.

With `--rtsp` the cameras are network cameras (H.264, in another process), and each round measures
viewers of JPEG and viewers of the cameras' own video as well, in turn; all of them watch all
cameras in full size. Printed are the bytes that a viewer gets and the program's CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import psutil
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parent.parent
SETTLE_S = 2.0
WATCHING = 8


def settings(folder: Path, args: argparse.Namespace, url: str | None) -> Path:
    """Return a configuration of cameras that give more frames than can be inferred."""
    camera: dict[str, Any] = {"kind": "synthetic", "live": True, "frames": None, "fps": args.fps}
    camera |= {"width": args.width, "height": args.width * 9 // 16}
    cameras = [{**camera, "name": f"camera {n}", "seed": n} for n in range(args.cameras)]
    if url is not None:
        cameras = [{"source": url, "name": f"camera {n}"} for n in range(args.cameras)]
    tree = {
        "sources": cameras,
        "sinks": [],
        "web": {"port": 0},
        "run": {"output": str(folder / "out")},
    }
    path = folder / "cams.yaml"
    path.write_text(json.dumps(tree))
    return path


def delivered(address: str) -> int:
    """Return how many results there were until now."""
    with urlopen(f"{address}/api/cameras", timeout=30) as answer:
        return sum(camera["delivered"] for camera in json.load(answer)["cameras"])


@contextmanager
def camera(args: argparse.Namespace) -> Iterator[str]:
    """Yield the address of an RTSP camera in a process of its own."""
    command = [sys.executable, ROOT / "benchmarks" / "_timecode_camera.py", args.fps, args.width]
    with subprocess.Popen(
        [*map(str, command), str(ROOT / "samples" / "street.mp4"), "looped"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


class Viewers:
    """Pages that ask for pictures, or video, of all cameras; some of them stall."""

    def __init__(self, address: str, names: list[str], args: argparse.Namespace, kind: str) -> None:
        self._host, _, port = address.removeprefix("http://").partition(":")
        self._port = int(port)
        wish = {"type": "watch", "cameras": names, "pictures": True, "fps": args.viewer_fps}
        wish["width"] = args.width if args.rtsp else 480
        wish["video"] = names if kind == "video" else []
        self._wish = json.dumps(wish)
        self.pictures = 0
        self.bytes = 0
        self.oldest_ms = 0.0

    async def watch(self, *, acknowledges: bool) -> None:
        """Be a page, for ever."""
        async with connect(f"ws://{self._host}:{self._port}/api/ws", max_size=None) as link:
            await link.send(self._wish)
            async for message in link:
                if isinstance(message, bytes):
                    await self._take(link, message, acknowledges=acknowledges)

    async def _take(self, link: ClientConnection, message: bytes, *, acknowledges: bool) -> None:
        is_video = message[0] == 2
        start = 5 if is_video else 3
        (length,) = struct.unpack(">I" if is_video else ">H", message[1:start])
        header: dict[str, Any] = json.loads(message[start : start + length])
        if acknowledges:
            self.pictures += len(header["packets"]) if is_video else 1
            self.bytes += len(message)
            self.oldest_ms = max(self.oldest_ms, header["age_ms"])
            ack = {"type": "ack", "camera": header["camera"], "index": header["index"]}
            await link.send(json.dumps(ack))

    async def read_nothing(self) -> None:
        """Open a stream of pictures and never read it."""
        with socket.create_connection((self._host, self._port)) as link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            link.sendall(
                b"GET /api/cameras/camera%200/stream.mjpg?fps=30 HTTP/1.1\r\n"
                b"Host: 127.0.0.1\r\n\r\n"
            )
            await asyncio.Event().wait()


class Rates(NamedTuple):
    """The pipeline's results a second, and the program's CPU seconds a second and per result."""

    fps: float
    cpu: float
    cpu_per_result: float


async def rate(address: str, process: psutil.Process, seconds: float) -> Rates:
    """Return the rates from now on."""
    before, began = await asyncio.to_thread(delivered, address), time.monotonic()
    cpu = sum(process.cpu_times()[:2])
    await asyncio.sleep(seconds)
    results = await asyncio.to_thread(delivered, address) - before
    cpu = sum(process.cpu_times()[:2]) - cpu
    took = time.monotonic() - began
    return Rates(results / took, cpu / took, cpu / max(1, results))


class Crowd:
    """Eight viewers and two that stall, measured in rounds."""

    def __init__(self, address: str, process: psutil.Process, args: argparse.Namespace) -> None:
        self._address, self._process, self._args = address, process, args
        self._names = [f"camera {n}" for n in range(args.cameras)]
        self._pictures = self._bytes = 0
        self._oldest_ms = 0.0
        self.rates: list[Rates] = []

    async def round(self, kind: str) -> None:
        """Measure with viewers of that kind."""
        viewers = Viewers(self._address, self._names, self._args, kind)
        tasks = [asyncio.create_task(viewers.watch(acknowledges=True)) for _ in range(WATCHING)]
        tasks += [
            asyncio.create_task(viewers.watch(acknowledges=False)),
            asyncio.create_task(viewers.read_nothing()),
        ]
        await asyncio.sleep(SETTLE_S * 2)
        viewers.pictures, viewers.bytes, viewers.oldest_ms = 0, 0, 0.0
        self.rates.append(await rate(self._address, self._process, self._args.seconds))
        self._pictures += viewers.pictures
        self._bytes += viewers.bytes
        self._oldest_ms = max(self._oldest_ms, viewers.oldest_ms)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(SETTLE_S)

    def figures(self, without: Sequence[Rates]) -> dict[str, Any]:
        """Return the figures of all rounds, beside those without viewers."""
        seconds = self._args.seconds * len(self.rates)
        pairs = zip(without, self.rates, strict=True)
        return {
            "fps": [round(one.fps, 2) for one in self.rates],
            "ratio": round(sum(a.fps for a in self.rates) / sum(b.fps for b in without), 3),
            "median_ratio_of_rounds": round(statistics.median(b.fps / a.fps for a, b in pairs), 3),
            **_cpu(self.rates),
            "pictures_per_viewer_and_second": round(self._pictures / WATCHING / seconds, 2),
            "kilobytes_per_viewer_and_second": round(self._bytes / WATCHING / seconds / 1e3, 1),
            "kilobytes_per_picture": round(self._bytes / max(1, self._pictures) / 1e3, 2),
            "oldest_picture_ms": self._oldest_ms,
        }


def _cpu(rates: Sequence[Rates]) -> dict[str, float]:
    return {
        "cpu_percent": round(100 * statistics.median(one.cpu for one in rates), 1),
        "cpu_ms_per_result": round(1e3 * statistics.median(r.cpu_per_result for r in rates), 1),
    }


async def measure(
    address: str, process: psutil.Process, args: argparse.Namespace
) -> dict[str, Any]:
    """Return the figures of all rounds."""
    kinds = ("jpeg", "video") if args.rtsp else ("jpeg",)
    crowds = {kind: Crowd(address, process, args) for kind in kinds}
    without = []
    await asyncio.sleep(5 * SETTLE_S)
    for _ in range(args.rounds):
        without.append(await rate(address, process, args.seconds))
        for kind, crowd in crowds.items():
            await crowd.round(kind)
    return {
        "cameras": args.cameras,
        "without": {"fps": [round(one.fps, 2) for one in without], **_cpu(without)},
        **{kind: crowd.figures(without) for kind, crowd in crowds.items()},
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--viewer-fps", type=float, default=10)
    parser.add_argument("--rtsp", action="store_true")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = settings(folder, args, stack.enter_context(camera(args)) if args.rtsp else None)
        process = stack.enter_context(subprocess.Popen(
            [sys.executable, "-m", "pipeline", "live", "-c", str(path)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ))  # fmt: skip
        stack.callback(process.terminate)
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        os.nice(19)  # real viewers have machines of their own
        figures = asyncio.run(measure(address, psutil.Process(process.pid), args))
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
