"""A signal that comes after a detector was replaced ends the program in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT
from support.tiny_networks import colour_network

PROGRAM = """
import gc, os, signal, sys, threading
import numpy as np
from pipeline.core.data import Frame
from pipeline.detectors.yolo import Options, build

def opened():
    detector = build(Options(model=sys.argv[1], imgsz=64))
    detector.open()
    detector.detect([Frame(np.zeros((64, 64, 3), np.uint8), "a", 0, 0.0, 0.0)])
    return detector

def replace():
    global detector
    fresh = opened()
    detector.close()
    detector = fresh
    gc.collect()

signal.signal(signal.SIGTERM, lambda *_: sys.exit(21))
detector = opened()
for _ in range(3):
    thread = threading.Thread(target=replace)
    thread.start()
    thread.join()
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
def test_a_signal_after_a_detector_was_replaced_by_another_thread(tmp_path: Path) -> None:
    """`trackline live` died of SIGSEGV at SIGTERM once a model had been changed while it ran.

    OpenVINO gives the thread that first uses its CPU plug-in a stack for signals, and takes the
    memory away with the plug-in, on whatever thread that goes: the next signal had none.
    """
    weights = colour_network(tmp_path / "colours.onnx")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(weights)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 21, done.stderr
