"""Prints the CPU milliseconds a frame that everything but inference takes, and the engine alone.

    python benchmarks/cpu_per_stage.py VIDEO MODEL.onnx [--max-frames N]

First VIDEO with video saved: CPU time by thread from Linux' /proc, where what the network's own
threads took is told apart. Then empty frames through stages that do nothing, which is what the
engine itself (queues, locks, Python) costs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import pipeline
from pipeline.core.data import Detections, Frame
from pipeline.core.run_info import SourceInfo
from pipeline.engine import Pipeline
from pipeline.trackers import none

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


class Empty:
    """A file of `count` black frames, found nothing on."""

    name, live, batch_size = "empty", False, 1

    def __init__(self, count: int) -> None:
        self._image = np.zeros((8, 8, 3), np.uint8)
        self._left = self._count = count

    def open(self, **_: object) -> object:
        """Return what a source and what a detector tells."""
        return {0: "nothing"} if _ else SourceInfo(8, 8)

    def read(self) -> Frame | None:
        """Return the next frame."""
        self._left -= 1
        index = self._count - self._left - 1
        if self._left < 0:
            return None
        return Frame(self._image, self.name, index, index / 25, time.monotonic())

    def detect(self, frames: list[Frame]) -> list[Detections]:
        """Return nothing for each frame."""
        return [Detections.empty() for _ in frames]

    def close(self) -> None:
        """There is nothing to release."""


class Threads:
    """Adds up the CPU ms of each thread of this process by name, until the block ends."""

    def __enter__(self) -> Threads:
        self.ms: dict[int, float] = {}
        self.names: dict[int, str] = {}
        self._comm: dict[int, str] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def by_name(self) -> dict[str, float]:
        """Return the CPU ms by the thread's name, or by what the library calls its threads."""
        sums: dict[str, float] = {}
        for thread, ms in self.ms.items():
            name = self.names.get(thread) or self._comm.get(thread, "")
            sums[name] = sums.get(name, 0.0) + ms
        return sums

    def _watch(self) -> None:
        while not self._end.wait(0.05):
            self.names |= {t.native_id: t.name for t in threading.enumerate() if t.native_id}
            for thread in os.listdir("/proc/self/task"):
                try:
                    told = Path("/proc/self/task", thread, "stat").read_text("ascii", "replace")
                except OSError:
                    continue  # it has ended
                user, system = told.rpartition(")")[2].split()[11:13]
                self._comm[int(thread)] = told.partition("(")[2].rpartition(")")[0]
                self.ms[int(thread)] = (int(user) + int(system)) * TICK_MS


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("model")
    parser.add_argument("--max-frames", type=int, default=400)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as out, Threads() as threads:
        report = pipeline.run(
            {
                "sources": [str(given.video)],
                "detector": {"kind": "yolo", "model": given.model},
                "sinks": ["video"],
                "run": {"output": out, "max_frames": given.max_frames},
            }
        )
    frames = report["frames"]
    named = {"network and encoder or decoder threads": 0.0}
    for thread, ms in threads.ms.items():
        name = threads.names.get(thread, "network and encoder or decoder threads")
        named[name] = named.get(name, 0.0) + ms / frames
    for name in ("watch", "MainThread"):  # the latter loads the weights and compiles
        named.pop(name, None)
    inference = named.pop("network and encoder or decoder threads")
    for name, ms in named.items():
        print(f"{name:40}{ms:8.2f} ms CPU a frame")
    print(f"{'everything but inference':40}{sum(named.values()):8.2f} ms CPU a frame")
    print(f"{'network and unnamed threads':40}{inference:8.2f} ms CPU a frame")

    empty = Empty(5000)
    bare = Pipeline([empty], empty, lambda: none.build(none.Options()))  # type: ignore[list-item]
    began = time.process_time()
    count = sum(1 for _ in bare.results())
    each = (time.process_time() - began) / count * 1e3
    print(f"{'the engine alone':40}{each:8.3f} ms CPU a frame")


if __name__ == "__main__":
    main()
