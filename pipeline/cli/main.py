"""The command `trackline`: parses arguments, prints one line per error, returns the exit code."""

from __future__ import annotations

import argparse
import errno
import gc
import io
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from pipeline.core.errors import PipelineError, UsageError
from pipeline.core.install_hints import broken_opencv, is_opencv
from pipeline.core.paths import one_line
from pipeline.core.secret_masking import masked

log = logging.getLogger("trackline")

COMMANDS = (
    "run", "live", "detect", "tag", "batch", "check", "list", "models", "count", "doctor",
    "bench", "eval", "refine", "tune", "render", "clip", "report", "convert", "calibrate", "speeds",
    "geotag", "zones",
)  # fmt: skip
INTERRUPTED = 130
TERMINATED = 143


class _Parser(argparse.ArgumentParser):
    """Argument parser that raises UsageError with one line instead of printing the whole usage.

    Options may stand between a command's other arguments, which argparse by itself refuses.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, as argparse does; the arguments that are no options come together first."""
        if args is not None and not self._subparsers:
            args = _gathered([*args], self._option_string_actions)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _gathered(args: list[str], known: Mapping[str, argparse.Action]) -> list[str]:
    """Return the arguments with those together that are neither options nor their values."""
    options: list[str] = []
    others: list[str] = []
    while args:
        one = args.pop(0)
        if one == "--":
            others += args
            break
        if not one.startswith("-") or one == "-":
            others.append(one)
            continue
        options.append(one)
        action = known.get(one)
        if _has_its_value(one, known) or (action is not None and action.nargs == 0):
            continue
        if action is not None and action.nargs is None:
            options += [args.pop(0)] if args and args[0] != "--" else []
            continue
        while args and not args[0].startswith("-"):  # "+", or unknown: what follows may be its own
            options.append(args.pop(0))
    if any(each.startswith("-") and each != "-" for each in others):
        return [*options, "--", *others]
    return [*others, *options]


def _has_its_value(one: str, known: Mapping[str, argparse.Action]) -> bool:
    """Return whether an argument is an option and its value: --conf=0.3, -cFILE."""
    return one not in known and (one.partition("=")[0] in known or one[:2] in known)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failure, 2 user's mistake, 130 Ctrl-C.

    Meanwhile log lines go to stderr, and commands that can end in order handle SIGINT and SIGTERM
    if this is the main thread. Both are restored at the end.
    """
    before = log.handlers, log.level
    try:
        return _run(list(sys.argv[1:] if argv is None else argv), lambda: None)
    finally:
        log.handlers = before[0]
        log.setLevel(before[1])


def program(signals: Sequence[int] = ()) -> int:
    """Run the command line in a process of its own, and return its exit code; see __main__.py.

    Log lines go on to stderr with secrets masked, also after the command. `signals` are those
    that have interrupted the program so far.
    """
    # Otherwise Pydantic searches all installed packages for its own plug-ins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    _stand_in_for_outputs()
    return _run(sys.argv[1:], _tune_memory, signals)


def _tune_memory() -> None:
    """Set allocator and garbage collector up, after the imports and before threads start."""
    from pipeline.core.malloc import share_arenas

    share_arenas()
    gc.freeze()  # what is there now stays to the end, and need not be looked at again
    gc.enable()


def _run(argv: list[str], on_parsed: Callable[[], None], signals: Sequence[int] = ()) -> int:
    debug = "--debug" in argv
    try:
        _show_log(debug)
        args = _parse(argv)
        on_parsed()
        code = int(args.execute(args))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except PipelineError as error:
        if signals:  # an import that was interrupted may look like a package that is missing
            return 128 + signals[0]
        return _failed(str(error), error.exit_code, debug)
    except BrokenPipeError:
        # The reader of our output is gone (`| head`): nothing is left to print or flush.
        return _without_output(None, debug)
    except Exception as error:  # noqa: BLE001  (the outermost frame: what comes here is a bug)
        if isinstance(error, OSError) and error.filename is None and _output_fails():
            return _without_output(f"standard output: {error.strerror}", debug)
        if (signalled := _exit_code_of_signal(error, signals)) is not None:
            return signalled
        line = broken_opencv(error) if is_opencv(error) else _internal(error)
        return _failed(line, 1, debug)
    return code


def _exit_code_of_signal(error: BaseException | None, signals: Sequence[int]) -> int | None:
    """Return 130 or 143 if a signal caused the error, else None.

    Pydantic wraps exceptions raised in its callbacks, NumPy those during its import; C code that
    imports a module raises another one in its place.
    """
    if signals:
        return 128 + signals[0]
    while error is not None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return INTERRUPTED if isinstance(error, KeyboardInterrupt) else TERMINATED
        error = error.__cause__ or error.__context__
    return None


def _internal(error: Exception) -> str:
    shown = " ".join(f"{type(error).__name__}: {error}".split())
    return f"internal error: {shown} (--debug shows where)"


def _failed(line: str, code: int, debug: bool) -> int:
    """Print the error as one line, with the traceback if `debug`; return the exit code."""
    if debug:
        print(masked(traceback.format_exc()), end="", file=sys.stderr)  # noqa: T201
    else:
        print(f"trackline: {one_line(masked(line))}", file=sys.stderr)  # noqa: T201
    return code


def _output_fails() -> bool:
    """Return whether an error means that standard output cannot be written."""
    try:
        print(flush=True)  # noqa: T201  (to try; an unbuffered stream has nothing left to flush)
    except OSError:
        return True
    return False


def _without_output(line: str | None, debug: bool) -> int:
    """Discard what is buffered for a failed standard output: flushing must not fail again."""
    code = _failed(line, 1, debug) if line else 1
    with suppress(OSError):  # no descriptor if a program has replaced the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


class MaskingFormatter(logging.Formatter):
    """Log formatter that masks the passwords in addresses, also in tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the masked line."""
        return masked(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's own name)
        """Return the message in one line, whatever a file is called."""
        return one_line(super().formatMessage(record))


class _OnceFilter(logging.Filter):
    """Log filter that drops repeated lines marked ONCE: a command may open a file several times."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is to be shown."""
        if not getattr(record, "is_once", False):
            return True
        line = record.getMessage()
        is_new = line not in self._shown
        self._shown.add(line)
        return is_new


