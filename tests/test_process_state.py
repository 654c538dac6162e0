"""A program that uses the package finds its process as it was: logs, signals, threads, variables.

`HttpServer` made the logs of asyncio and uvicorn silent for a whole program that has a server of
its own, `main` switched its garbage collector on, and OpenCV kept one thread for ever, later still
after `detect --one`, which did not close its network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT
from support.tiny_networks import one_box_network

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at what Linux has")

PROGRAM = """
import contextlib, gc, io, json, sys
from pathlib import Path
import av, cv2, fastapi, numpy, openvino, uvicorn
from support.process_state import process_state
from support.fake_backend import ServerParts, serving
import httpx
import pipeline
from pipeline.cli.main import main

network, output = sys.argv[1:]
picture = output + ".png"
cv2.imwrite(picture, numpy.zeros((48, 64, 3), numpy.uint8))
PAGE = Path(pipeline.__file__).parent / "server/page"
small = {"kind": "synthetic", "width": 64, "height": 48, "frames": 4}

def command(*words):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main([*words]) == 0

def serve():
    with serving(ServerParts(Path(output), token=None, page=PAGE)) as address:
        assert httpx.get(address + "/").headers["content-type"].startswith("text/html")
        assert httpx.get(address + "/app.js").headers["content-type"].startswith("text/javascript")

def load():
    for model in [pipeline.load_model(network), pipeline.load_model(network)]:
        [*pipeline.track(small, model=model)]
        model.close()

def run(**more):
    return pipeline.run({"sources": [small], "detector": {"model": network},
                         "run": {"output": output}, **more})

CALLS = {
    "track": lambda: [*pipeline.track(small, model=network)],
    "begun": lambda: next(pipeline.track(small, model=network)),
    "detect": lambda: [*pipeline.detect(small, model=network)],
    "load_model": load,
    "run": lambda: run(sinks=["csv", "video"]),
    "HttpServer": serve,
    "main list": lambda: command("list", "trackers"),
    "main detect --one": lambda: command("detect", picture, "--one", "--model", network),
    "main run": lambda: command(
        "run", "--set", "sources=[{kind: synthetic, frames: 4}]", "--model", network, "-o", output),
}
gc.disable()  # as programs do that want no pauses
changed = {}
process_state()  # which seeds
for name, call in CALLS.items():
    before = process_state()
    call()
    gc.collect()
    after = process_state()
    changed[name] = {key: [before[key], after[key]] for key in before if before[key] != after[key]}
print(json.dumps(changed))
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_process_is_as_it_was(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    network = one_box_network(tmp_path / "one.onnx")
    words = [sys.executable, "-c", PROGRAM, str(network), str(tmp_path / "out")]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(words, capture_output=True, text=True, env=found)
    assert done.returncode == 0, done.stderr
    changed = json.loads(done.stdout)
    assert len(changed) == 9
    assert {name: what for name, what in changed.items() if what} == {}
