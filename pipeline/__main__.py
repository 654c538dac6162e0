"""Entry point of `python -m pipeline` and of the command `trackline`."""

from __future__ import annotations

import gc
import os
import sys

_signals: list[int] = []
"""Numbers of the signals that have interrupted the program."""


def main() -> int:
    """Run the command; from here on, even during imports, Ctrl-C exits with 130, SIGTERM with 143.

    What is set here and by `cli.main.program` applies to the whole process and is not undone.
    """
    gc.disable()  # imports create no garbage, and collecting takes a tenth of the start
    sys.excepthook = _show
    sys.unraisablehook = _interrupt_again
    try:
        import signal

        signal.signal(signal.SIGTERM, _end)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
            signal.signal(signal.SIGINT, _interrupt)
        from pipeline.cli.main import program

        code = program(_signals)
    except KeyboardInterrupt:
        code = 130
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # Rust libraries panic where their import is interrupted
        if not _signals:
            raise
        code = 128 + _signals[0]
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
    _signals.append(number)
    raise SystemExit(128 + number)


def _interrupt(number: int, frame: object) -> None:
    del frame
    _signals.append(number)
    raise KeyboardInterrupt


def _interrupt_again(caught: sys.UnraisableHookArgs) -> None:
    """Print an exception that could not be raised; of a signal, have that come once more.

    A destructor, or a function that a library calls back, swallows the exception: Ctrl-C would
    leave a traceback and no other trace.
    """
    import signal
    import threading

    if issubclass(caught.exc_type, KeyboardInterrupt):
        number = signal.SIGINT
    elif isinstance(caught.exc_value, SystemExit) and caught.exc_value.code == 143:
        number = signal.SIGTERM
    else:
        sys.__unraisablehook__(caught)
        return
    while hasattr(signal, "pthread_kill") and not sys.is_finalizing():
        try:
            # Later, as it would be swallowed, too; to this thread, which it wakes where it waits.
            again = threading.Timer(0.1, signal.pthread_kill, (threading.get_ident(), number))
            again.daemon = True
            again.start()
        except (KeyboardInterrupt, SystemExit):  # it has come while the thread was started
            continue
        return


def _show(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """Print an uncaught exception, except for a second Ctrl-C during the handling of the first."""
    del trace
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, error.__traceback__)


if __name__ == "__main__":
    raise SystemExit(main())
