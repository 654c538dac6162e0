"""A live server that says what a test wants: the page's side of the contract, without a pipeline.

`FakeServer` holds what is to be served; the test changes it while the page looks at it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from support.page_routes import app_of, public
from support.page_scenes import Scene


@dataclass
class Camera:
    """One camera as the page is to see it."""

    name: str
    scene: Scene
    state: str = "live"
    since: float = field(default_factory=time.time)
    error: str | None = None
    warning: str | None = None
    age_ms: float = 80.0
    index: int = 0
    fps: float = 10.0
    analysed_fps: float | None = None
    inside: dict[str, int] = field(default_factory=dict)
    again_in_s: float | None = None

    def set(self, state: str, error: str | None = None) -> None:
        self.state, self.error, self.since = state, error, time.time()

    @property
    def tracks(self) -> list[dict[str, Any]]:
        return self.scene.tracks[self.index % len(self.scene.tracks)]

    def as_json(self) -> dict[str, Any]:
        gone = self.state in ("lost", "connecting")
        age = None if gone else self.age_ms
        return {
            "name": self.name,
            "state": self.state,
            "since": self.since,
            "fps": 0.0 if gone else self.fps,
            "analysed_fps": self.analysed_fps,
            "width": self.scene.width,
            "height": self.scene.height,
            "age_ms": {"now": age, "p50": 82.0, "p95": 131.0, "p99": 164.0},
            "grabbed": self.index + 1003,
            "delivered": self.index + 1000,
            "dropped": {"overrun": 2, "stale": 1},
            "reconnects": 0,
            "error": self.error,
            "warning": self.warning,
            "next_try": None if self.again_in_s is None else time.time() - 3600 + self.again_in_s,
            "next_try_in_s": self.again_in_s,
            "tracks": None if gone else len(self.tracks),
        }


@dataclass
class FakeServer:
    """What is served, and what the page has sent: `saved`, `watches`, `acks`."""

    cameras: list[Camera] = field(default_factory=list)
    token: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    visits: list[dict[str, Any]] = field(default_factory=list)
    """The newest first; `boxes` of one are those in its clip, `jpeg` its picture."""
    revision: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    """The queries of visits."""
    counts: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    """Counts by hour, as the server has them."""
    asked_history: list[dict[str, str]] = field(default_factory=list)
    paths: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    zones: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuse_zones: str | None = None
    config_error: str | None = None
    silent: bool = False
    full: bool = False
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    keeping: dict[str, Any] | None = None
    saved: list[dict[str, Any]] = field(default_factory=list)
    watches: list[dict[str, Any]] = field(default_factory=list)
    offered: list[Camera] = field(default_factory=list)
    """Cameras that the page adds, the last one first."""
    fixed: str | None = None
    refuse_camera: str | None = None
    takes_sizes: bool = True
    tried: list[dict[str, Any]] = field(default_factory=list)
    added: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)
    previews: list[dict[str, Any]] = field(default_factory=list)
    retried: list[str] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    """Rules of alerts, as the server has them."""
    push: dict[str, Any] | None = None
    tested: list[str] = field(default_factory=list)
    browsers: dict[str, dict[str, str]] = field(default_factory=dict)
    """The keys of those that get notifications, by endpoint."""
    sent: int = 0
    """Pictures sent so far, and how many of them were acknowledged."""
    acks: int = 0
    port: int = 0
    viewers: set[asyncio.Queue[str]] = field(default_factory=set)
    _place: socket.socket | None = None
    _thread: threading.Thread | None = None
    _server: uvicorn.Server | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        if self._place is None:
            self._place = bound(0)  # while the server is away no other program gets the port
            self.port = self._place.getsockname()[1]
        listening = bound(self.port)
        config = uvicorn.Config(app_of(self), log_level="error", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)

        listening.listen()
        loop = self._loop = asyncio.new_event_loop()
        serving = self._server.serve(sockets=[listening])

        def serve() -> None:
            loop.run_until_complete(serving)
            loop.close()

        self._thread = threading.Thread(target=serve)
        self._thread.start()

    def stop(self) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive(), "the server does not end"

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        if self._place is not None:
            self._place.close()

    def happen(self, **event: Any) -> dict[str, Any]:
        """Store an event and tell every page."""
        stored = self.happen_silently(**event)
        self.send(json.dumps({"type": "event", "event": stored}))
        return stored

    def happen_silently(self, **event: Any) -> dict[str, Any]:
        """Store an event."""
        stored = {**event_like(len(self.events) + 1), **event}
        self.events.insert(0, stored)
        return stored

    def visit(self, **values: Any) -> dict[str, Any]:
        """Store a visit with its first event and tell every page."""
        stored = self.visit_silently(**values)
        self.send(json.dumps({"type": "visit", "visit": public(stored)}))
        return stored

    def visit_silently(self, **values: Any) -> dict[str, Any]:
        """Store a visit with its first event."""
        self.revision += 1
        number = len(self.visits) + 1
        stored = {**visit_like(number), "revision": self.revision, **values}
        about = {"time": stored["started"], "camera": stored["camera"], "clip": stored["clip"]}
        first = dict(stored["touched"][0])
        event = self.happen_silently(**about, **first, visit=number, track_id=stored["track_id"])
        event["class_name"], event["clip_offset_s"] = stored["class_name"], stored["clip_offset_s"]
        stored["event_id"] = event["id"]
        self.visits.insert(0, stored)
        return stored

    def change(self, visit: dict[str, Any], **values: Any) -> None:
        """Change a visit and tell every page."""
        self.revision += 1
        visit.update(values, revision=self.revision)
        self.send(json.dumps({"type": "visit", "visit": public(visit)}))

    def send(self, text: str) -> None:
        """Send a text to every page."""
        assert self._loop is not None
        for queue in tuple(self.viewers):
            self._loop.call_soon_threadsafe(queue.put_nowait, text)


def bound(port: int) -> socket.socket:
    """Return a socket at a port that may have another one."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made


def delivery_like(target: str, **values: Any) -> dict[str, Any]:
    """A target that is fine but for `values`."""
    usual = {
        "target": target, "address": "https://hooks.example/***", "delivered": 40, "waiting": 0,
        "waiting_since": None, "problem": None, "failed": 0, "failed_at": None, "failure": None,
    }  # fmt: skip
    return {**usual, **values}


def visit_like(number: int) -> dict[str, Any]:
    return {
        "id": number, "uid": f"{number:032x}", "camera": "yard", "track_id": number,
        "class_name": "car", "started": time.time(), "ended": time.time(), "seconds": 4.0,
        "dwell_s": 0.0, "events": 1,
        "touched": [{"kind": "enter", "area": "Gate", "direction": ""}],
        "event_id": number, "clip": True, "clip_offset_s": 1.0, "thumbnail": None,
    }  # fmt: skip


def at(area: str, kind: str = "enter", direction: str = "") -> dict[str, str]:
    """What a visit did at a zone or line."""
    return {"kind": kind, "area": area, "direction": direction}


CROSSED = [at("Kerb", "cross", "in"), at("Yard")]


def event_like(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "time": time.time(),
        "kind": "enter",
        "camera": "yard",
        "area": "Gate",
        "direction": "",
        "track_id": number,
        "class_name": "car",
        "dwell_s": 0.0,
        "index": 1,
        "pts_s": 0.1,
        "xyxy": [1.0, 2.0, 3.0, 4.0],
        "clip": True,
        "clip_offset_s": None,
        "visit": None,
    }
