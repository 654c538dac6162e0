"""One POST request with a total time limit, and the meaning of its answer for a message.

It uses the standard library's `http.client`, which is always available, follows no redirect by
itself, and gives access to its socket, so that a server that sends a byte a second cannot hold a
request for ever. A client library would only add a connection pool, which is useless if each
attempt must be known.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException

from pipeline.core.errors import system_reason
from pipeline.events.delivery.outbox import MAX_RETRY_AFTER_S
from pipeline.events.delivery.worker import Outcome

RETRIED_STATUSES = frozenset((408, 425, 429))
"""HTTP statuses below 500 after which a retry makes sense."""
_CUT_EVERY_S = 0.2


class Deadline:
    """Cuts an exchange's connection after `timeout_s` in total, or on request of another thread."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._cut: Callable[[], object] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def watching(self, cut: Callable[[], object]) -> Iterator[Callable[[], bool]]:
        """Call `cut` when the time is over; return a function that says whether it was called."""
        with self._lock:
            self._cut = cut
        ended = threading.Event()
        watch = threading.Thread(target=self._cut_when_over, args=(cut, ended), daemon=True)
        ends_at = time.monotonic() + self.timeout_s
        watch.start()
        try:
            yield lambda: time.monotonic() >= ends_at
        finally:
            ended.set()
            with self._lock:
                self._cut = None

    def _cut_when_over(self, cut: Callable[[], object], ended: threading.Event) -> None:
        """Cut repeatedly: the connection may be made after the time is over."""
        pause_s = self.timeout_s
        while not ended.wait(pause_s):
            cut()
            pause_s = _CUT_EVERY_S

    def abort(self) -> None:
        """Cut the exchange in progress."""
        with self._lock:
            if self._cut is not None:
                self._cut()

    def outcome(self, error: Exception, *, is_over: bool) -> Outcome:
        """Return the outcome of a failed exchange: to be repeated."""
        if is_over or isinstance(error, TimeoutError):
            return Outcome("again", f"no answer within {self.timeout_s:g} s")
        reason = system_reason(error) or type(error).__name__
        return Outcome("again", f"cannot be reached: {reason}")


class HttpPost:
    """Posts over a connection made for one request; `send` takes at most `timeout_s`."""

    def __init__(self, timeout_s: float) -> None:
        self._deadline = Deadline(timeout_s)

    def send(
        self, connection: HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Outcome:
        """Post, and return the meaning of the answer; the connection is closed."""
        connection.timeout = self._deadline.timeout_s
        with self._deadline.watching(lambda: cut(connection.sock)) as is_over:
            try:
                connection.request("POST", path, body, dict(headers))
                answer = connection.getresponse()
                outcome = outcome_of(answer.status, answer.getheader("Retry-After"), time.time())
                return replace(outcome, status=answer.status)
            except (OSError, HTTPException) as error:
                return self._deadline.outcome(error, is_over=is_over())
            finally:
                connection.close()

    def abort(self) -> None:
        """Cut the request in progress."""
        self._deadline.abort()


def outcome_of(status: int, wait: str | None, now: float) -> Outcome:
    """Return the meaning of an HTTP answer for the event; `wait` is its Retry-After header."""
    if 200 <= status < 300:
        return Outcome("delivered")
    if 300 <= status < 400:
        return Outcome(
            "refused", f"HTTP {status}: redirects are not followed, configure the new address"
        )
    if status >= 500 or status in RETRIED_STATUSES:
        return Outcome("again", f"HTTP {status}", retry_after(wait, now))
    return Outcome("refused", f"HTTP {status}")


def retry_after(text: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3), at most an hour."""
    if text is None:
        return None
    if text.strip().isdecimal():
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except ValueError:
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def cut(sock: socket.socket | None) -> None:
    """End another thread's reading from or writing to a socket."""
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
