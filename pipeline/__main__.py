"""Entry point of `python -m pipeline` and of the command `trackline`."""

from __future__ import annotations

import gc
import os
import sys
import threading


def main() -> int:
    """Run the command; from here on Ctrl-C exits with 130, even during imports."""
    gc.disable()  # imports create no garbage, and collecting takes a tenth of the start
    try:
        from pipeline.cli.main import main as command

        code = command()
    except KeyboardInterrupt:
        code = 130
    if any(each.daemon and each.is_alive() for each in threading.enumerate()):
        # A camera's thread that hangs in FFmpeg cannot be ended, and the interpreter would be torn
        # down around it. All output has been written and closed by now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
