"""Search for the newest matching events or visits, in milliseconds among a million.

Filters by camera, class, zone, line and kind become a set of labels (a few hundred rows in all).
An index orders the times of each label, so a search reads only matching rows; and no more of them
than needed, because it searches the last hour first, then four hours, sixteen, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from pipeline.events.store.records import LINE_KINDS, ZONE_KINDS, EventQuery
from pipeline.events.store.rows import MAX_ID, storable
from pipeline.events.store.tables import events, labels, visit_labels, visits

FIRST_SPAN_S = 3600.0
GROWTH = 4
STAY_KINDS = ("leave", "dwell")

Condition = sa.ColumnElement[bool]


class _Axis(NamedTuple):
    """Columns of times, ids, lengths and labels to search."""

    time: sa.Column[Any]
    id: sa.Column[Any]
    seconds: sa.Column[Any]
    label: sa.Column[Any] | None
    hint: str = ""


_EVENTS = _Axis(events.c.time, events.c.id, events.c.dwell_s, None)
_LABELLED_EVENTS = _EVENTS._replace(label=events.c.label_id, hint="INDEXED BY events_by_label")
_VISITS = _Axis(visits.c.started, visits.c.id, visits.c.seconds, None)
_LABELLED_VISITS = _Axis(
    visit_labels.c.started,
    visit_labels.c.visit_id,
    visit_labels.c.seconds,
    visit_labels.c.label_id,
)


def event_ids(connection: sa.Connection, wanted: EventQuery) -> list[int]:
    """Return the ids of the newest matching events, newest first."""
    conditions = label_conditions(wanted)
    if wanted.min_s is not None and wanted.min_s > 0:
        conditions.append(labels.c.kind.in_(STAY_KINDS))
    axis = _LABELLED_EVENTS if conditions else _EVENTS
    if wanted.visit is not None:
        mine = sa.select(events.c.id).where(events.c.visit_id == _bounded(wanted.visit))
        asked = mine.where(*_bounds(_EVENTS, wanted), *_of_labels(_LABELLED_EVENTS, conditions))
        asked = asked.order_by(events.c.time.desc(), events.c.id.desc())
        return list(connection.scalars(asked.limit(wanted.limit)))
    if wanted.after_id is not None or wanted.before_id is not None:
        more = [*numbers_between(wanted), *_bounds(axis, wanted), *_of_labels(axis, conditions)]
        asked = sa.select(events.c.id).where(*more).order_by(events.c.id.desc())
        return list(connection.scalars(asked.limit(wanted.limit)))
    return _newest(connection, axis, wanted, conditions, [])


def visit_ids(connection: sa.Connection, wanted: EventQuery) -> list[int]:
    """Return the ids of the matching visits that began last, newest first."""
    line, more = wanted.line, list[Condition]()
    if line is not None and wanted.zone is not None:
        # A different event than the one at the zone.
        other = visit_labels.alias()
        at_line = sa.select(labels.c.id).where(*_at(line, LINE_KINDS))
        more.append(
            sa.exists().where(
                other.c.visit_id == visit_labels.c.visit_id, other.c.label_id.in_(at_line)
            )
        )
        line = None
    conditions = label_conditions(wanted, line=line)
    axis = _LABELLED_VISITS if conditions else _VISITS
    return _newest(connection, axis, wanted, conditions, more)


def numbers_between(wanted: EventQuery) -> Iterator[Condition]:
    """Yield the conditions of `before_id` and `after_id`."""
    if wanted.before_id is not None:
        yield events.c.id < _bounded(wanted.before_id)
    if wanted.after_id is not None:
        yield events.c.id > _bounded(wanted.after_id)


_SAME = object()


def label_conditions(wanted: EventQuery, line: Any = _SAME) -> list[Condition]:
    """Return the conditions on labels, with `line` in place of the query's."""
    equal = (
        (labels.c.camera, wanted.camera),
        (labels.c.kind, wanted.kind),
        (labels.c.class_name, wanted.class_name),
        (labels.c.area, wanted.area),
    )
    found: list[Condition] = [
        column == storable(text) for column, text in equal if text is not None
    ]
    if wanted.zone is not None:
        found += _at(wanted.zone, ZONE_KINDS)
    line = wanted.line if line is _SAME else line
    if line is not None:
        found += _at(line, LINE_KINDS)
    return found


def _at(area: str, kinds: tuple[str, ...]) -> list[Condition]:
    return [labels.c.area == storable(area), labels.c.kind.in_(kinds)]


def _newest(
    connection: sa.Connection,
    axis: _Axis,
    wanted: EventQuery,
    conditions: list[Condition],
    more: list[Condition],
) -> list[int]:
    """Return the newest `limit` ids on an axis, by time, then id."""
    time, number = axis.time, axis.id
    asked = sa.select(time, number).where(*_bounds(axis, wanted), *more)
    if axis.hint:
        asked = asked.with_hint(time.table, axis.hint, "sqlite")
    asked = asked.order_by(time.desc(), number.desc()).limit(wanted.limit)
    if axis.label is None:
        return [row[1] for row in connection.execute(asked)]
    asked = asked.distinct().where(*_of_labels(axis, conditions))
    return _in_windows(connection, asked, axis, wanted)


def _in_windows(
    connection: sa.Connection, asked: sa.Select[Any], axis: _Axis, wanted: EventQuery
) -> list[int]:
    """Return the ids a query finds in the last hour, four hours, and so on until there are enough.

    The last step is unbounded: a search for something rare reads all its rows.
    """
    whole = (_EVENTS if axis.label is events.c.label_id else _VISITS).time
    ends = [each for each in (wanted.until, wanted.before and wanted.before[0]) if each is not None]
    oldest, newest = (
        _extreme(connection, sa.func.min, whole),
        _extreme(connection, sa.func.max, whole),
    )
    if oldest is None or newest is None:
        return []
    newest = min([newest, *ends])
    oldest = oldest if wanted.since is None else max(oldest, wanted.since)
    span = FIRST_SPAN_S
    while newest - span > oldest:
        rows = connection.execute(asked.where(axis.time >= newest - span)).all()
        if len(rows) >= wanted.limit:
            return [row[1] for row in rows]
        span *= GROWTH
    return [row[1] for row in connection.execute(asked)]


def _extreme(
    connection: sa.Connection, which: Callable[..., Any], column: sa.Column[Any]
) -> float | None:
    found = connection.scalar(sa.select(which(column)))
    return None if found is None else float(found)


def _of_labels(axis: _Axis, conditions: list[Condition]) -> list[Condition]:
    if axis.label is None or not conditions:
        return []
    return [axis.label.in_(sa.select(labels.c.id).where(*conditions))]


def _bounds(axis: _Axis, wanted: EventQuery) -> list[Condition]:
    """Return the conditions on time, length and the position where an earlier answer ended."""
    found: list[Condition] = []
    if wanted.since is not None:
        found.append(axis.time >= wanted.since)
    if wanted.until is not None:
        found.append(axis.time < wanted.until)
    if wanted.min_s is not None and wanted.min_s > 0:
        found.append(axis.seconds >= wanted.min_s)
    if wanted.max_s is not None:
        found.append(axis.seconds <= wanted.max_s)
    if wanted.before is not None:
        time, number = wanted.before
        found.append(axis.time <= time)
        found.append((axis.time < time) | (axis.id < _bounded(number)))
    return found


def _bounded(number: int) -> int:
    return max(0, min(number, MAX_ID))
