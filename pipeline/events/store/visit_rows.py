"""Visit rows: adding events, ends and thumbnails, and reading them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pipeline.events.store.records import EventRecord, StoredVisit, Touched
from pipeline.events.store.rows import MAX_IDS_PER_STATEMENT, insert_new, storable
from pipeline.events.store.tables import clips, events, labels, visit_labels, visits
from pipeline.events.visits import Visit

LabelKey = tuple[str, str, str, str, str]
"""Camera, area, kind, direction, class name."""
_FIELDS = (
    "uid", "camera", "track_id", "class_name", "started", "pts_s", "seconds", "ended", "dwell_s",
    "events",
)  # fmt: skip
_LABEL_COLUMNS = (
    labels.c.camera, labels.c.area, labels.c.kind, labels.c.direction, labels.c.class_name,
)  # fmt: skip


def label_key(one: EventRecord) -> LabelKey:
    """Return the label of an event."""
    camera, area, kind = storable(one.camera), storable(one.area), storable(one.kind)
    return camera, area, kind, storable(one.direction), storable(one.class_name)


def label_ids(
    connection: sa.Connection, keys: Iterable[LabelKey], known: Mapping[LabelKey, int]
) -> dict[LabelKey, int]:
    """Return the id of each label; missing ones are created."""
    found = {}
    for key in dict.fromkeys(keys):
        if key in known:
            found[key] = known[key]
            continue
        values = dict(zip((column.name for column in _LABEL_COLUMNS), key, strict=True))
        connection.execute(insert_new(connection, labels), [values])
        same = [column == values[column.name] for column in _LABEL_COLUMNS]
        found[key] = int(connection.scalar(sa.select(labels.c.id).where(*same)) or 0)
    return found


def add_to_visits(
    connection: sa.Connection, records: Sequence[EventRecord], known: Mapping[LabelKey, int]
) -> list[int | None]:
    """Add new events to their visits, creating missing ones; return the ids of the visits.

    `known` maps labels to ids. The id is None for an event whose visit is unknown. `first_event` of
    each visit must still be set, with `set_first_events`.
    """
    uids = _visit_names(connection, records)
    rows = _rows_by_uid(connection, [uid for uid in uids if uid])
    before = {uid: _visit(row) for uid, row in rows.items()}
    after = dict(before)
    first_at: dict[str, dict[int, float]] = defaultdict(dict)
    for uid, record in zip(uids, records, strict=True):
        if not uid:
            continue
        if uid not in after:
            after[uid] = Visit.begun_by(record)
        after[uid] = after[uid].with_event(record)
        label = known[label_key(record)]
        first_at[uid][label] = min(record.time, first_at[uid].get(label, record.time))
    made = []
    for revision, (uid, visit) in enumerate(after.items(), next_revision(connection)):
        values = {**_values(visit), "revision": revision}
        if uid in rows:
            moved = visit.started != before[uid].started
            _update(connection, rows[uid]["id"], values, moved=moved)
        else:
            made.append({**values, "uid": uid})
    if made:
        connection.execute(sa.insert(visits), made)
    rows |= _rows_by_uid(connection, [row["uid"] for row in made])
    ids = {uid: int(row["id"]) for uid, row in rows.items()}
    touched = [row for uid, at in first_at.items() for row in _label_rows(ids[uid], after[uid], at)]
    if touched:
        connection.execute(insert_new(connection, visit_labels), touched)
    return [ids.get(uid) for uid in uids]


def set_first_events(connection: sa.Connection, numbers: Iterable[int | None]) -> None:
    """Set the first event of visits to the first stored one that still exists."""
    wanted = sorted({each for each in numbers if each is not None})
    first = sa.select(sa.func.min(events.c.id)).where(events.c.visit_id == visits.c.id)
    for start in range(0, len(wanted), MAX_IDS_PER_STATEMENT):
        some = visits.c.id.in_(wanted[start : start + MAX_IDS_PER_STATEMENT])
        changed = sa.update(visits).where(some)
        connection.execute(changed.values(first_event=first.scalar_subquery()))


def end_visits(connection: sa.Connection, ends: Mapping[str, float | None]) -> None:
    """End existing visits, {name: last time seen on the frames' clock}.

    None for a visit that continues because its track was seen again.
    """
    rows = _rows_by_uid(connection, list(ends))
    for revision, (uid, row) in enumerate(rows.items(), next_revision(connection)):
        values = {**_values(_visit(row).changed(ends[uid])), "revision": revision}
        _update(connection, row["id"], values, moved=False)


def end_all_visits(connection: sa.Connection) -> None:
    """End every open visit: its run is over."""
    is_open = visits.c.ended.is_(None)
    values = {
        "ended": visits.c.started + visits.c.seconds,
        "revision": visits.c.id + next_revision(connection),
    }
    connection.execute(sa.update(visits).where(is_open).values(values))


def set_thumbnail(connection: sa.Connection, uid: str, path: str, size: int) -> bool:
    """Store a visit's thumbnail; return whether the visit exists."""
    revision = next_revision(connection)
    values = {
        "thumbnail": path,
        "thumbnail_bytes": size,
        "thumbnail_revision": revision,
        "revision": revision,
    }
    done = connection.execute(sa.update(visits).where(visits.c.uid == uid).values(values))
    return done.rowcount > 0


def forget_thumbnails(connection: sa.Connection, numbers: Sequence[int]) -> None:
    """Remove the thumbnails of these visits, at most `MAX_IDS_PER_STATEMENT`."""
    values = {
        "thumbnail": None,
        "thumbnail_bytes": 0,
        "thumbnail_revision": None,
        "revision": visits.c.id + next_revision(connection),
    }
    if numbers:
        connection.execute(sa.update(visits).where(visits.c.id.in_(numbers)).values(values))


def renew_visits_of_clip(connection: sa.Connection, path: str) -> None:
    """Mark the visits whose start a clip shows as changed."""
    first = sa.select(events.c.id).join(clips, clips.c.id == events.c.clip_id)
    wanted = visits.c.first_event.in_(first.where(clips.c.path == path))
    of_events = sa.select(events.c.visit_id).join(clips, clips.c.id == events.c.clip_id)
    theirs = visits.c.id.in_(of_events.where(clips.c.path == path))
    revision = visits.c.id + next_revision(connection)
    connection.execute(sa.update(visits).where(theirs, wanted).values(revision=revision))


def next_revision(connection: sa.Connection) -> int:
    """Return a revision greater than that of any visit."""
    return int(connection.scalar(sa.select(sa.func.max(visits.c.revision))) or 0) + 1


def stored_visits(connection: sa.Connection, numbers: Sequence[int]) -> list[StoredVisit]:
    """Return visits by id, in that order; missing ones are left out."""
    found: dict[int, StoredVisit] = {}
    for start in range(0, len(numbers), MAX_IDS_PER_STATEMENT):
        some = numbers[start : start + MAX_IDS_PER_STATEMENT]
        touched = _touched(connection, some)
        asked = (
            sa.select(visits, clips.c.finished, clips.c.began, events.c.time)
            .select_from(
                visits.outerjoin(events, events.c.id == visits.c.first_event).outerjoin(
                    clips, clips.c.id == events.c.clip_id
                )
            )
            .where(visits.c.id.in_(some))
        )
        for row in connection.execute(asked).mappings():
            found[row["id"]] = _stored(row, touched.get(row["id"], []))
    return [found[number] for number in numbers if number in found]


def delete_empty_visits(connection: sa.Connection, numbers: Sequence[int]) -> list[str]:
    """Delete those of these visits that have no events left; return their thumbnails."""
    alone = ~sa.exists().where(events.c.visit_id == visits.c.id)
    gone = sa.select(visits.c.id, visits.c.thumbnail).where(visits.c.id.in_(numbers), alone)
    rows = connection.execute(gone).all()
    connection.execute(sa.delete(visits).where(visits.c.id.in_([row.id for row in rows])))
    set_first_events(connection, set(numbers) - {row.id for row in rows})
    return [row.thumbnail for row in rows if row.thumbnail]


def _stored(row: Any, touched: list[Touched]) -> StoredVisit:
    clip = bool(row["finished"])
    return StoredVisit(
        id=row["id"],
        uid=row["uid"],
        camera=row["camera"],
        track_id=row["track_id"],
        class_name=row["class_name"],
        started=row["started"],
        ended=row["ended"],
        seconds=row["seconds"],
        dwell_s=row["dwell_s"],
        events=row["events"],
        touched=tuple(touched),
        event_id=row["first_event"],
        clip=clip,
        clip_offset_s=max(0.0, row["time"] - row["began"]) if clip else None,
        thumbnail=row["thumbnail_revision"],
        revision=row["revision"],
    )


def _touched(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, list[Touched]]:
    asked = (
        sa.select(visit_labels.c.visit_id, labels.c.kind, labels.c.area, labels.c.direction)
        .select_from(visit_labels.join(labels, labels.c.id == visit_labels.c.label_id))
        .where(visit_labels.c.visit_id.in_(numbers))
        .order_by(visit_labels.c.first_at, visit_labels.c.label_id)
    )
    found: dict[int, list[Touched]] = defaultdict(list)
    for row in connection.execute(asked):
        one = Touched(kind=row.kind, area=row.area, direction=row.direction)
        if one not in found[row.visit_id]:  # its class has changed since
            found[row.visit_id].append(one)
    return found


def _visit_names(connection: sa.Connection, records: Sequence[EventRecord]) -> list[str]:
    """Return the name of each event's visit; for "live" that of the time without a picture."""
    found, lost = [], dict[str, str]()
    for one in records:
        camera, name = storable(one.camera), storable(one.visit)
        if one.track_id == 0 and one.kind == "lost":
            lost[camera] = name = storable(one.uid)
        elif one.track_id == 0 and one.kind == "live":
            name = lost.pop(camera, "") or _open_loss(connection, camera) or storable(one.uid)
        found.append(name)
    return found


def _open_loss(connection: sa.Connection, camera: str) -> str | None:
    asked = sa.select(visits.c.uid).where(
        visits.c.camera == camera, visits.c.track_id == 0, visits.c.ended.is_(None)
    )
    found = connection.scalar(asked.order_by(visits.c.id.desc()).limit(1))
    return None if found is None else str(found)


def _rows_by_uid(connection: sa.Connection, uids: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for start in range(0, len(uids), MAX_IDS_PER_STATEMENT):
        some = uids[start : start + MAX_IDS_PER_STATEMENT]
        asked = sa.select(visits).where(visits.c.uid.in_(some))
        found |= {str(row["uid"]): row for row in connection.execute(asked).mappings()}
    return found


def _visit(row: Any) -> Visit:
    return Visit(**{name: row[name] for name in _FIELDS})


def _values(visit: Visit) -> dict[str, Any]:
    values = {name: getattr(visit, name) for name in _FIELDS}
    del values["uid"]
    return {**values, "camera": storable(visit.camera), "class_name": storable(visit.class_name)}


def _update(connection: sa.Connection, number: int, values: dict[str, Any], *, moved: bool) -> None:
    connection.execute(sa.update(visits).where(visits.c.id == number).values(values))
    searched = {"seconds": values["seconds"]}
    if moved:
        searched["started"] = values["started"]
    mine = visit_labels.c.visit_id == number
    connection.execute(sa.update(visit_labels).where(mine).values(searched))


def _label_rows(
    number: int, visit: Visit, first_at: Mapping[int, float]
) -> Iterator[dict[str, Any]]:
    for label, at in first_at.items():
        yield {
            "label_id": label,
            "started": visit.started,
            "visit_id": number,
            "seconds": visit.seconds,
            "first_at": at,
        }
