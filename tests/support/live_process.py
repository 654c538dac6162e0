"""`trackline live` and `zones` in a process of their own, for tests that look from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from support.paths import ROOT

PATIENCE_S = 60.0  # a busy machine starts Python and OpenVINO slowly


class Running:
    """A command that serves the page, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], log: Path, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self._log = log
        assert process.stdout is not None
        self.address = process.stdout.readline().strip()
        assert self.address.startswith("http://"), (self.address, self.log())
        self.client = httpx.Client(base_url=self.address.partition("/?")[0], timeout=PATIENCE_S)

    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()

    def until(self, what: Callable[[], Any]) -> Any:
        """Ask again until `what` gives something true, and return that."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if found := what():
                return found
            time.sleep(0.1)
        raise AssertionError(f"never came true; log:\n{self.log()}")

    def camera(self, name: str) -> dict[str, Any] | None:
        found = [each for each in self.get("/api/cameras")["cameras"] if each["name"] == name]
        return found[0] if found else None

    def is_live(self, name: str) -> bool:
        camera = self.camera(name)
        return camera is not None and camera["state"] == "live" and camera["delivered"] > 0

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def write(folder: Path, *cameras: dict[str, Any], **sections: Any) -> Path:
    base = {"kind": "synthetic", "live": True, "frames": None, "fps": 10, "width": 64, "height": 48}
    tree = {
        "sources": [{**base, **camera} for camera in cameras],
        "detector": {"kind": "yolo", "model": str(folder / "one.onnx")},
        "tracker": {"kind": "sort", "confirm_s": 0.0},
        "web": {"port": 0},
        "run": {"output": str(folder / "out"), "retry_longest_s": 0.5},
        **sections,
    }
    path = folder / "cams.yaml"
    partial = folder / "partial"
    partial.write_text(json.dumps(tree, indent=1))
    partial.replace(path)
    return path


@contextmanager
def live(folder: Path, *arguments: str) -> Iterator[Running]:
    with served(folder, "live", "-c", str(folder / "cams.yaml"), *arguments) as running:
        yield running


@contextmanager
def served(folder: Path, *words: str, cwd: Path = ROOT) -> Iterator[Running]:
    """Run `trackline` with these words; its first line is the page's address.

    Its log is in `folder`.
    """
    log = folder / "log.txt"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words],
            stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        yield Running(process, log, folder)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
