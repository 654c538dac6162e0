"""Prints threads, memory and open files of a live server over half an hour of outages.

    python -m benchmarks.soak [--minutes 30] [--cameras 2] [--fps 3]

`trackline live` runs in a process of its own on RTSP cameras that show the street of the samples,
each behind a proxy that refuses, hangs or sends garbage now and then. Pages watch (one JPEG, one
the cameras' own video, one that never acknowledges; all come and go), events, clips, visits and
alerts are kept, and alerts go to a webhook and a mail server that are away half of the time and to
a browser's push service that answers every other request with 503. What is measured is the
server's process alone: flat means that the medians of the last and of the middle third agree.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import psutil
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.exceptions import WebSocketException

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support import fault_proxy, rtsp_server
from support.event_servers import Hook, free_port, webhook
from support.live_video import clip_pictures, encoded, looped
from support.mail_server import mail_server

from benchmarks.viewers import Viewers

ROOT = Path(__file__).resolve().parent.parent
FAULTS: tuple[fault_proxy.Fault, ...] = ("refuse", "hang", "garbage")
SAMPLE_S = 5.0
MAX_THREADS_MORE = 2
MAX_GROWTH = 0.03


class Sample(NamedTuple):
    """The server's process at one moment."""

    minute: float
    threads: int
    megabytes: float
    files: int


def settings(folder: Path, urls: list[str], hook: str, mail_port: int) -> Path:
    """Return the configuration of the server."""
    quick = {"open_timeout_s": 10, "read_timeout_s": 4}
    every = {"not_again_s": 0, "every_event": True}
    tree = {
        "sources": [
            {"kind": "stream", "url": url, "name": f"camera {n}", **quick}
            for n, url in enumerate(urls)
        ],
        "detector": {"kind": "yolo", "imgsz": 320},
        "sinks": [{"kind": "events", "lost_after_s": 5, "keep_megabytes": 20}],
        "alerts": {
            "webhooks": [{"url": hook, "name": "hook"}],
            "email": {
                "host": "127.0.0.1", "port": mail_port, "security": "none",
                "sender": "cams@example.org", "to": ["me@example.org"], "timeout_s": 3,
            },
            "web_push": {"contact": "mailto:me@example.org", "private_services": True},
            "rules": [
                {"name": "all", "channels": ["webhook", "email", "web_push"], **every},
                {"name": "lost", "channels": ["webhook"], "kinds": ["lost", "live"], **every},
                {"name": "rare", "channels": ["email"], "not_again_s": 120},
            ],
        },
        "web": {"port": 0},
        "run": {"output": str(folder / "out"), "retry_longest_s": 4},
    }  # fmt: skip
    path = folder / "cams.yaml"
    path.write_text(json.dumps(tree))
    return path


def every_now_and_then(stop: threading.Event, work: Callable[[random.Random], None]) -> None:
    """Do something on a thread until the end."""
    threading.Thread(target=_repeat, args=(stop, work), daemon=True).start()


def _repeat(stop: threading.Event, work: Callable[[random.Random], None]) -> None:
    rng = random.Random(1)
    while not stop.is_set():
        work(rng)


def subscribe(address: str, endpoint: str) -> None:
    """Have a browser get notifications."""
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    raw = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys = {"p256dh": _text(raw), "auth": _text(os.urandom(16))}
    body = json.dumps({"endpoint": endpoint, "keys": keys}).encode()
    headers = {"Content-Type": "application/json", "X-Trackline": "1"}
    urlopen(Request(f"{address}/api/push/subscriptions", body, headers), timeout=30).close()


def read(address: str, path: str) -> str:
    """Return what the server answers."""
    with urlopen(f"{address}{path}", timeout=30) as answer:
        return str(answer.read().decode())


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


async def watch(address: str, args: argparse.Namespace, stop: threading.Event) -> None:
    """Have pages come, watch for a while, and go."""
    names = [f"camera {n}" for n in range(args.cameras)]

    async def come_and_go(kind: str, seconds: float, *, acknowledges: bool) -> None:
        while not stop.is_set():
            page = Viewers(address, names, args, kind)
            with suppress(OSError, TimeoutError, WebSocketException):
                await asyncio.wait_for(page.watch(acknowledges=acknowledges), seconds)
            await asyncio.sleep(1)

    await asyncio.gather(
        come_and_go("jpeg", 45, acknowledges=True),
        come_and_go("video", 70, acknowledges=True),
        come_and_go("jpeg", 30, acknowledges=False),
    )


