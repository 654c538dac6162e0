"""Delivery thread of one target: takes due messages from the outbox, sends them, marks them."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.core.backoff import retry_delay_s
from pipeline.core.errors import StoreError
from pipeline.core.worker import Fail, Worker
from pipeline.events.delivery.outbox import Message, Outbox

log = logging.getLogger("trackline")

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0
MAX_PARTIAL_PAUSE_S = 600.0
POLL_S = 2.0
"""Polling interval for events that another part of the program has stored."""
MAX_TRIES_IN_ORDER = 3
"""Failures of a message after which others are sent between its retries."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one attempt.

    "again": retry, not before `after_s` if that is given. "refused": never retry. "unsent": nothing
    has left this machine. `status` is that of an HTTP answer. `is_partial`: some of the recipients
    have it, so that other messages need not wait for it.
    """

    kind: Literal["delivered", "again", "refused", "unsent"]
    problem: str = ""
    after_s: float | None = None
    status: int | None = None
    is_partial: bool = False


class Target(Protocol):
    """A delivery target; `address` and `problem` hold no secrets and may be shown."""

    name: str
    address: str
    problem: str
    """Known problem of the other side, without sending; "" if none."""

    def ready(self) -> bool:
        """Return whether it makes sense to try now."""

    def send(self, message: Message) -> Outcome:
        """Send one event and wait for the answer; never raises for a failure of the other side."""

    def abort(self) -> None:
        """Make a `send` in progress on another thread return soon."""


def stable_clock() -> Callable[[], float]:
    """Return a clock of Unix seconds, fixed to the system clock as it is set now.

    Waits must not last an hour longer because that clock is set back by one.
    """
    unix = time.time() - time.monotonic()
    return lambda: unix + time.monotonic()


OnSettled = Callable[[Message, Outcome], object]


class DeliveryWorker:
    """Delivers in order. While a target is unreachable its events wait on disk.

    A message that keeps failing delays the others for three tries; after that they are sent between
    its retries. `on_settled` is called with each message that was delivered or refused; `now` is
    the clock of the outbox.
    """

    def __init__(
        self,
        outbox: Outbox,
        target: Target,
        on_settled: OnSettled = lambda *_: None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.target = target
        self.delivered = 0
        self._outbox = outbox
        self._on_settled = on_settled
        self._direct: deque[tuple[Message, Future[Outcome]]] = deque()
        self._problem = ""
        self._failures = 0
        self._not_before = 0.0  # monotonic
        self._now = now or stable_clock()
        self._wake = threading.Event()
        self._stop_at: float | None = None  # monotonic
        self._worker = Worker(f"events: {target.name}", self._work, lambda: None)

    @property
    def problem(self) -> str:
        """Return why the last attempt failed, or why none is made; "" if all is well."""
        return self.target.problem or self._problem

    def start(self, fail: Fail) -> None:
        """Begin on a thread."""
        self._worker.start(fail)

    def send_now(self, message: Message) -> Future[Outcome]:
        """Send a message that is not in the outbox, before those that are.

        There is only one try.
        """
        answer: Future[Outcome] = Future()
        self._direct.append((message, answer))
        self._wake.set()
        return answer

    def wake(self) -> None:
        """Check the outbox at once."""
        self._wake.set()

    def end(self, timeout_s: float) -> None:
        """Send what is due for at most `timeout_s`, then end; returns at once."""
        self._stop_at = time.monotonic() + timeout_s
        self._wake.set()

    def join(self) -> None:
        """Wait for the end; sending still in progress after `timeout_s` is cut."""
        left = (self._stop_at or 0.0) - time.monotonic()
        if not self._worker.join(max(left, 0.01)):
            self.target.abort()
            self._worker.join(1.0)

    def _work(self) -> None:
        if not self._until_done(self._outbox.recover):
            return
        while not self._over():
            self._send_direct()
            message = self._take()
            if message is not None:
                self._deliver(message)
            elif self._stop_at is not None:
                return  # nothing due can be sent now
            else:
                pause = self._not_before - time.monotonic()
                self._wake.wait(min(pause, POLL_S) if pause > 0 else POLL_S)
                self._wake.clear()

    def _send_direct(self) -> None:
        while self._direct:
            message, answer = self._direct.popleft()
            if not answer.set_running_or_notify_cancel():
                continue
            if self.target.ready():
                answer.set_result(self.target.send(message))
            else:
                answer.set_result(Outcome("unsent", self.target.problem or "not connected"))

    def _over(self) -> bool:
        return self._stop_at is not None and time.monotonic() >= self._stop_at

    def _take(self) -> Message | None:
        if time.monotonic() < self._not_before or not self.target.ready():
            return None
        try:
            return self._outbox.take(self._now())
        except StoreError as error:
            log.debug("events: %s", error)  # the store writer logs it
            return None

    def _deliver(self, message: Message) -> None:
        outcome = self.target.send(message)
        settle: Callable[[], object]
        if outcome.kind == "delivered":
            if self._failures:
                log.info("events: %s answers again", self.target.name)
            self._failures, self._problem = 0, ""
            self.delivered += 1
            settle = lambda: self._outbox.delivered(message)  # noqa: E731 - one of four
        elif outcome.kind == "refused":
            log.warning("events: %s refuses an event: %s", self.target.name, outcome.problem)
            self._failures, self._problem = 0, ""
            settle = lambda: self._outbox.give_up(message, outcome.problem)  # noqa: E731
        elif outcome.kind == "unsent":
            settle = lambda: self._outbox.unsend(message)  # noqa: E731
        else:
            due = self._postpone(message, outcome)
            settle = lambda: self._outbox.put_back(message, due, outcome.problem)  # noqa: E731
        self._until_done(settle)
        if outcome.kind in ("delivered", "refused"):
            self._on_settled(message, outcome)

    def _postpone(self, message: Message, outcome: Outcome) -> float:
        """Return when to send it again, and skip the target for a while.

        Not if some of its recipients answer: an unreachable one must not delay the others.
        """
        if outcome.is_partial:
            self._problem = outcome.problem
            pause = retry_delay_s(message.attempt, FIRST_PAUSE_S, MAX_PARTIAL_PAUSE_S)
            return self._now() + max(pause, outcome.after_s or 0.0)
        self._failures += 1
        self._problem = outcome.problem
        if self._failures == 1:
            log.warning(
                "events: %s: %s; its events wait on the disk", self.target.name, outcome.problem
            )
        pause = (
            retry_delay_s(self._failures, FIRST_PAUSE_S, MAX_PAUSE_S)
            if outcome.after_s is None
            else outcome.after_s
        )
        self._not_before = time.monotonic() + pause
        return self._now() + (pause if message.attempt <= MAX_TRIES_IN_ORDER else 2 * pause)

    def _until_done(self, step: Callable[[], object]) -> bool:
        """Retry a step in the database until it succeeds; return False once the worker must end."""
        while True:
            try:
                step()
                return True
            except StoreError as error:
                log.debug("events: %s", error)
            if self._stop_at is not None:
                return False  # the row stays "sending": found and marked at the next start
            time.sleep(0.5)
