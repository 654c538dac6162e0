"""`python -m pipeline` and the command `trackline`."""

from __future__ import annotations

import gc
import os
import sys
import threading


def main() -> int:
    """Run the command; Ctrl-C is answered with 130 from here on, imports included."""
    gc.disable()  # imports make no garbage, and looking for it takes a tenth of a start
    try:
        from pipeline.cli.main import main as command

        code = command()
    except KeyboardInterrupt:
        code = 130
    if any(each.daemon and each.is_alive() for each in threading.enumerate()):
        # A camera's thread that hangs in FFmpeg cannot be ended, and the interpreter would be taken
        # down around it. All that was to be written is written and closed.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
