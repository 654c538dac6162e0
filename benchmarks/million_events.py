"""A million events in SQLite: how long each query of events and visits takes.

    python benchmarks/million_events.py [--events 1000000] [--database FILE] [--plans]

Eight cameras, three zones and two lines each, six classes, ninety days with quiet nights; one zone
that was taken away after the first week, one class that was seen on one day. Prints the median of
several runs of each query, in milliseconds, its CPU time beside it, and what filling took. The
database is made if FILE is not there, and stays; `--plans` prints the query plans too.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from pipeline.events.store.records import EventQuery, EventRecord
from pipeline.events.store.retention import total_bytes
from pipeline.events.store.store import EventStore

CAMERAS = [f"camera {n}" for n in range(1, 9)]
CLASSES = ["person", "car", "bicycle", "truck", "bus", "motorcycle"]
END = 1_800_000_000.0
DAYS = 90
RUNS = 7


def main() -> None:
    """Fill a database and time queries of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--plans", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.database or Path(folder) / "events.db"
        store = EventStore(str(path), Path(folder))
        if path.exists():
            store.prepare()  # one of an older version
        if not path.exists():
            began = time.perf_counter()
            for some in batches(args.events):
                store.add(some)
            print(f"filled in {time.perf_counter() - began:.0f} s")
        with store.reading() as connection:
            assert connection is not None
            for table in ("events", "visits", "visit_labels", "labels"):
                count = connection.scalar(sa.text(f"SELECT COUNT(*) FROM {table}"))
                print(f"{table}: {count:,}")
        print(f"database: {path.stat().st_size / 1e6:.0f} MB")
        time_all(store)
        if args.plans:
            show_plans(store, path)
        store.close()


