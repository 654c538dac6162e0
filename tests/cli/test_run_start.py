"""`trackline run`: what is imported before the first result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

SPY = """
import gc, sys
from pathlib import Path
from pipeline.core.options import OptionsModel

class Options(OptionsModel):
    path: Path

class Spy:
    own_thread = False
    def __init__(self, path): self.path = path
    def open(self, run_info): pass
    def write(self, result):
        if not self.path.exists():
            self.path.write_text("\\n".join(sys.modules))
            print("garbage is collected:", gc.isenabled(), gc.get_freeze_count() > 10_000)
    def close(self): pass

def build(options):
    return Spy(options.path)
"""

LATER = {
    "rich": "draws the bar, the summary",
    "filelock": "downloads",
    "ssl": "downloads",
    "http": "downloads",
    "urllib.request": "downloads",
    "pipeline.models.download": "downloads",
    "pipeline.tools": "other commands, --refine",
    "pipeline.archive": "other commands",
    "pipeline.server": "trackline live",
    "fastapi": "trackline live",
    "asyncio": "trackline live",
    "sqlalchemy": "the sink events",
    "pyarrow": "the sink parquet",
    "PIL": "pictures",
    "torch": ".pt weights",
    "onnxruntime": ".onnx weights on CUDA",
    "scipy": "other commands",
    "multiprocessing": "trackline batch",
    "openvino.tools.ovc": "exports",
}
"""What no run of a video needs before its first result, and what does."""


@pytest.mark.slow
def test_nothing_is_imported_before_the_first_result_that_can_wait(tmp_path: Path) -> None:
    """Half of the time to the first result was imports that the run did not need by then."""
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "spy.py").write_text(SPY)
    modules, settings = tmp_path / "modules.txt", tmp_path / "config.yaml"
    settings.write_text(
        "sources: [{kind: blank, name: a, frames: 2, width: 64, height: 64}]\n"
        f"detector: {{model: builtin}}\nsinks: [{{kind: house.spy, path: {modules}}}]\n"
    )
    command = [sys.executable, "-m", "pipeline", "run", "--config", str(settings)]
    command += ["-o", str(tmp_path / "out")]
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert "2 frames in" in done.stdout, done.stderr
    assert "garbage is collected: True True" in done.stdout
    loaded = {*modules.read_text().split()}
    assert {"openvino", "cv2", "pipeline.detectors.openvino.backend"} <= loaded
    assert sorted(loaded & {*LATER}) == []
