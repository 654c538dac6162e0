"""Where the checkout's own files are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pipeline"
SAMPLES = ROOT / "samples"
SUPPORT = ROOT / "tests" / "support"
