"""A program to be killed: sends events to the address it is given, and says which.

Usage: event_program.py OUTPUT URL FIRST COUNT. Prints "kept N" for each event that is on the disk.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from support.event_results import event, result, run_info

from pipeline.events.store.records import EventQuery
from pipeline.sinks import events as plugin


def main(output: str, url: str, first: str, count: str) -> None:
    options = plugin.Options(
        before_s=0.5, after_s=0.5, webhooks=[{"url": url, "name": "test", "secret": "key"}]
    )  # type: ignore[arg-type]
    sink = plugin.build(options)
    sink.open(run_info(Path(output), "gate"))
    store = sink.store
    assert store is not None
    known = store.query(EventQuery(limit=1))
    last = known[0].id if known else 0
    for index in range(int(first), int(first) + int(count)):
        sink.write(result(index, event(index, track_id=index)))
        time.sleep(0.02)
        for one in reversed(store.query(EventQuery(after_id=last))):
            last = one.id
            sys.stdout.write(f"kept {one.track_id}\n")
        sys.stdout.flush()
    sink.close()
    sys.stdout.write("closed\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
