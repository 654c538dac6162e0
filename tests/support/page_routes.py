"""Routes and WebSocket of the fake server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import mimetypes
import struct
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from support.page_scenes import SAMPLES
from support.paths import PACKAGE

if TYPE_CHECKING:
    from support.page_server import Camera, FakeServer

PAGE = PACKAGE / "server" / "page"
# No HTML from text can slip in unseen: with trusted types, innerHTML itself is a violation.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; media-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


def app_of(fake: FakeServer) -> ASGIApp:
    app = FastAPI()
    add_access(app, fake)
    add_cameras(app, fake)
    add_camera_settings(app, fake)
    add_events(app, fake)
    add_visits(app, fake)
    add_live(app, fake)
    add_alerts(app, fake)
    return with_page_files(app)


@cache
def page_files() -> dict[str, Response]:
    """The answer to each path of the page's files."""
    headers = {"Content-Security-Policy": CSP, "Cache-Control": "no-store"}
    answers = {}
    for file in PAGE.iterdir():
        kind, _ = mimetypes.guess_type(file.name)
        answers[f"/{file.name}"] = Response(file.read_bytes(), headers=headers, media_type=kind)
    return {**answers, "/": answers["/index.html"]}


def with_page_files(app: ASGIApp) -> ASGIApp:
    """Answer for files before `app` does, whose middleware costs more than fifty files do."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        found = page_files().get(scope["path"]) if scope["type"] == "http" else None
        await (found or app)(scope, receive, send)

    return answer


def add_alerts(app: FastAPI, fake: FakeServer) -> None:
    @app.get("/api/alerts")
    def alerts() -> Any:
        return {"rules": fake.rules, "alerts": [], "push": fake.push}

    @app.post("/api/alerts/{rule}/test")
    def test(rule: str) -> Any:
        fake.tested.append(rule)
        found = [
            {"channel": "email", "problem": "SMTP 550 no"},
            {"channel": "mqtt", "problem": None},
        ]
        return {"results": found}

    @app.post("/api/push/subscriptions", status_code=204)
    async def subscribe(request: Request) -> None:
        body = await request.json()
        fake.browsers[body["endpoint"]] = body["keys"]

    @app.delete("/api/push/subscriptions", status_code=204)
    async def unsubscribe(request: Request) -> None:
        del fake.browsers[(await request.json())["endpoint"]]


def add_access(app: FastAPI, fake: FakeServer) -> None:
    @app.middleware("http")
    async def check_access(request: Request, call_next: Any) -> Response:
        path = request.url.path
        free = path in ("/api/session", "/api/login") or not path.startswith("/api/")
        if not (free or signed_in(fake, request.cookies)):
            return JSONResponse({"detail": "sign in first"}, 401)
        if request.method not in ("GET", "HEAD") and request.headers.get("x-trackline") != "1":
            return JSONResponse({"detail": "the header X-Trackline is missing"}, 403)
        response: Response = await call_next(request)
        response.headers["Content-Security-Policy"] = CSP
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/api/session")
    def session(request: Request) -> Any:
        known = signed_in(fake, request.cookies)
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


def signed_in(fake: FakeServer, cookies: dict[str, str]) -> bool:
    return fake.token is None or cookies.get("session") == "yes"


def add_cameras(app: FastAPI, fake: FakeServer) -> None:
    @app.get("/api/status")
    def status() -> Any:
        config = {
            "path": "cameras.yaml",
            "loaded_at": time.time(),
            "error": fake.config_error,
            "fixed": fake.fixed,
        }
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

    @app.post("/api/cameras/{name:path}/retry", status_code=204)
    def retry(name: str) -> Response:
        fake.retried.append(name)
        return Response(status_code=204)

    @app.post("/api/cameras/{name:path}/zones/preview")
    async def preview(name: str, request: Request) -> Any:
        asked = await request.json()
        fake.previews.append(asked)
        ways = [(each["name"], "enter", "", 3) for each in asked["zones"]]
        for each in asked["lines"]:
            ways += [(each["name"], "cross", "in", 4), (each["name"], "cross", "out", 1)]
        if (asked.get("appeared") or {}).get("enabled"):
            ways.append(("", "appeared", "", 7))
        keys = ("area", "kind", "direction", "count")
        about = {"camera": name, "class_name": "car"}
        counts = [{**about, **dict(zip(keys, way, strict=True))} for way in ways]
        return {"seconds": 59.6, "counts": counts}

    @app.put("/api/cameras/{name:path}/zones")
    async def save(name: str, request: Request) -> Any:
        if fake.refuse_zones:
            return JSONResponse({"detail": fake.refuse_zones}, 422)
        fake.zones[name] = await request.json()
        fake.saved.append({"camera": name, **fake.zones[name]})
        return fake.zones[name]


def add_camera_settings(app: FastAPI, fake: FakeServer) -> None:
    """What the page's form of a camera asks."""

    def refusal() -> JSONResponse | None:
        return fake.refuse_camera and JSONResponse({"detail": fake.refuse_camera}, 422)  # type: ignore[return-value]

    def settings(name: str) -> Any:
        own = {"conf": None, "classes": None, "imgsz": None, "fps": None}
        return {
            "name": name, "address": "rtsp://10.0.0.5/1", "record": None, "user": "viewer",
            "has_password": True,
            "detect": own, "shared": {**own, "conf": 0.1}, "classes": ["person", "car"],
            "takes_sizes": fake.takes_sizes, "version": "v1",
        }  # fmt: skip

    @app.post("/api/cameras/test")
    async def test(request: Request) -> Any:
        fake.tried.append(await request.json())
        jpeg = (fake.offered or fake.cameras)[-1].scene.jpegs[0]
        shown = {"jpeg": base64.b64encode(jpeg).decode(), "width": 320, "height": 180, "fps": 12.5}
        return refusal() or shown

    @app.post("/api/cameras", status_code=201)
    async def add(request: Request) -> Any:
        if fake.refuse_camera:
            return refusal()
        fake.added.append(await request.json())
        fake.cameras.append(fake.offered.pop())
        return settings(fake.cameras[-1].name)

    @app.get("/api/cameras/{name:path}/settings")
    def told(name: str) -> Any:
        return refusal() or settings(name)

    @app.put("/api/cameras/{name:path}/settings")
    async def change(name: str, request: Request) -> Any:
        fake.changed.append({"camera": name, **await request.json()})
        return refusal() or settings(name)

    @app.delete("/api/cameras/{name:path}", status_code=204)
    def remove(name: str) -> Response:
        fake.cameras[:] = [one for one in fake.cameras if one.name != name]
        return Response(status_code=204)


