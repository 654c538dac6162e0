"""A program that writes into an output folder, to be killed, to wait or to run out of room.

Usage: sink_program.py write OUT | hold KIND OUT | fill KIND OUT BYTES
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path


def sink_program(*arguments: object) -> subprocess.Popen[str]:
    """Return this program, started; its stdin and stdout are pipes."""
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def write(out: str) -> None:
    """Write into csv, jsonl and video until killed; print each frame's number once written."""
    from sink_results import opened, result

    sinks = [opened(kind, Path(out)) for kind in ("csv", "jsonl", "video")]
    index = 0
    while True:
        for sink in sinks:
            sink.write(result(index))
        _say(index)
        index += 1
        time.sleep(0.02)


def hold(kind: str, out: str) -> None:
    """Keep a sink open until a line comes."""
    from sink_results import opened

    sink = opened(kind, Path(out))  # noqa: F841 - open as long as it lives
    _say("open")
    sys.stdin.readline()


def fill(kind: str, out: str, max_bytes: str) -> None:
    """Write until a file is as large as it may be, as on a full disk."""
    import resource

    from sink_results import opened, rich

    from pipeline.core.errors import WriteError

    resource.setrlimit(resource.RLIMIT_FSIZE, (int(max_bytes),) * 2)
    sink = opened(kind, Path(out))
    try:
        for index in range(5000):
            sink.write(rich(index))
    except WriteError:
        _say("full")
    with suppress(WriteError):  # of another file of the same sink
        sink.close()


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"write": write, "hold": hold, "fill": fill}[sys.argv[1]](*sys.argv[2:])
