"""A live server that says what a test wants: the page's side of the contract, without a pipeline.

`FakeServer` holds what is to be served; the test changes it while the page looks at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fake_scenes import SAMPLES, Scene
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

PAGE = Path(__file__).resolve().parents[2] / "pipeline" / "web" / "page"
# No HTML from text can slip in unseen: with trusted types, innerHTML itself is a violation.
CSP = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


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
    inside: dict[str, int] = field(default_factory=dict)

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
            "width": self.scene.width,
            "height": self.scene.height,
            "age_ms": {"now": age, "p50": 82.0, "p95": 131.0, "p99": 164.0},
            "grabbed": self.index + 3,
            "delivered": self.index,
            "dropped": {"overrun": 2, "stale": 1},
            "reconnects": 0,
            "error": self.error,
            "warning": self.warning,
            "tracks": 0 if gone else len(self.tracks),
        }


@dataclass
class FakeServer:
    """What is served, and what the page has sent: `saved`, `watches`, `acks`."""

    cameras: list[Camera] = field(default_factory=list)
    token: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    counts: list[dict[str, Any]] = field(default_factory=list)
    zones: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuse_zones: str | None = None
    config_error: str | None = None
    saved: list[dict[str, Any]] = field(default_factory=list)
    watches: list[dict[str, Any]] = field(default_factory=list)
    acks: int = 0
    port: int = 0
    _viewers: set[asyncio.Queue[str]] = field(default_factory=set)
    _thread: threading.Thread | None = None
    _server: uvicorn.Server | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(app_of(self), log_level="error", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)

        def serve() -> None:
            self._loop = asyncio.new_event_loop()
            assert self._server is not None
            self._loop.run_until_complete(self._server.serve(sockets=[listening]))
            self._loop.close()

        self._thread = threading.Thread(target=serve)
        self._thread.start()

    def stop(self) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = True
        self._thread.join(20)

    def happen(self, **event: Any) -> dict[str, Any]:
        """Store an event and tell every page."""
        stored = {**event_like(len(self.events) + 1), **event}
        self.events.insert(0, stored)
        text = json.dumps({"type": "event", "event": stored})
        assert self._loop is not None
        for queue in tuple(self._viewers):
            self._loop.call_soon_threadsafe(queue.put_nowait, text)
        return stored


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
    }


def app_of(fake: FakeServer) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        path = request.url.path
        free = path in ("/api/session", "/api/login") or not path.startswith("/api/")
        if not (free or signed_in(request.cookies)):
            return JSONResponse({"detail": "sign in first"}, 401)
        if request.method not in ("GET", "HEAD") and request.headers.get("x-trackline") != "1":
            return JSONResponse({"detail": "the header X-Trackline is missing"}, 403)
        response: Response = await call_next(request)
        response.headers["Content-Security-Policy"] = CSP
        response.headers["Cache-Control"] = "no-store"
        return response

    def signed_in(cookies: dict[str, str]) -> bool:
        return fake.token is None or cookies.get("session") == "yes"

    @app.get("/api/session")
    def session(request: Request) -> Any:
        known = signed_in(request.cookies)
        required = fake.token is not None
        return {"signed_in": known, "token_required": required, "version": "0.0.test"}

    @app.post("/api/login")
    async def login(request: Request) -> Response:
        if (await request.json())["token"] != fake.token:
            return JSONResponse({"detail": "wrong token"}, 401)
        response = Response(status_code=204)
        response.set_cookie("session", "yes", httponly=True, samesite="strict")
        return response

    @app.post("/api/logout")
    def logout() -> Response:
        response = Response(status_code=204)
        response.delete_cookie("session")
        return response

    @app.get("/api/status")
    def status() -> Any:
        config = {"path": "cameras.yaml", "loaded_at": time.time(), "error": fake.config_error}
        stages = {"infer": {"p50": 31.0}}
        return {
            "uptime_s": 11535.0,
            "fps": sum(camera.fps for camera in fake.cameras),
            "limited_by": "infer",
            "stages": stages,
            "config": config,
        }

    @app.get("/api/cameras/{name:path}/zones")
    def zones(name: str) -> Any:
        return fake.zones.get(name, {"size": None, "settle_s": 0.3, "zones": [], "lines": []})

    @app.put("/api/cameras/{name:path}/zones")
    async def save(name: str, request: Request) -> Any:
        if fake.refuse_zones:
            return JSONResponse({"detail": fake.refuse_zones}, 422)
        fake.zones[name] = await request.json()
        fake.saved.append({"camera": name, **fake.zones[name]})
        return fake.zones[name]

    @app.get("/api/counts")
    def counts(camera: str = "") -> Any:
        rows = [row for row in fake.counts if camera in ("", row["camera"])]
        inside = [
            {"camera": one.name, "area": area, "class_name": "person", "count": n}
            for one in fake.cameras
            if camera in ("", one.name)
            for area, n in one.inside.items()
        ]
        return {"counts": rows, "inside": inside}

    @app.get("/api/events")
    def events(request: Request, before_id: int = 1 << 60, limit: int = 100) -> Any:
        asked = {
            key: request.query_params[key]
            for key in ("camera", "kind", "class_name")
            if key in request.query_params
        }
        found = [
            event
            for event in fake.events
            if event["id"] < before_id and all(event[key] == asked[key] for key in asked)
        ]
        return {"events": found[:limit]}

    @app.get("/api/events/{number}/clip.mp4")
    def clip(number: int) -> Response:
        if not any(event["id"] == number and event["clip"] for event in fake.events):
            return JSONResponse({"detail": "no clip"}, 404)
        return FileResponse(SAMPLES / "street.mp4", media_type="video/mp4")

    @app.websocket("/api/ws")
    async def live(socket: WebSocket) -> None:
        if not signed_in(socket.cookies):
            await socket.close(4401)
            return
        await socket.accept()
        await Viewer(fake, socket).serve()

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


class Viewer:
    """One page's WebSocket: cameras often, pictures as they are acknowledged, events at once."""

    def __init__(self, fake: FakeServer, socket: WebSocket) -> None:
        self.fake = fake
        self.socket = socket
        self.watch: dict[str, Any] = {"cameras": [], "pictures": False}
        self.waiting: set[str] = set()  # cameras whose last picture is not yet acknowledged

    async def serve(self) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self.fake._viewers.add(queue)
        tasks = [asyncio.ensure_future(one) for one in (self.tell(queue), self.show(), self.hear())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.fake._viewers.discard(queue)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self.socket.close()

    async def hear(self) -> None:
        async for text in self.socket.iter_text():
            message = json.loads(text)
            if message["type"] == "watch":
                self.watch = message
                self.fake.watches.append(message)
            else:
                self.fake.acks += 1
                self.waiting.discard(message["camera"])

    async def tell(self, queue: asyncio.Queue[str]) -> None:
        while True:
            cameras = [camera.as_json() for camera in self.fake.cameras]
            await self.socket.send_json({"type": "cameras", "cameras": cameras})
            with contextlib.suppress(TimeoutError):
                await self.socket.send_text(await asyncio.wait_for(queue.get(), 0.2))

    async def show(self) -> None:
        while True:
            for camera in tuple(self.fake.cameras):
                if camera.name in self.watch["cameras"] and camera.state == "live":
                    camera.index += 1
                    await self.tracks(camera)
                    if self.watch["pictures"] and camera.name not in self.waiting:
                        self.waiting.add(camera.name)
                        await self.picture(camera)
            await asyncio.sleep(0.1)

    async def tracks(self, camera: Camera) -> None:
        head = self.head(camera)
        more = {"type": "tracks", "pts_s": 0.0, "time": time.time(), "inside": camera.inside}
        await self.socket.send_json({**head, **more})

    async def picture(self, camera: Camera) -> None:
        header = json.dumps(self.head(camera)).encode()
        jpeg = camera.scene.jpegs[camera.index % len(camera.scene.jpegs)]
        await self.socket.send_bytes(b"\1" + struct.pack(">H", len(header)) + header + jpeg)

    def head(self, camera: Camera) -> dict[str, Any]:
        return {
            "camera": camera.name,
            "index": camera.index,
            "width": camera.scene.width,
            "height": camera.scene.height,
            "age_ms": camera.age_ms,
            "tracks": camera.tracks,
        }