def add_events(app: FastAPI, fake: FakeServer) -> None:
    @app.get("/api/counts")
    def counts(camera: str = "") -> Any:
        rows = [row for row in fake.counts if camera in ("", row["camera"])]
        inside = [
            {"camera": one.name, "area": area, "class_name": "person", "count": n}
            if one.state == "live"
            else {"camera": one.name, "area": area, "class_name": "", "count": None}
            for one in fake.cameras
            if camera in ("", one.name)
            for area, n in one.inside.items()
        ]
        return {"counts": rows, "inside": inside}

    @app.get("/api/counts/history")
    def history(request: Request, since: float, until: float, kind: str, bucket: str) -> Any:
        asked = dict(request.query_params)
        fake.asked_history.append(asked)
        step = {"hour": 3600, "day": 86400}[bucket]
        rows = [
            {**row, "time": row["time"] // step * step}
            for row in fake.history
            if row["kind"] == kind
            and since <= row["time"] < until
            and asked.get("camera", row["camera"]) == row["camera"]
            and asked.get("class", row["class_name"]) == row["class_name"]
        ]
        return {"counts": rows}

    @app.get("/api/cameras/{name:path}/heatmap.jpg")
    @app.get("/api/cameras/{name:path}/snapshot.jpg")
    def picture(name: str) -> Response:
        (camera,) = (one for one in fake.cameras if one.name == name)
        return Response(camera.scene.jpegs[0], media_type="image/jpeg")

    @app.get("/api/cameras/{name:path}/paths")
    def paths(name: str) -> Any:
        return {"paths": fake.paths.get(name, [])}

    @app.get("/api/deliveries")
    def deliveries() -> Any:
        return {"keeping": fake.keeping, "deliveries": fake.deliveries}

    @app.get("/api/events")
    def events(visit: int, limit: int = 100) -> Any:
        found = [event for event in fake.events if event["visit"] == visit]
        return {"events": found[:limit], "next": None}

    @app.get("/api/events/{number}/boxes.json")
    def boxes(number: int) -> Any:
        for visit in fake.visits:
            if visit["event_id"] == number and "boxes" in visit:
                return visit["boxes"]
        return None

    @app.get("/api/events/{number}/clip.mp4")
    def clip(number: int) -> Response:
        if not any(event["id"] == number and event["clip"] for event in fake.events):
            return JSONResponse({"detail": "no clip"}, 404)
        return FileResponse(SAMPLES / "street.mp4", media_type="video/mp4")


def add_live(app: FastAPI, fake: FakeServer) -> None:
    @app.websocket("/api/ws")
    async def live(socket: WebSocket) -> None:
        if not signed_in(fake, socket.cookies):
            await socket.close(4401)
            return
        await socket.accept()
        if fake.full:
            await socket.close(1013, "too many viewers")
            return
        await Viewer(fake, socket).serve()


def add_visits(app: FastAPI, fake: FakeServer) -> None:
    @app.get("/api/visits")
    def visits(request: Request, limit: int = 100, cursor: str = "") -> Any:
        asked = dict(request.query_params)
        fake.asked.append(asked)
        found = [visit for visit in fake.visits if fits(visit, asked)]
        found.sort(key=lambda one: (one["started"], one["id"]), reverse=True)
        if cursor:
            place = float(cursor.split("_")[0]), int(cursor.split("_")[1])
            found = [one for one in found if (round(one["started"], 9), one["id"]) < place]
        last = found[limit - 1] if len(found) >= limit else None
        following = last and f"{last['started']:.9f}_{last['id']}"
        return {"visits": [public(one) for one in found[:limit]], "next": following}

    @app.get("/api/visits/{number}")
    def visit(number: int) -> Any:
        for one in fake.visits:
            if one["id"] == number:
                return public(one)
        return JSONResponse({"detail": "there is no such visit"}, 404)

    @app.get("/api/visits/{number}/thumbnail.jpg")
    def thumbnail(number: int) -> Response:
        for one in fake.visits:
            if one["id"] == number and "jpeg" in one:
                return Response(one["jpeg"], media_type="image/jpeg")
        return JSONResponse({"detail": "no picture"}, 404)


def fits(visit: dict[str, Any], asked: dict[str, str]) -> bool:
    """Whether a visit fits the query of an address."""
    same = {"camera": "camera", "class": "class_name"}
    if any(visit[field] != asked[key] for key, field in same.items() if key in asked):
        return False
    bounds = (
        ("since", visit["started"], 1), ("until", visit["started"], -1),
        ("min_s", visit["seconds"], 1), ("max_s", visit["seconds"], -1),
    )  # fmt: skip
    if any(way * (value - float(asked[key])) < 0 for key, value, way in bounds if key in asked):
        return False
    return any(
        asked.get("kind", one["kind"]) == one["kind"]
        and asked.get("zone", one["area"]) == one["area"]
        and asked.get("line", one["area"]) == one["area"]
        and ("line" not in asked or one["kind"] == "cross")
        for one in visit["touched"]
    )


def public(visit: dict[str, Any]) -> dict[str, Any]:
    """The visit as the server gives it."""
    return {key: value for key, value in visit.items() if key not in ("boxes", "jpeg")}


class Viewer:
    """One page's WebSocket: cameras often, pictures as they are acknowledged, events at once."""

    def __init__(self, fake: FakeServer, socket: WebSocket) -> None:
        self.fake = fake
        self.socket = socket
        self.watch: dict[str, Any] = {"cameras": [], "pictures": False}
        self.waiting: set[str] = set()  # cameras whose last picture is not yet acknowledged

    async def serve(self) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self.fake.viewers.add(queue)
        tasks = [
            asyncio.ensure_future(one)
            for one in (self.send_texts(queue), self.send_frames(), self.receive())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.fake.viewers.discard(queue)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self.socket.close()

    async def receive(self) -> None:
        async for text in self.socket.iter_text():
            message = json.loads(text)
            if message["type"] == "watch":
                self.watch = message
                self.fake.watches.append(message)
            else:
                self.fake.acks += 1
                self.waiting.discard(message["camera"])

    async def send_texts(self, queue: asyncio.Queue[str]) -> None:
        while True:
            cameras = [camera.as_json() for camera in self.fake.cameras]
            if not self.fake.silent:
                await self.socket.send_json({"type": "cameras", "cameras": cameras})
            with contextlib.suppress(TimeoutError):
                await self.socket.send_text(await asyncio.wait_for(queue.get(), 0.2))

    async def send_frames(self) -> None:
        while True:
            for camera in tuple(self.fake.cameras):
                if camera.name in self.watch["cameras"] and camera.state == "live":
                    camera.index += 1
                    await self.tracks(camera)
                    if self.watch["pictures"] and camera.name not in self.waiting:
                        self.waiting.add(camera.name)
                        self.fake.sent += 1
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
