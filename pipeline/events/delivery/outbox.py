"""The outbox of one target: a queue of messages on disk, in the database of events."""

from __future__ import annotations

import base64
import hashlib
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipeline.events.delivery.alert_text import alert_text
from pipeline.events.store.alert_rows import ABOUT
from pipeline.events.store.enqueue import OPEN, GivenUp, give_up
from pipeline.events.store.records import StoredEvent
from pipeline.events.store.rows import EVENT_COLUMNS, WITH_CLIP, stored_event
from pipeline.events.store.store import EventStore
from pipeline.events.store.tables import events, outbox, visits

MAX_WAITING = 20_000
MAX_DAYS = 7.0
MAX_RETRY_AFTER_S = 3600.0
MAX_WAIT_S = 2 * MAX_RETRY_AFTER_S
"""Maximum delay of a retry: a longer one means that the clock was set back."""
_DAY_S = 86_400.0
_IS_ALERT = outbox.c.about.startswith(ABOUT, autoescape=True)


@dataclass(frozen=True, slots=True)
class Message:
    """One message to a target. `attempt` counts from 1: from 2 on it may have arrived before.

    `about` is "event", or "clip" for the second message, when the clip is ready, or "alert:RULE".
    `clip_url` is the address of the clip, `thumbnail_url` that of its visit's picture, `thumbnail`
    its file, None while there is none. `visit_url` is the visit on the page. `is_test` marks an
    alert requested by a user, `target` is the name of its target.
    """

    id: int
    attempt: int
    event: StoredEvent
    about: str = "event"
    clip_url: str | None = None
    thumbnail_url: str | None = None
    visit_url: str | None = None
    thumbnail: Path | None = None
    is_test: bool = False
    target: str = ""

    @property
    def uid(self) -> str:
        """Return the unique name of the message, the same in every attempt."""
        if (rule := self.rule) is not None:
            return f"{self.event.uid}-alert-{hashlib.sha256(rule.encode()).hexdigest()[:12]}"
        return self.event.uid if self.about == "event" else f"{self.event.uid}-{self.about}"

    @property
    def rule(self) -> str | None:
        """Return the rule of an alert, None for other messages."""
        return self.about.removeprefix(ABOUT) if self.about.startswith(ABOUT) else None

    def as_dict(self) -> dict[str, Any]:
        """Return the message in JSON types."""
        urls = {"clip_url": self.clip_url, "thumbnail_url": self.thumbnail_url}
        if (rule := self.rule) is None:
            return {"type": self.about, **self.event.as_dict(), **urls}
        alert = {"type": "alert", "rule": rule, "test": self.is_test, "text": self.text()}
        picture = self.picture()
        return {
            **alert,
            **self.event.as_dict(),
            "uid": self.uid,
            **urls,
            "visit_url": self.visit_url,
            "thumbnail": None if picture is None else base64.b64encode(picture).decode(),
        }

    def text(self) -> str:
        """Return a one-line description of the event."""
        return alert_text(self.event, is_test=self.is_test)

    def picture(self) -> bytes | None:
        """Return the visit's thumbnail, a JPEG; None where there is none."""
        if self.thumbnail is None:
            return None
        try:
            return self.thumbnail.read_bytes()
        except OSError:
            return None  # deleted by retention in the meantime


