"""Entry point of `python -m pipeline` and of the command `trackline`."""

from __future__ import annotations

import gc
import os
import sys


def main() -> int:
    """Run the command; from here on, even during imports, Ctrl-C exits with 130, SIGTERM with 143.

    What is set here and by `cli.main.program` applies to the whole process and is not undone.
    """
    gc.disable()  # imports create no garbage, and collecting takes a tenth of the start
    sys.excepthook = _show
    try:
        import signal

        signal.signal(signal.SIGTERM, _end)
        from pipeline.cli.main import program

        code = program()
    except KeyboardInterrupt:
        code = 130
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    return _left(code)


def _left(code: int) -> int:
    """Return the exit code, once all output has been written and closed."""
    import signal
    import threading

    for number in (signal.SIGINT, signal.SIGTERM):  # from now on these end the process at once
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    # Resets a flag of Python's that a Ctrl-C during another `exec` has set: it would end by SIGINT.
    exec("")
    if any(each.daemon and each.is_alive() for each in threading.enumerate()):
        # A camera's thread that hangs in FFmpeg cannot be ended, and the interpreter would be torn
        # down around it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _end(number: int, frame: object) -> None:
    del frame
    raise SystemExit(128 + number)


def _show(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """Print an uncaught exception, except for a second Ctrl-C during the handling of the first."""
    del trace
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, error.__traceback__)


if __name__ == "__main__":
    raise SystemExit(main())
