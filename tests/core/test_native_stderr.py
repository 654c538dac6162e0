"""Native libraries kept off the standard error output, from outside: in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.paths import ROOT

PROGRAM = """
import logging, os, sys
sys.path.insert(0, {root!r})
from pipeline.core.native_stderr import muted, own_stderr
logging.basicConfig(format="%(message)s")
log = logging.getLogger("trackline")
log.setLevel({level!r})
def say(text): os.write(2, (text + "\\n").encode())
with own_stderr():
    say("library before")
    with muted():
        say("library")
        print("ours", file=sys.stderr)
        with muted():
            say("library, deeper")
        say("library, after the inner one")
    say("library after")
with muted():
    say("library without a copy")
print("end", file=sys.stderr)
"""
ALL = ["library before", "library", "ours", "library, deeper", "library, after the inner one",
       "library after", "library without a copy", "end"]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        ("INFO", ["library before", "ours", "library after", "library without a copy", "end"]),
        ("DEBUG", ALL),
    ],
)
@pytest.mark.slow
def test_only_native_libraries_are_muted(level: str, lines: list[str]) -> None:
    code = PROGRAM.format(root=str(ROOT), level=level)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.splitlines() == lines