class _ClosedOutput(io.TextIOBase):
    """Stands in for a standard output that was closed before the start (`>&-`)."""

    def write(self, text: str, /) -> int:
        """Raise the error of a file that cannot be written."""
        del text
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _parse(argv: list[str]) -> argparse.Namespace:
    from pipeline import __version__

    parser = _Parser(
        prog="trackline",
        description="Cameras and video files in; tracked objects, annotated video, tables out.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"trackline {__version__}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and debug messages")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    options: dict[str, list[str]] = {}
    # Only the requested command is imported: importing all takes a second.
    first = next((each for each in argv if each != "--debug"), None)
    for name in COMMANDS if first not in COMMANDS else (first,):
        module = import_module(f"pipeline.cli.{name}")
        one = commands.add_parser(
            name, help=module.HELP, description=module.__doc__, allow_abbrev=False
        )
        one.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
        module.add_arguments(one)
        one.set_defaults(execute=module.execute, command=name)
        options[name] = _options_of(one)
    _check_command(argv)
    args: argparse.Namespace
    args, extra = parser.parse_known_args(argv)
    if extra:
        raise UsageError(_unknown_argument(extra[0], options[args.command]))
    return args


def _check_command(argv: list[str]) -> None:
    """Suggest a command line if there is no command: no arguments at all, or only a video."""
    first = next((each for each in argv if each != "--debug"), None)
    if first is None:
        raise UsageError(
            "no command: trackline run VIDEO tracks a video, trackline --help lists the others "
            f"({', '.join(COMMANDS)})"
        )
    if first in COMMANDS or first.startswith("-"):
        return
    if near := get_close_matches(first, COMMANDS, n=2):
        raise UsageError(f"unknown command '{first}'; did you mean {' or '.join(near)}?")
    if "://" in first or first.isdecimal() or Path(first).suffix or Path(first).exists():
        words = shlex.join(["run", *(each for each in argv if each != "--debug")])
        raise UsageError(f"'{first}' is no command; to track it: trackline {words}")
    raise UsageError(f"unknown command '{first}' (known: {', '.join(COMMANDS)})")


def _options_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return every option of a command, including those of its subcommands."""
    found = [*parser._option_string_actions]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                found += _options_of(child)
    return sorted(set(found))


def _unknown_argument(came: str, known: list[str]) -> str:
    """Describe an argument that no command takes."""
    if not came.startswith("-"):
        return f"unexpected argument '{came}'"
    near = get_close_matches(came.partition("=")[0], known, n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    shown = sorted(option for option in known if option.startswith("--") and option != "--debug")
    return f"unknown option '{came}'{hint} (known: {' '.join(shown)})"


def _stand_in_for_outputs() -> None:
    """Replace standard outputs that were closed before the start."""
    if sys.stdout is None:
        os.open(
            os.devnull, os.O_WRONLY
        )  # otherwise a file we write gets descriptor 1, which libraries print to
        sys.stdout = _ClosedOutput()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _show_log(debug: bool) -> None:
    """Send log lines to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        MaskingFormatter("%(asctime)s trackline: %(message)s", "%Y-%m-%d %H:%M:%S")
    )
    handler.addFilter(_OnceFilter())
    log.handlers = [handler]
    log.setLevel(logging.DEBUG if debug else logging.INFO)
