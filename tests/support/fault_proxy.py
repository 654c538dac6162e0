"""Proxies between a program and a camera that go wrong as they are told, for TCP and UDP."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Fault = Literal["none", "refuse", "hang", "reset", "delay", "lossy", "garbage", "drip", "split"]
"""What happens to connections, those there and those to come.

refuse: nobody listens, and what was connected is closed. hang: connections are accepted and stay,
nothing passes. reset: a reset for each. delay: everything from the camera comes 300 ms later.
lossy: one piece in ten stalls as a lost segment does until it is sent again, and one in a hundred
ends the connection. garbage: random bytes in place of the camera's. drip: one of the camera's bytes
every 20 ms. split: pieces of 100 bytes.
"""
DELAY_S = 0.3
_STALL_S = 0.2
_DRIP_S = 0.02
_PIECE = 16384


class FaultProxy:
    """Passes connections to `port` on and back; `set` chooses what goes wrong from now on."""

    def __init__(self, target_port: int, seed: int = 1) -> None:
        self._target_port = target_port
        self._random = random.Random(seed)
        self._fault: Fault = "none"
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._moved = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.connections = 0
        self.port = 0

    def start(self) -> None:
        self._thread.start()
        self._call(self._listen())

    @property
    def fault(self) -> Fault:
        """Return what goes wrong now."""
        return self._fault

    def set(self, fault: Fault) -> None:
        """Let this go wrong from now on; returns once it does."""
        self._call(self._set(fault))

    def stop(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set(self, fault: Fault) -> None:
        self._fault = fault
        self._moved.set()
        self._moved = asyncio.Event()
        if fault == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        elif fault != "refuse" and self._server is None:
            await self._listen()
        if fault in ("refuse", "reset"):
            for writer in list(self._writers):
                self._cut(writer)

    def _cut(self, writer: asyncio.StreamWriter) -> None:
        if self._fault == "reset":
            connection = writer.get_extra_info("socket")
            linger = struct.pack("ii", 1, 0)  # at once, which sends a reset
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            if self._fault == "reset":
                self._cut(writer)
                return
            while self._fault == "hang":
                await self._moved.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers.add(back)
            pumps = [
                asyncio.ensure_future(self._pump(reader, back, from_camera=False)),
                asyncio.ensure_future(self._pump(there, writer, from_camera=True)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers.discard(back)
            back.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_camera: bool
    ) -> None:
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

        async def send() -> None:
            while (piece := await late.get())[1]:
                due, data = piece
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                writer.write(data)
                await writer.drain()

        sender = asyncio.ensure_future(send())
        try:
            while data := await reader.read(_PIECE):
                while self._fault == "hang":
                    await self._moved.wait()
                if not from_camera:
                    await late.put((0.0, data))
                elif not await self._pass(data, late):
                    return
            await late.put((0.0, b""))
            await sender
        except OSError:
            return
        finally:
            sender.cancel()
            with suppress(OSError, asyncio.CancelledError):
                await sender

    async def _pass(self, data: bytes, late: asyncio.Queue[tuple[float, bytes]]) -> bool:
        """Queue what becomes of the camera's bytes; return whether the connection goes on."""
        fault = self._fault
        if fault == "delay":
            await late.put((self._loop.time() + DELAY_S, data))
        elif fault == "garbage":
            await late.put((0.0, self._random.randbytes(len(data))))
        elif fault == "drip":
            for byte in data:
                if self._fault != "drip":
                    break
                await late.put((0.0, bytes([byte])))
                await asyncio.sleep(_DRIP_S)
        elif fault == "split":
            for start in range(0, len(data), 100):
                await late.put((0.0, data[start : start + 100]))
        else:
            if fault == "lossy":
                chance = self._random.random()
                if chance < 0.01:
                    return False
                await asyncio.sleep(_STALL_S if chance < 0.1 else 0)
            await late.put((0.0, data))
        return True

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def proxied(port: int) -> Iterator[FaultProxy]:
    """Stand before `port` until the block ends."""
    proxy = FaultProxy(port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


class UdpRelay:
    """Passes datagrams on to `target_port`, less a share of `loss`; stops with the block."""

    def __init__(self, target_port: int, loss: float = 0.0, seed: int = 1) -> None:
        self.loss = loss
        self.passed = self.lost = 0
        self._target = ("127.0.0.1", target_port)
        self._random = random.Random(seed)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port = self._socket.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="udp relay", daemon=True)

    def __enter__(self) -> UdpRelay:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError, ConnectionError):
                datagram = self._socket.recv(65536)
                if self._random.random() < self.loss:
                    self.lost += 1
                else:
                    self._socket.sendto(datagram, self._target)
                    self.passed += 1