class Outbox:
    """Messages for one target, each delivered once or marked failed.

    A row is marked "sending", on disk, before anything leaves this machine. One that is found in
    that state after a crash may have arrived: it is sent again, as a second attempt marked as such.
    Links begin with `public_url`; without it they are paths.
    """

    def __init__(self, store: EventStore, target: str, public_url: str = "") -> None:
        self.target = target
        self._store = store
        self._public_url = public_url.rstrip("/")

    def recover(self) -> int:
        """Make messages that were being sent when the program ended wait again; return how many.

        Alerts no longer wait for their thumbnails.
        """
        mine = outbox.c.target == self.target
        sending = outbox.c.state == "sending"
        alerts = (outbox.c.state == "waiting") & (outbox.c.tries == 0) & _IS_ALERT
        with self._store.writing() as connection:
            connection.execute(sa.update(outbox).where(mine, alerts).values(due=0.0))
            changed = sa.update(outbox).where(mine, sending).values(state="waiting", due=0.0)
            return connection.execute(changed).rowcount

    def take(self, now: float) -> Message | None:
        """Return the oldest message that is due, marked as being sent; None if there is none.

        `now` is on the clock that gave `put_back` its time; a message that is due in more than two
        hours counts as due, and so does an alert with an existing thumbnail. The messages of clips
        and alerts wait until their event's message has been sent; that of a clip deleted in the
        meantime fails.
        """
        while (message := self._next(now)) is not None:
            if message.about != "clip" or message.event.clip:
                break
            self.give_up(message, "its clip has been deleted")
        else:
            return None
        with self._store.writing() as connection:
            changed = sa.update(outbox).where(
                outbox.c.id == message.id, outbox.c.state == "waiting"
            )
            done = connection.execute(changed.values(state="sending", tries=message.attempt))
        return message if done.rowcount else None  # deleted in the meantime

    def _next(self, now: float) -> Message | None:
        first = outbox.alias()
        unsent = sa.exists().where(
            first.c.event_id == outbox.c.event_id,
            first.c.target == outbox.c.target,
            first.c.about == "event",
            first.c.state.in_(OPEN),
        )
        has_picture = _IS_ALERT & (outbox.c.tries == 0) & visits.c.thumbnail.is_not(None)
        due = (outbox.c.due <= now) | (outbox.c.due > now + MAX_WAIT_S) | has_picture
        asked = outbox.c.id.label("message"), outbox.c.tries, outbox.c.about, visits.c.thumbnail
        of_event = WITH_CLIP.join(outbox, outbox.c.event_id == events.c.id)
        chosen = (
            sa.select(*asked, *EVENT_COLUMNS)
            .select_from(of_event.outerjoin(visits, visits.c.id == events.c.visit_id))
            .where(outbox.c.target == self.target, outbox.c.state == "waiting")
            .where(due, (outbox.c.about == "event") | ~unsent)
            .order_by(outbox.c.id)
            .limit(1)
        )
        with self._store.reading() as connection:
            row = None if connection is None else connection.execute(chosen).mappings().first()
        if row is None:
            return None
        numbers = {"number": row["message"], "attempt": row["tries"] + 1}
        return self.message(stored_event(row), row["about"], row["thumbnail"], **numbers)

    def message(
        self,
        event: StoredEvent,
        about: str,
        thumbnail: str | None,
        *,
        number: int = 0,
        attempt: int = 1,
        is_test: bool = False,
    ) -> Message:
        """Return a message about an event with its links; `thumbnail` is the stored path."""
        api = f"{self._public_url}/api"
        return Message(
            number,
            attempt,
            event,
            about,
            f"{api}/events/{event.id}/clip.mp4" if event.clip else None,
            f"{api}/visits/{event.visit}/thumbnail.jpg" if thumbnail else None,
            f"{self._public_url}/#visit/{event.visit}" if event.visit is not None else None,
            self._store.clip_file(thumbnail) if thumbnail else None,
            is_test,
            self.target,
        )

    def delivered(self, message: Message) -> None:
        """Mark a message as sent: the other side has it."""
        self._settle(message, state="sent", settled=time.time(), problem="")

    def give_up(self, message: Message, problem: str) -> None:
        """Mark a message as failed for good, with the reason."""
        self._settle(message, state="failed", settled=time.time(), problem=problem)

    def put_back(self, message: Message, due: float, problem: str) -> None:
        """Schedule it again for `due`, in Unix seconds."""
        self._settle(message, state="waiting", due=due, problem=problem)

    def unsend(self, message: Message) -> None:
        """Schedule it again as if this attempt had not happened: nothing has left the machine."""
        self._settle(message, state="waiting", tries=message.attempt - 1)

    def states(self) -> Counter[str]:
        """Return how many messages are waiting, sending, sent and failed."""
        with self._store.reading() as connection:
            asked = sa.select(outbox.c.state, sa.func.count()).where(outbox.c.target == self.target)
            rows = [] if connection is None else connection.execute(asked.group_by("state")).all()
        return Counter({str(state): int(count) for state, count in rows})

    def _settle(self, message: Message, **values: object) -> None:
        with self._store.writing() as connection:
            connection.execute(sa.update(outbox).where(outbox.c.id == message.id).values(**values))


def expire(store: EventStore, now: float) -> list[GivenUp]:
    """Mark messages failed that have waited longer than 7 days or exceed 20,000; return them.

    If there are too many the oldest are dropped: a target that returns needs current events.
    """
    waiting = outbox.c.state == "waiting"
    old = sa.select(outbox.c.id).join(events, outbox.c.event_id == events.c.id)
    old = old.where(waiting, events.c.time < now - MAX_DAYS * _DAY_S)
    rank = sa.func.row_number().over(partition_by=outbox.c.target, order_by=outbox.c.id.desc())
    ranked = sa.select(outbox.c.id, rank.label("rank")).where(waiting).subquery()
    excess = sa.select(ranked.c.id).where(ranked.c.rank > MAX_WAITING)
    with store.writing() as connection:
        return [
            one
            for chosen, problem in ((old, "waited too long"), (excess, "too many were waiting"))
            for one in give_up(connection, outbox.c.id.in_(chosen), now, problem)
        ]
