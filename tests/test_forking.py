"""Use in a process that was forked off after use is one clear error, and no wait for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_networks import one_box_network

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.timeout(120),
]

PROGRAM = """
import os, signal, sys
import pipeline
from pipeline.config.build import build
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.core.options import validated

small = {"kind": "synthetic", "width": 64, "height": 48, "frames": 400}
network = sys.argv[1]
model = pipeline.load_model(network)
tree = {"sources": [small], "detector": {"model": network}, "sinks": []}
run = build(resolve_config(validated(Config, tree, "")))
results = run.results()
next(results)

def use(what):
    if what == "track anew": next(pipeline.track(small, model=network))
    if what == "go on": [None for _ in results]
    if what == "loaded model": next(pipeline.track(small, model=model))
    if what == "load anew": pipeline.load_model(network)
    if what == "stop": run.stop()
    if what == "look": run.cameras()
    if what == "close the iterator": results.close(); raise pipeline.PipelineError("forked")

for what in sys.argv[2:]:
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            use(what)
            os.write(1, f"{what}: nothing\\n".encode())
        except pipeline.PipelineError as error:
            os.write(1, f"{what}: {type(error).__name__} {error}\\n".encode())
        os._exit(0)
    os.waitpid(child, 0)
count = 1 + sum(1 for _ in results)
print("parent:", count)
"""
WHAT = ("track anew", "go on", "loaded model", "load anew", "stop", "look", "close the iterator")


@pytest.mark.slow
def test_nothing_hangs_after_a_fork(tmp_path: Path) -> None:
    """A worker forked off after a first `track` waited for ever for threads it did not have."""
    network = one_box_network(tmp_path / "one.onnx")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(network), *WHAT],
        capture_output=True,
        text=True,
        timeout=100,
    )
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert lines.pop("parent", done.stderr) == "400"
    assert lines.pop("close the iterator") == "PipelineError forked"
    assert set(lines) == set(WHAT) - {"close the iterator"}
    for line in lines.values():
        assert line.startswith("ForkedError ")
        assert "get_context('spawn')" in line