def batches(count: int) -> Iterator[list[EventRecord]]:
    """Yield the events in the order of storing, some thousand at a time."""
    random = np.random.default_rng(1)
    begun = np.sort(random.random(count // 2) * DAYS * 86400)
    begun = begun[np.abs((begun % 86400) / 3600 - 13) < 8]  # five to nine
    some: list[EventRecord] = []
    made = track = 0
    while made < count:
        track += 1
        at = float(begun[int(made / count * len(begun))])
        for record in visit_of(random, track, at):
            some.append(record)
            made += 1
        if len(some) >= 5000 or made >= count:
            yield some
            some = []


def visit_of(random: np.random.Generator, track: int, at: float) -> Iterator[EventRecord]:
    """Yield the events of one track."""
    camera = CAMERAS[int(random.integers(len(CAMERAS)))]
    name = CLASSES[int(min(random.geometric(0.5) - 1, len(CLASSES) - 1))]
    if 50.5 * 86400 < at < 50.5 * 86400 + 7200 and random.random() < 0.2:
        name = "dog"
    zones = ["yard", "path", "door"] + (["old gate"] if at < 7 * 86400 else [])
    area = zones[int(random.integers(len(zones)))]
    stay = float(random.exponential(20))
    steps = [("appeared", "", "", 0.0, 0.0), ("enter", area, "", 1.0, 0.0)]
    if random.random() < 0.4:
        way = "in" if random.random() < 0.5 else "out"
        steps.append(("cross", f"line {random.integers(2)}", way, 1.5, 0.0))
    steps.append(("leave", area, "", 2.0 + stay, stay))
    for kind, where, way, later, dwell in steps:
        yield EventRecord(
            time=END - DAYS * 86400 + at + later, kind=kind, camera=camera, area=where,
            direction=way, track_id=track, class_id=0, class_name=name, dwell_s=dwell,
            index=int(10 * at), pts_s=at + later, xyxy=(1, 2, 30, 40), visit=f"{track:032x}",
        )  # fmt: skip


QUERIES: dict[str, dict[str, object]] = {
    "newest": {},
    "one day, weeks ago": {"since": END - 40 * 86400, "until": END - 39 * 86400},
    "camera": {"camera": "camera 3"},
    "class": {"class_name": "bus"},
    "class of one day": {"class_name": "dog"},
    "class that was never seen": {"class_name": "tiger"},
    "zone": {"zone": "yard"},
    "zone of the first week": {"zone": "old gate"},
    "line": {"line": "line 1"},
    "kind": {"kind": "cross"},
    "at least a minute": {"min_s": 60.0},
    "at least ten minutes (none)": {"min_s": 600.0},
    "at most a second": {"max_s": 1.0},
    "camera, class": {"camera": "camera 3", "class_name": "bus"},
    "camera, class of one day": {"camera": "camera 3", "class_name": "dog"},
    "camera, zone, class": {"camera": "camera 3", "class_name": "bus", "zone": "door"},
    "camera, class, 5 minutes (none)": {
        "camera": "camera 3", "class_name": "person", "min_s": 300.0,
    },
    "zone and line": {"zone": "yard", "line": "line 1"},
    "first zone and line, late (none)": {
        "zone": "old gate", "line": "line 1", "since": END - 60 * 86400,
    },
    "everything": {
        "camera": "camera 3", "class_name": "truck", "zone": "path", "kind": "enter",
        "since": END - 60 * 86400, "until": END - 86400, "min_s": 30.0, "max_s": 60.0,
    },
    "a page in the middle": {"before": (END - 45 * 86400, 1 << 40)},
    "a page in the middle, zone": {"zone": "yard", "before": (END - 45 * 86400, 1 << 40)},
}  # fmt: skip


def time_all(store: EventStore) -> None:
    """Print what each query takes."""
    print(f"\n{'':34}{'visits':>16}{'events':>20}\n{'':34}{'time     CPU':>16}{'time     CPU':>20}")
    slowest = 0.0
    for name, wanted in QUERIES.items():
        query = EventQuery(**wanted, limit=50)  # type: ignore[arg-type]
        visits, events = timed(partial(store.visits, query)), timed(partial(store.query, query))
        found = len(store.visits(query)), len(store.query(query))
        print(
            f"{name:34}{visits[0]:8.1f}{visits[1]:8.1f}{events[0]:12.1f}{events[1]:8.1f}   "
            f"{found[0]} visits, {found[1]} events"
        )
        slowest = max(slowest, visits[0], events[0])
    some = store.visits(EventQuery(limit=1))[0]
    for name, ask in {
        "one visit": lambda: store.visit(some.id),
        "changes since a moment ago": lambda: store.visits_after(some.revision - 50, 100),
        "counts of a day": lambda: store.counts(hours=(time.time() - END) / 3600 + 24),
        "counts of all time": lambda: store.counts(),
        "a day by hour": lambda: store.counts_by_slot(by_time(1), 3600),
        "a week by hour": lambda: store.counts_by_slot(by_time(7), 3600),
        "a week by hour, one zone": lambda: store.counts_by_slot(
            replace(by_time(7), camera="camera 3", zone="yard"), 3600
        ),
        "30 days by hour": lambda: store.counts_by_slot(by_time(30), 3600),
        "30 days by quarter of an hour": lambda: store.counts_by_slot(by_time(30), 900),
        "30 days by hour, one kind": lambda: store.counts_by_slot(
            replace(by_time(30), kind="enter"), 3600
        ),
        "30 days by hour, one camera": lambda: store.counts_by_slot(
            replace(by_time(30), camera="camera 3"), 3600
        ),
        "how much all takes (retention)": lambda: total_bytes(store),
        "all days": lambda: store.counts_by_slot(by_time(DAYS), 86400),
    }.items():
        median, worst = timed(ask)
        print(f"{name:34}{median:8.1f}{worst:8.1f}")
    print(f"\nslowest query of a list: {slowest:.1f} ms")


def by_time(days: float) -> EventQuery:
    """Return a query of the last days, without a limit that matters."""
    return EventQuery(since=END - days * 86400, limit=10**6)


def timed(ask: Callable[[], object]) -> tuple[float, float]:
    """Return (median, CPU time of the median) of several runs, in milliseconds."""
    took, worked = [], []
    for _ in range(RUNS):
        began, before = time.perf_counter(), time.process_time()
        ask()
        took.append(1000 * (time.perf_counter() - began))
        worked.append(1000 * (time.process_time() - before))
    return statistics.median(took), statistics.median(worked)


def show_plans(store: EventStore, path: Path) -> None:
    """Print the plan of each statement of some queries."""
    seen: list[tuple[str, object]] = []

    def note(*about: object) -> None:
        seen.append((str(about[2]), about[3]))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    for name in ("newest", "zone", "at least a minute", "zone and line", "everything"):
        seen.clear()
        query = EventQuery(**QUERIES[name], limit=50)  # type: ignore[arg-type]
        store.visits(query)
        store.query(query)
        print(f"\n{name}")
        with sqlite3.connect(path) as raw:
            for statement in dict.fromkeys(each for each, _ in seen):
                values = next(value for each, value in seen if each == statement)
                for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", values):  # type: ignore[arg-type]
                    print(f"   {row[3]}")
                print("   --")


if __name__ == "__main__":
    main()
