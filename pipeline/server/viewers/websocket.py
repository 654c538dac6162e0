"""One page's WebSocket: the newest of what it watches, at the rate it can take."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from pipeline.config.web import WebOptions
from pipeline.server.auth import Auth, Grant
from pipeline.server.viewers.broadcaster import TICK_S, Broadcaster
from pipeline.server.viewers.hub import Hub
from pipeline.server.viewers.jpeg_encoder import JpegEncoder
from pipeline.server.viewers.messages import WISH, Watch, message_of

MAX_MISTAKES = 10
QUEUED_EVENTS = 200
MAX_SEND_S = 30.0

SIGNED_OUT = 4401
_TRY_LATER = 1013
_POLICY = 1008


class ViewerPool:
    """What all viewers share, and the number of seats."""

    def __init__(
        self,
        hub: Hub,
        desk: JpegEncoder,
        announcer: Broadcaster,
        gate: Auth,
        options: WebOptions,
    ) -> None:
        self.hub = hub
        self.desk = desk
        self.announcer = announcer
        self.gate = gate
        self.most_fps = options.picture_fps
        self.open = 0
        self._seats = options.viewers

    @property
    def is_full(self) -> bool:
        """Return whether no seat is free."""
        return self.open >= self._seats

    @contextmanager
    def seat(self) -> Iterator[bool]:
        """Take a seat as long as the block takes; yields False where none is free."""
        if self.is_full:
            yield False
            return
        self.open += 1
        try:
            yield True
        finally:
            self.open -= 1


class Viewer:
    """One page. It holds no queue: what it could not send in time is never sent."""

    def __init__(self, socket: WebSocket, studio: ViewerPool, grant: Grant) -> None:
        self._socket = socket
        self._studio = studio
        self._grant = grant
        self._watch = Watch()
        self._wake = asyncio.Event()
        self._unacked: dict[str, int] = {}
        self._told: dict[str, tuple[float, int]] = {}
        self._pictured: dict[str, tuple[float, int]] = {}
        self._events: deque[str] = deque(maxlen=QUEUED_EVENTS)
        self._mistakes = 0

    async def run(self) -> None:
        """Serve the page until it leaves, its session ends or the pipeline does."""
        await self._socket.accept()
        self._studio.announcer.join(self, self._wake.set, self._events.append)
        work: list[Coroutine[Any, Any, None]] = [self._receive_for_ever(), self._send_for_ever()]
        tasks = [asyncio.ensure_future(each) for each in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (WebSocketDisconnect, TimeoutError):
            pass
        finally:
            self._studio.announcer.leave(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive_for_ever(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                wish = WISH.validate_json(message.get("text") or "")
            except ValidationError:
                self._mistakes += 1
                if self._mistakes > MAX_MISTAKES:
                    await self._close(_POLICY, "messages that are none of this interface")
                    return
                continue
            if isinstance(wish, Watch):
                self._begin(wish)
            elif self._unacked.get(wish.camera) == wish.index:
                del self._unacked[wish.camera]
            self._wake.set()

    def _begin(self, watch: Watch) -> None:
        """Take a new wish; pictures on their way are still to be acknowledged."""
        left = set(self._watch.cameras) - set(watch.cameras)
        wider = watch.width > self._watch.width or watch.pictures != self._watch.pictures
        self._watch = watch
        for camera in left:
            for notes in (self._unacked, self._told, self._pictured):
                notes.pop(camera, None)
        if wider:
            self._pictured.clear()  # the same frame once more: it may be the last for long

    async def _send_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        ticks = -1
        while not self._studio.hub.closed:
            began = loop.time()
            self._wake.clear()
            if self._studio.announcer.ticks != ticks:
                ticks = self._studio.announcer.ticks
                if not self._studio.gate.holds(self._grant):
                    await self._close(SIGNED_OUT, "signed out")
                    return
                if self._studio.announcer.cameras_text:
                    await self._send(self._studio.announcer.cameras_text)
            while self._events:
                await self._send(self._events.popleft())
            await self._send_tracks()
            await self._send_pictures()
            # Not sooner than its rate; meanwhile newer frames take the place of older ones.
            await asyncio.sleep(max(0.0, began + self._pause_s - loop.time()))
            await self._woken()
        await self._close(1001, "the pipeline has ended")

    @property
    def _pause_s(self) -> float:
        return 1 / min(self._watch.fps, self._studio.most_fps)

    async def _woken(self) -> None:
        try:
            async with asyncio.timeout(TICK_S):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _send_tracks(self) -> None:
        for camera in self._watch.cameras:
            shown = self._studio.hub.latest(camera)
            # A page that has not drawn its last picture has no use for newer boxes.
            if shown and self._told.get(camera) != shown.key and camera not in self._unacked:
                self._told[camera] = shown.key
                await self._send(self._studio.announcer.tracks_text(camera, shown))

    async def _send_pictures(self) -> None:
        if not self._watch.pictures:
            return
        due = [camera for camera in self._watch.cameras if self._is_due(camera)]
        width = round(self._watch.width)
        wanted = [self._studio.desk.picture(camera, width) for camera in due]
        for camera, picture in zip(due, await asyncio.gather(*wanted), strict=True):
            if picture is None or self._pictured.get(camera) == picture.shown_key:
                continue
            self._pictured[camera] = picture.shown_key
            self._unacked[camera] = picture.index
            await self._send(message_of(camera, picture))

    def _is_due(self, camera: str) -> bool:
        if camera in self._unacked:
            return False
        shown = self._studio.hub.latest(camera)
        return shown is not None and self._pictured.get(camera) != shown.key

    async def _send(self, message: str | bytes) -> None:
        """Send; raises TimeoutError for a viewer that takes nothing at all for long."""
        async with asyncio.timeout(MAX_SEND_S):
            if isinstance(message, str):
                await self._socket.send_text(message)
            else:
                await self._socket.send_bytes(message)

    async def _close(self, code: int, reason: str) -> None:
        async with asyncio.timeout(1):
            await self._socket.close(code, reason)


async def turn_away(socket: WebSocket) -> None:
    """Say to a page that there are too many."""
    await socket.accept()
    await socket.close(_TRY_LATER, "too many viewers")
