"""What viewers cost the pipeline: its frames per second with and without them, in one run.

`python benchmarks/viewers.py` starts `trackline live` on synthetic cameras that give more than can
be inferred, and measures without viewers, then with ten of which two stall (one reads nothing, one
never acknowledges); several rounds, so that what else the machine does falls on both.

With `--rtsp` the cameras are network cameras (H.264), and each round has ten viewers of JPEG and ten
of the cameras' own video, each of them all cameras; bytes and CPU of both are printed.
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
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parent.parent
SETTLE_S = 2.0


def settings(folder: Path, args: argparse.Namespace) -> Path:
    """Return a configuration of cameras that give more frames than can be inferred."""
    camera = {"kind": "synthetic", "live": True, "frames": None, "fps": args.fps}
    size = {"width": args.width, "height": args.width * 9 // 16}
    tree = {
        "sources": [
            {**camera, **size, "name": f"camera {n}", "seed": n} for n in range(args.cameras)
        ],
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


class Viewers:
    """Pages that ask for pictures of all cameras; some of them stall."""

    def __init__(self, address: str, names: list[str], fps: float) -> None:
        self._host, _, port = address.removeprefix("http://").partition(":")
        self._port = int(port)
        self._wish = json.dumps(
            {"type": "watch", "cameras": names, "pictures": True, "width": 480, "fps": fps}
        )
        self.pictures = 0
        self.oldest_ms = 0.0

    async def watch(self, *, acknowledges: bool) -> None:
        """Be a page, for ever."""
        async with connect(f"ws://{self._host}:{self._port}/api/ws", max_size=None) as link:
            await link.send(self._wish)
            async for message in link:
                if isinstance(message, bytes):
                    await self._take(link, message, acknowledges=acknowledges)

    async def _take(self, link: ClientConnection, message: bytes, *, acknowledges: bool) -> None:
        length = struct.unpack(">BH", message[:3])[1]
        header: dict[str, Any] = json.loads(message[3 : 3 + length])
        if acknowledges:
            self.pictures += 1
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


async def rate(address: str, process: psutil.Process, seconds: float) -> tuple[float, float]:
    """Return the pipeline's results per second from now on, and its CPU seconds per result."""
    before, began = await asyncio.to_thread(delivered, address), time.monotonic()
    cpu = sum(process.cpu_times()[:2])
    await asyncio.sleep(seconds)
    after = await asyncio.to_thread(delivered, address)
    cpu = sum(process.cpu_times()[:2]) - cpu
    return (after - before) / (time.monotonic() - began), cpu / max(1, after - before)


async def measure(
    address: str, process: psutil.Process, args: argparse.Namespace
) -> dict[str, Any]:
    """Return the figures of all rounds."""
    names = [f"camera {n}" for n in range(args.cameras)]
    without, with_them, pictures, oldest = [], [], 0, 0.0
    await asyncio.sleep(5 * SETTLE_S)
    for _ in range(args.rounds):
        without.append(await rate(address, process, args.seconds))
        viewers = Viewers(address, names, args.viewer_fps)
        pages = [asyncio.create_task(viewers.watch(acknowledges=True)) for _ in range(8)]
        stalled = [
            asyncio.create_task(viewers.watch(acknowledges=False)),
            asyncio.create_task(viewers.read_nothing()),
        ]
        await asyncio.sleep(SETTLE_S)
        viewers.pictures, viewers.oldest_ms = 0, 0.0
        with_them.append(await rate(address, process, args.seconds))
        pictures += viewers.pictures
        oldest = max(oldest, viewers.oldest_ms)
        for task in (*pages, *stalled):
            task.cancel()
        await asyncio.gather(*pages, *stalled, return_exceptions=True)
        await asyncio.sleep(SETTLE_S)
    fps_without, fps_with = [[fps for fps, _ in each] for each in (without, with_them)]
    return {
        "cameras": args.cameras,
        "fps_without": [round(value, 2) for value in fps_without],
        "fps_with_ten_viewers": [round(value, 2) for value in fps_with],
        "ratio": round(sum(fps_with) / sum(fps_without), 3),
        "median_ratio_of_rounds": round(
            statistics.median(b / a for a, b in zip(fps_without, fps_with, strict=True)), 3
        ),
        "cpu_ms_per_result": [
            round(1e3 * statistics.median(cpu for _, cpu in each), 1)
            for each in (without, with_them)
        ],
        "pictures_per_viewer_and_second": round(pictures / 8 / args.rounds / args.seconds, 2),
        "oldest_picture_ms": oldest,
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
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = settings(Path(folder), args)
        with subprocess.Popen(
            [sys.executable, "-m", "pipeline", "live", "-c", str(path)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:  # fmt: skip
            try:
                assert process.stdout is not None
                address = process.stdout.readline().strip()
                os.nice(19)  # real viewers have machines of their own
                print(
                    json.dumps(
                        asyncio.run(measure(address, psutil.Process(process.pid), args)), indent=2
                    )
                )
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
