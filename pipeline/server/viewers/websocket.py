"""WebSocket of the page: the newest pictures and tracks, at the rate the viewer acknowledges."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from pipeline.config.web import WebOptions
from pipeline.core.packet_tap import PacketTap
from pipeline.server.auth import Auth, Grant
from pipeline.server.viewers.broadcaster import TICK_S, Broadcaster
from pipeline.server.viewers.hub import Hub
from pipeline.server.viewers.jpeg_encoder import JpegEncoder
from pipeline.server.viewers.messages import CLIENT_MESSAGE, Watch, picture_message
from pipeline.server.viewers.video_sender import VideoSender

MAX_INVALID_MESSAGES = 10
MAX_QUEUED_EVENTS = 200
SEND_TIMEOUT_S = 30.0
MAX_VIDEO_FPS = 60.0

SIGNED_OUT = 4401
_TRY_LATER = 1013
_POLICY = 1008


class ViewerPool:
    """The open viewers: shared objects, and the limit on their number.

    `packets` returns the encoded pictures of a camera, None if there are none; it is not called if
    the options disable video.
    """

    def __init__(
        self,
        hub: Hub,
        encoder: JpegEncoder,
        broadcaster: Broadcaster,
        auth: Auth,
        options: WebOptions,
        packets: Callable[[str], PacketTap | None],
    ) -> None:
        self.hub = hub
        self._packets = packets if options.video else None
        self.encoder = encoder
        self.broadcaster = broadcaster
        self.auth = auth
        self.max_fps = options.picture_fps
        self.open = 0
        self._max_open = options.viewers

    def packets(self, camera: str) -> PacketTap | None:
        """Return the encoded pictures of a camera, None if viewers get none."""
        return None if self._packets is None else self._packets(camera)

    @property
    def is_full(self) -> bool:
        """Return whether the limit on viewers is reached."""
        return self.open >= self._max_open

    @contextmanager
    def slot(self) -> Iterator[bool]:
        """Occupy a viewer slot within the block; yields False if none is free."""
        if self.is_full:
            yield False
            return
        self.open += 1
        try:
            yield True
        finally:
            self.open -= 1


class Viewer:
    """WebSocket connection of one page, without a queue of pictures: only the newest are sent."""

    def __init__(self, socket: WebSocket, viewers: ViewerPool, grant: Grant) -> None:
        self._socket = socket
        self._viewers = viewers
        self._grant = grant
        self._watch = Watch()
        self._video = VideoSender(viewers.hub, viewers.packets)
        self._wake = asyncio.Event()
        self._unacked: dict[str, int] = {}
        self._sent_tracks: dict[str, tuple[float, int]] = {}
        self._sent_pictures: dict[str, tuple[float, int]] = {}
        self._events: deque[str] = deque(maxlen=MAX_QUEUED_EVENTS)
        self._invalid_messages = 0

    async def run(self) -> None:
        """Serve the page until it disconnects, its session ends or the pipeline does."""
        await self._socket.accept()
        self._viewers.broadcaster.subscribe(self, self._wake.set, self._events.append)
        work: list[Coroutine[Any, Any, None]] = [self._receive_forever(), self._send_forever()]
        tasks = [asyncio.ensure_future(each) for each in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (WebSocketDisconnect, TimeoutError):
            pass
        finally:
            self._viewers.broadcaster.unsubscribe(self)
            self._video.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive_forever(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                request = CLIENT_MESSAGE.validate_json(message.get("text") or "")
            except ValidationError:
                self._invalid_messages += 1
                if self._invalid_messages > MAX_INVALID_MESSAGES:
                    await self._close(_POLICY, "invalid messages")
                    return
                continue
            if isinstance(request, Watch):
                self._update_watch(request)
            elif self._unacked.get(request.camera) == request.index:
                del self._unacked[request.camera]
            else:
                self._video.ack(request.camera, request.index)
            self._wake.set()

    def _update_watch(self, watch: Watch) -> None:
        """Apply a new request; pictures already sent are still to be acknowledged."""
        left = set(self._watch.cameras) - set(watch.cameras)
        wider = watch.width > self._watch.width or watch.pictures != self._watch.pictures
        self._watch = watch
        for camera in left:
            for entries in (self._unacked, self._sent_tracks, self._sent_pictures):
                entries.pop(camera, None)
        self._watch_video()
        if wider:
            self._sent_pictures.clear()  # the same frame again: it may be the last for long

    def _watch_video(self) -> None:
        """Follow the request, and cameras whose sources are others since."""
        self._video.watch(set(self._watch.video) & set(self._watch.cameras))

    async def _send_forever(self) -> None:
        loop = asyncio.get_running_loop()
        ticks = -1
        while not self._viewers.hub.closed:
            began = loop.time()
            self._wake.clear()
            if self._viewers.broadcaster.ticks != ticks:
                ticks = self._viewers.broadcaster.ticks
                if not self._viewers.auth.is_valid(self._grant):
                    await self._close(SIGNED_OUT, "signed out")
                    return
                self._watch_video()
                if self._viewers.broadcaster.cameras_text:
                    await self._send(self._viewers.broadcaster.cameras_text)
            while self._events:
                await self._send(self._events.popleft())
            await self._send_tracks()
            await self._send_video()
            await self._send_pictures()
            # Limits the rate; meanwhile newer frames replace older ones.
            await asyncio.sleep(max(0.0, began + self._pause_s - loop.time()))
            await self._wait_for_result()
        await self._close(1001, "the pipeline has ended")

    @property
    def _pause_s(self) -> float:
        if any(map(self._video.is_running, self._video.cameras)):  # nothing is encoded for them
            return 1 / MAX_VIDEO_FPS
        return 1 / min(self._watch.fps, self._viewers.max_fps)

    async def _wait_for_result(self) -> None:
        try:
            async with asyncio.timeout(TICK_S):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _send_tracks(self) -> None:
        for camera in self._watch.cameras:
            shown = self._viewers.hub.latest(camera)
            # A page that has not drawn its last picture yet cannot show newer boxes.
            if shown and self._sent_tracks.get(camera) != shown.key and camera not in self._unacked:
                self._sent_tracks[camera] = shown.key
                await self._send(self._viewers.broadcaster.tracks_text(camera, shown))

    async def _send_video(self) -> None:
        for camera in self._video.cameras:
            if (message := self._video.message(camera)) is not None:
                await self._send(message)

    async def _send_pictures(self) -> None:
        if not self._watch.pictures:
            return
        due = [camera for camera in self._watch.cameras if self._is_due(camera)]
        width = round(self._watch.width)
        wanted = [self._viewers.encoder.picture(camera, width) for camera in due]
        for camera, picture in zip(due, await asyncio.gather(*wanted), strict=True):
            if picture is None or self._sent_pictures.get(camera) == picture.frame_key:
                continue
            self._sent_pictures[camera] = picture.frame_key
            self._unacked[camera] = picture.index
            await self._send(picture_message(camera, picture))

    def _is_due(self, camera: str) -> bool:
        if camera in self._unacked or self._video.is_running(camera):
            return False
        shown = self._viewers.hub.latest(camera)
        return shown is not None and self._sent_pictures.get(camera) != shown.key

    async def _send(self, message: str | bytes) -> None:
        """Send; raises TimeoutError if the viewer reads nothing for SEND_TIMEOUT_S."""
        async with asyncio.timeout(SEND_TIMEOUT_S):
            if isinstance(message, str):
                await self._socket.send_text(message)
            else:
                await self._socket.send_bytes(message)

    async def _close(self, code: int, reason: str) -> None:
        async with asyncio.timeout(1):
            await self._socket.close(code, reason)


async def refuse_viewer(socket: WebSocket) -> None:
    """Close a page's WebSocket because the limit on viewers is reached."""
    await socket.accept()
    await socket.close(_TRY_LATER, "too many viewers")
