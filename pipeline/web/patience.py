"""How long the server waits for a slow request, and how many of those one address may have."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 20.0
MOST_UNFINISHED = 32


class PatientProtocol(H11Protocol):
    """HTTP whose requests have to be complete in time, head and body.

    The server takes so many connections and no more: who opened many and said little would keep
    everybody else out, without being signed in.
    """

    request_s = REQUEST_S
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait, no longer for the oldest one of an address that has too many of them."""
        super().connection_made(transport)
        self._due = self.loop.call_later(self.request_s, self._give_up)
        same: list[Any] = [each for each in self.connections if self._is_unfinished_like(each)]
        if len(same) > MOST_UNFINISHED:
            min(same, key=lambda each: each._due.when())._give_up()

    def data_received(self, data: bytes) -> None:
        """Take what came; the time runs until the request is complete."""
        super().data_received(data)
        handed_over = self.transport.get_protocol() is not self  # to the WebSocket's protocol
        if handed_over or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_waiting()
        elif self._due is None:
            self._due = self.loop.call_later(self.request_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_unfinished_like(self, other: Any) -> bool:
        """Return whether it comes from the same address and has still to say what it wants."""
        if not isinstance(other, PatientProtocol) or other._due is None:
            return False
        return (other.client or "")[:1] == (self.client or "")[:1]

    def _give_up(self) -> None:
        self._stop_waiting()
        self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


def patient(request_s: float) -> type[PatientProtocol]:
    """Return the protocol that waits so long for each request."""
    return type("PatientProtocol", (PatientProtocol,), {"request_s": request_s})
