"""Timeout of slow requests, and limits on idle and unfinished connections per address.

This extends uvicorn's H11Protocol, which is not a public interface. pyproject.toml therefore pins
uvicorn below the next release that was not tried, and tests/server/test_request_timeout.py names
every member that is used here and fails where one is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.server.auth import client_network
from pipeline.server.security import GRANT

REQUEST_S = 20.0
MAX_UNFINISHED = 32
MAX_IDLE = 32
"""Limit of idle connections of one address that are not signed in."""
MIN_UPLOAD_BYTES = 256 * 1024
"""An authenticated upload may continue if it brings this many bytes per request timeout."""


class TimeoutProtocol(H11Protocol):
    """HTTP protocol that aborts slow requests and closes connections beyond its limits.

    Without limits, a client that opens many connections and sends little, or keeps them idle, would
    lock out all others without being signed in. Each address may have 32 incomplete requests and 32
    idle connections; beyond that its oldest are closed. Trusted proxies, which stand for many
    clients, are exempt. Once `max_connections` are open, a new connection closes one of these, in
    this order: idle and not signed in, idle, the oldest incomplete request.
    """

    request_s = REQUEST_S
    max_connections = 1000
    trusted: Collection[str] = ()
    _timer: asyncio.TimerHandle | None = None
    _received = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the request's timer; close connections beyond the limits."""
        super().connection_made(transport)
        self.access_log = False
        self._start_timer()
        same = [
            each for each in self._http_connections() if each._timer and each._is_same_client(self)
        ]
        if len(same) > MAX_UNFINISHED:
            min(same, key=_timer_end)._abort()
        if len(self.connections) > self.max_connections:
            self._close_least_useful()

    def data_received(self, data: bytes) -> None:
        """Receive data; the timer runs until the request is complete."""
        self._received += len(data)
        super().data_received(data)
        handed_over = self.transport.get_protocol() is not self  # to the WebSocket's protocol
        if handed_over or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._cancel_timer()
        elif self._timer is None:
            self._start_timer()

    def on_response_complete(self) -> None:
        """Close the address's oldest idle connection if this one makes them too many."""
        super().on_response_complete()
        if self._is_idle and not self._is_signed_in:
            same = [
                each
                for each in self._http_connections()
                if each._is_idle and not each._is_signed_in and each._is_same_client(self)
            ]
            if len(same) > MAX_IDLE:
                min(same, key=_keep_alive_end).timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer."""
        self._cancel_timer()
        super().connection_lost(exc)

    @property
    def _is_idle(self) -> bool:
        return self.timeout_keep_alive_task is not None and not self.transport.is_closing()

    @property
    def _is_signed_in(self) -> bool:
        """Return whether its last request was authenticated; without a token all local ones are."""
        return bool(self.scope) and self.scope.get(GRANT) is not None

    def _http_connections(self) -> list[TimeoutProtocol]:
        every: Collection[Any] = self.connections  # WebSockets are among them
        return [each for each in every if isinstance(each, TimeoutProtocol)]

    def _is_same_client(self, other: TimeoutProtocol) -> bool:
        """Return whether both have the same client (IPv4, IPv6 /64) and it is no trusted proxy."""
        mine, its = (client_network((each.client or ("",))[0]) for each in (self, other))
        return mine == its and mine not in self.trusted

    def _close_least_useful(self) -> None:
        ours = [each for each in self._http_connections() if each is not self]
        idle = [each for each in ours if each._is_idle]
        if idle:
            anonymous = [each for each in idle if not each._is_signed_in]
            min(anonymous or idle, key=_keep_alive_end).timeout_keep_alive_handler()
        elif unfinished := [each for each in ours if each._timer]:
            min(unfinished, key=_timer_end)._abort()

    def _start_timer(self) -> None:
        self._received = 0
        self._timer = self.loop.call_later(self.request_s, self._time_is_up)

    def _time_is_up(self) -> None:
        """Abort the request, unless it is a large upload that goes on."""
        if self._is_signed_in and self._received >= MIN_UPLOAD_BYTES:
            self._start_timer()
        else:
            self._abort()

    def _abort(self) -> None:
        self._cancel_timer()
        self.transport.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _timer_end(one: TimeoutProtocol) -> float:
    return one._timer.when() if one._timer else 0.0


def _keep_alive_end(one: TimeoutProtocol) -> float:
    return one.timeout_keep_alive_task.when() if one.timeout_keep_alive_task else 0.0


def timeout_protocol(
    request_s: float, max_connections: int, trusted: Collection[str] = ()
) -> type[TimeoutProtocol]:
    """Return a TimeoutProtocol class with this timeout and this limit on connections.

    `trusted` are the addresses of reverse proxies, which have no limit of their own.
    """
    about = {"request_s": request_s, "max_connections": max_connections, "trusted": {*trusted}}
    return type("ConfiguredTimeoutProtocol", (TimeoutProtocol,), about)
