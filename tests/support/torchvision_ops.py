"""torchvision, with stand-ins of `benchmarks/` for operators that cannot be loaded."""

from __future__ import annotations

import sys

from support.paths import ROOT

sys.path.append(str(ROOT / "benchmarks"))

from _torchvision_operators import import_torchvision

__all__ = ["import_torchvision"]