def main() -> None:
    """Run for so many minutes and print a line each, then what became of threads and memory."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--fps", type=float, default=3)
    parser.add_argument("--log", action="store_true", help="print the server's log at the end")
    args = parser.parse_args()
    args.rtsp, args.width, args.viewer_fps = True, 480, 5
    stop = threading.Event()
    with ExitStack() as stack:
        stack.callback(stop.set)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pictures = encoded(clip_pictures(ROOT / "samples" / "street.mp4", 60, 480), args.fps)
        proxies = []
        for _ in range(args.cameras):
            camera = rtsp_server.Camera(looped(pictures, args.fps))
            server = stack.enter_context(rtsp_server.running(camera))
            proxies.append(stack.enter_context(fault_proxy.proxied(server.port)))
        hook_port, mail_port = free_port(), free_port()
        push = stack.enter_context(webhook())
        urls = [f"rtsp://127.0.0.1:{one.port}/live" for one in proxies]
        path = settings(folder, urls, f"http://127.0.0.1:{hook_port}/hook", mail_port)
        log = stack.enter_context((folder / "log.txt").open("w"))
        process = stack.enter_context(subprocess.Popen(
            [sys.executable, "-m", "pipeline", "live", "-c", str(path)],
            stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ))  # fmt: skip
        stack.callback(process.terminate)
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        while json.loads(read(address, "/api/alerts"))["push"] is None:
            time.sleep(0.2)  # the database is not open yet
        subscribe(address, push.url)

        def strike(rng: random.Random) -> None:
            stop.wait(rng.uniform(8, 20))
            proxy = rng.choice(proxies)
            if not stop.is_set():
                proxy.set(rng.choice(FAULTS))
            stop.wait(rng.uniform(2, 12))
            if not stop.is_set():
                proxy.set("none")

        def receive(rng: random.Random) -> None:
            stop.wait(rng.uniform(20, 60))
            with (
                webhook(hook_port, Hook(answers=["drip"])),
                mail_server(mail_port, replies={"MAIL": ["451 later"], "CONNECT": ["drip"]}),
            ):
                stop.wait(rng.uniform(20, 60))

        def answer(rng: random.Random) -> None:
            push.answers.append(rng.choice((201, 503)))
            push.requests.clear()
            stop.wait(2)

        for work in (strike, receive, answer):
            every_now_and_then(stop, work)
        threading.Thread(
            target=lambda: asyncio.run(watch(address, args, stop)), daemon=True
        ).start()
        samples = observe(psutil.Process(process.pid), args.minutes)
        for name, value in totals(address).items():
            print(f"{name}: {value}")
        process.terminate()
        print(f"ended with exit code {process.wait(20)}")
        if args.log:
            print((folder / "log.txt").read_text())
    judge(samples)


def observe(process: psutil.Process, minutes: float) -> list[Sample]:
    """Return samples of a process, and print one a minute."""
    samples: list[Sample] = []
    began, printed = time.monotonic(), -1
    while (minute := (time.monotonic() - began) / 60) < minutes:
        with process.oneshot():
            memory = process.memory_info().rss / 2**20
            samples.append(Sample(minute, process.num_threads(), memory, process.num_fds()))
        if int(minute) > printed:
            printed, now = int(minute), samples[-1]
            print(f"{now.minute:5.1f} min: {now.threads} threads, {now.megabytes:.0f} MB, "
                  f"{now.files} files", flush=True)  # fmt: skip
        time.sleep(SAMPLE_S)
    return samples


def totals(address: str) -> dict[str, Any]:
    """Return how much happened."""
    lines = read(address, "/metrics").splitlines()
    found: dict[str, float] = {}
    wanted = ("trackline_events_total", "trackline_alerts_total", "trackline_reconnects_total",
              "trackline_frames_delivered_total", "trackline_deliveries_waiting{")  # fmt: skip
    for line in lines:
        if line.startswith(wanted):
            name, _, value = line.rpartition(" ")
            labels = [part for part in name.split(",") if "outcome" in part or "target" in part]
            key = " ".join([name.partition("{")[0], *labels]).replace("{", " ").rstrip("}")
            found[key] = found.get(key, 0) + float(value)
    return found


def judge(samples: list[Sample]) -> None:
    """Print whether threads and memory stayed where they were."""
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]
    threads = [statistics.median(one.threads for one in part) for part in (middle, last)]
    memory = [statistics.median(one.megabytes for one in part) for part in (middle, last)]
    files = [statistics.median(one.files for one in part) for part in (middle, last)]
    most = max(one.threads for one in samples)
    print(f"threads: median {threads[0]:.0f}, then {threads[1]:.0f}; never more than {most}")
    print(f"memory: median {memory[0]:.0f} MB, then {memory[1]:.0f} MB; files: {files}")
    is_flat = threads[1] - threads[0] <= MAX_THREADS_MORE and memory[1] < memory[0] * (
        1 + MAX_GROWTH
    )
    print(f"flat: {is_flat}")


if __name__ == "__main__":
    main()
