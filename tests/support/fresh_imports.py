"""What a plug-in loads in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel


def loaded_by_building(plugin: Any, options: BaseModel, names: Sequence[str]) -> str:
    """Return which of the modules `names` are loaded once a plug-in is built, printed as a list."""
    code = (
        "import sys, importlib\n"
        "plugin = importlib.import_module(sys.argv[1])\n"
        "plugin.build(plugin.Options.model_validate_json(sys.argv[2]))\n"
        f"print([name for name in {tuple(names)} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, plugin.__name__, options.model_dump_json()],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
