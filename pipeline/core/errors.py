"""Exception tree: every error the program raises on purpose, with its exit code.

A message says in one line where it happened, what came and what is allowed; logins and queries of
addresses in it are masked when it is created.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.install_hints import broken_opencv, is_opencv
from pipeline.core.secret_masking import masked


class PipelineError(Exception):
    """Base of all errors raised on purpose; `exit_code` is the exit code of the command."""

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(masked(each) if isinstance(each, str) else each for each in args))


class UsageError(PipelineError):
    """The user's mistake: a wrong path, option, name or file. Exit code 2."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration key or value that is unknown or out of range."""


class SourceError(UsageError):
    """A source that cannot exist as named: missing file, folder without pictures, not a video."""


class ModelError(UsageError):
    """Weights that cannot be used: missing, unknown format or layout, unknown class name."""


class OutputError(UsageError):
    """An output that cannot be written to."""


class WriteError(OutputError):
    """An output that could be opened but not be written completely, such as on a full disk.

    Exit code 1.
    """

    exit_code = 1


class MissingExtraError(UsageError):
    """An optional package is missing; the message names the extra that installs it."""


class SourceLostError(PipelineError):
    """A live source stopped answering, or does not answer yet; the engine reconnects."""


class SourceBrokenError(PipelineError):
    """A file cannot be read beyond some point; the frames before it are kept."""


class StoreError(PipelineError):
    """The event database does not answer; a retry may help."""


class StoreRefusedError(StoreError):
    """The event database refuses a request; a retry does not help."""


class StageError(PipelineError):
    """A detector, tracker or sink failed while running; the cause is chained."""


@contextmanager
def located(where: str) -> Iterator[None]:
    """Turn an exception that a plug-in did not raise on purpose into a StageError naming `where`.

    PipelineErrors pass unchanged: their messages say where already.
    """
    try:
        yield
    except PipelineError:
        raise
    except ImportError as error:
        # The first call to fail if OpenCV with windows is installed on a machine without a desktop.
        shown = broken_opencv(error) if is_opencv(error) else f"{type(error).__name__}: {error}"
        raise StageError(f"{where}: {shown}") from error
    except Exception as error:
        raise StageError(f"{where}: {type(error).__name__}: {error}") from error


class writing:  # noqa: N801 - reads as a word: with writing(path)
    """Context manager that turns an OSError into an OutputError naming the path.

    Once frames flow it is a WriteError: the arguments were right, but the run has failed.
    """

    def __init__(self, path: Path, kind: type[OutputError] = OutputError) -> None:
        self._path = path
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise self._kind(f"{self._path}: cannot be written: {reason}") from error


class reading:  # noqa: N801 - reads as a word: with reading(path)
    """Context manager that turns errors of reading a text file into a UsageError naming the path.

    `kind` is the class of that error.
    """

    def __init__(self, path: Path, kind: type[UsageError] = UsageError) -> None:
        self._path = path
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise self._kind(f"{self._path}: cannot be read: {error.strerror}") from None
        if isinstance(error, UnicodeDecodeError):
            raise self._kind(f"{self._path}: not a text file") from None


def system_reason(error: BaseException) -> str | None:
    """Return the operating system's or FFmpeg's description of an error, None if it has none."""
    reason = getattr(error, "strerror", None)  # PyAV's errors have one, too, and are not OSErrors
    return str(reason) if reason else None
