"""One HTTP request of a download: requests what FILE.part lacks and appends the answer.

Keeps to RFC 9110: a range is asked for only where a validator or a known SHA-256 makes sure that
the parts belong together (13.1.5, 14.2), and an answer counts only if it is the range asked for.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from functools import cache
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and how many there will be, None while not known."""

SCHEMES = ("http", "https")
CHUNK = 1 << 16
MAX_BYTES = 4 << 30
"""Limit of a download, so that a server that never stops sending cannot fill the disk."""
RETRYABLE_STATUS = frozenset((408, 425, 429, 500, 502, 503, 504))
"""HTTP answers that a later try may not get again."""


class DownloadFailedError(Exception):
    """Permanent failure of a download; the message is the reason."""


class ConnectionBrokenError(Exception):
    """Failure that may pass at the next try; the message is the reason."""


class PartialFile:
    """Partial file that grows over several tries, and beside it the server's validator for it."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self._tag = path.with_name(f"{path.name}.part.tag")

    @property
    def size(self) -> int:
        """Return how many bytes are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def tag(self) -> str:
        """Return the ETag or date that the bytes belong to; empty if the server gave none."""
        return self._tag.read_text("utf-8") if self._tag.is_file() else ""

    def start(self, tag: str) -> None:
        """Discard the content; data from now on belongs to `tag`."""
        with _on_disk(self.path):
            self._tag.write_text(tag, "utf-8")
            self.path.write_bytes(b"")

    def remove(self) -> None:
        """Remove all of it."""
        with _on_disk(self.path):
            self.path.unlink(missing_ok=True)
            self._tag.unlink(missing_ok=True)

    def append(self, chunks: Iterator[bytes]) -> None:
        """Write the chunks at the end."""
        with _on_disk(self.path):
            file = self.path.open("ab")
        with file:
            for chunk in chunks:
                with _on_disk(self.path):
                    file.write(chunk)


def fetch(
    url: str,
    part: PartialFile,
    size: int | None,
    *,
    certain: bool,
    timeout_s: float,
    progress: Progress,
) -> bool:
    """Append what is missing of `url` to `part`; return whether an earlier beginning was kept.

    `size` is what the whole file must have, None if any will do. `certain`: the whole will be
    checked against a hash, so a beginning may be kept without a validator. Raises
    DownloadFailedError, or ConnectionBrokenError, which may leave more bytes in `part` than before.
    """
    have = part.size
    if have and have == size:
        return True
    headers = {"User-Agent": "trackline", "Accept-Encoding": "identity"}
    tag = part.tag
    if have and (tag or certain):
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    try:
        with _opener().open(Request(url, headers=headers), timeout=timeout_s) as response:
            return _receive(response, part, size, progress)
    except HTTPError as error:
        answer = f"the server answers {error.code} {str(error.reason).partition(chr(10))[0]}"
        error.close()
        if error.code == 416:
            part.remove()  # it is no beginning of what the server has now
            raise ConnectionBrokenError(answer) from error
        raise (ConnectionBrokenError if error.code in RETRYABLE_STATUS else DownloadFailedError)(
            answer
        ) from error
    except (URLError, HTTPException, OSError) as error:
        raise _classified(error, url, timeout_s) from error


def _receive(
    response: HTTPResponse, part: PartialFile, size: int | None, progress: Progress
) -> bool:
    kept = part.size if response.status == 206 else 0
    if kept and not response.headers.get("Content-Range", "").startswith(f"bytes {kept}-"):
        part.remove()
        raise ConnectionBrokenError("the server sends another range than it was asked for")
    total = None if response.length is None else kept + response.length
    if response.headers.get_content_type() == "text/html":
        raise DownloadFailedError("the server sends a web page")
    if size is not None and total is not None and total != size:
        part.remove()
        raise DownloadFailedError(f"the server has a file of {total} bytes, want {size}")
    if not kept:
        part.start(_validator(response.headers))
    limit = size or MAX_BYTES
    part.append(_chunks(response, kept, limit, lambda have: progress(have, total or size)))
    have = part.size
    if total is not None and have < total:
        raise ConnectionBrokenError(f"the connection ended after {have} of {total} bytes")
    if size is not None and have < size:
        raise ConnectionBrokenError(f"the connection ended after {have} of {size} bytes")
    return kept > 0


def _chunks(
    response: HTTPResponse, have: int, limit: int, progress: Callable[[int], None]
) -> Iterator[bytes]:
    while chunk := response.read1(CHUNK):
        have += len(chunk)
        if have > limit:
            raise DownloadFailedError(f"the server sends more than {limit} bytes")
        yield chunk
        progress(have)


def _validator(headers: Message) -> str:
    """Return the value to send as If-Range: a strong ETag, else the date, else ""."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _classified(error: Exception, url: str, timeout_s: float) -> Exception:
    """Return the error as one worth another try or not."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return ConnectionBrokenError(f"the server was silent for {timeout_s:g} s")
    if isinstance(reason, socket.gaierror):
        return DownloadFailedError(
            f"{urlsplit(url).hostname} cannot be reached ({reason.strerror})"
        )
    if isinstance(reason, ssl.SSLCertVerificationError):
        return DownloadFailedError(
            f"the server's certificate is not valid ({reason.verify_message})"
        )
    if isinstance(reason, OSError):
        return ConnectionBrokenError(f"the connection failed ({reason.strerror or reason})")
    return ConnectionBrokenError(
        f"the server's answer is broken ({reason or type(reason).__name__})"
    )


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """Separate the disk's errors from the network's: both raise OSError."""
    try:
        yield
    except OSError as error:
        raise DownloadFailedError(f"{path} cannot be written ({error.strerror})") from error


class _Redirects(HTTPRedirectHandler):
    """Follows redirects, but never from https to an unprotected connection."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        if not redirect_allowed(req.full_url, newurl):
            raise DownloadFailedError(
                f"the server redirects to {urlsplit(newurl).scheme}, which is unsafe"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def redirect_allowed(old: str, new: str) -> bool:
    """Return whether a redirect may be followed: http to http or https, https to https only."""
    before, after = urlsplit(old).scheme.lower(), urlsplit(new).scheme.lower()
    return after in SCHEMES and not (before == "https" and after != "https")


@cache
def _opener() -> OpenerDirector:
    return build_opener(_Redirects)
