"""HLS and DASH over TLS, fetched here: FFmpeg verifies their first request and no other.

It hands its TLS options to the playlist it is given, but not to playlists, keys and segments that
this one names, nor to the same playlist when it is read again.
"""

from __future__ import annotations

import ssl
import urllib.request as web
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPResponse
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from pipeline.errors import PipelineError, SourceError, SourceLostError
from pipeline.sources._certificates import Trust

ENDINGS = (".m3u8", ".mpd")


class VerifiedFetcher:
    """PyAV's `io_open`: opens what a playlist names, every server's certificate verified.

    Only http and https, whatever a playlist or a redirect says: never a file of this machine.
    `on_refusal` is told why no pictures can come any more: FFmpeg takes a part that cannot be
    opened for one that is late, and goes on.
    """

    def __init__(
        self,
        where: str,
        address: str,
        trust: Trust,
        timeout_s: float,
        on_refusal: Callable[[PipelineError], None],
    ) -> None:
        self._where = where
        self._trust = trust
        self._timeout_s = timeout_s
        self._on_refusal = on_refusal
        self._has_begun = False
        self._passwords = web.HTTPPasswordMgrWithDefaultRealm()
        self._opener = web.OpenerDirector()
        for handler in (
            web.ProxyHandler(),  # as FFmpeg does
            web.HTTPHandler(),
            web.HTTPSHandler(context=trust.context(urlsplit(address).hostname)),
            web.HTTPRedirectHandler(),
            web.HTTPCookieProcessor(),
            web.HTTPBasicAuthHandler(self._passwords),
            web.HTTPDigestAuthHandler(self._passwords),
            web.HTTPDefaultErrorHandler(),
            web.HTTPErrorProcessor(),
            web.UnknownHandler(),
        ):
            self._opener.add_handler(handler)

    def __call__(self, url: str, flags: int, options: Mapping[str, str]) -> Fetched:
        """Return the answer, open, or none where one part of many is missing.

        Raises SourceLostError, FFmpegError or OSError for the address itself.
        """
        from av import FFmpegError

        del flags
        is_first, self._has_begun = not self._has_begun, True
        try:
            return Fetched(self._answer(url, options))
        except (PipelineError, OSError, FFmpegError) as error:
            if is_first:
                raise
            # An exception would be printed by PyAV, and change nothing.
            if isinstance(error, PipelineError):
                self._on_refusal(error)
            return Fetched(None)

    def _answer(self, url: str, options: Mapping[str, str]) -> HTTPResponse:
        scheme = urlsplit(url).scheme
        if scheme.startswith("crypto"):
            raise SourceError(
                f"{self._where}: encrypted HLS cannot be verified; set verify_tls: false"
            )
        if scheme not in ("http", "https"):
            raise SourceLostError(f"{self._where}: its playlist names what is not on the web")
        request = web.Request(self._without_login(url), headers={"User-Agent": "Trackline"})
        if (first := options.get("offset")) is not None:
            end = options.get("end_offset")
            request.add_header("Range", f"bytes={first}-{int(end) - 1 if end else ''}")
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=self._timeout_s)
        except HTTPError as error:
            error.close()
            raise _refused(error.code) from None
        except URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                why = self._trust.problem(url, self._timeout_s) or "its certificate is not trusted"
                raise SourceLostError(f"{self._where}: {why}") from None
            reason = error.reason
            raise reason if isinstance(reason, OSError) else OSError(str(reason)) from None
        except (HTTPException, ValueError) as error:
            raise OSError(type(error).__name__) from None
        return answer

    def _without_login(self, url: str) -> str:
        """Return the address without its login, which is told to whoever asks for one."""
        parts = urlsplit(url)
        login, at, place = parts.netloc.rpartition("@")
        if not at:
            return url
        user, _, password = login.partition(":")
        plain = parts._replace(netloc=place).geturl()
        self._passwords.add_password(None, plain, unquote(user), unquote(password))
        return plain


class Fetched:
    """An answer as PyAV reads it; None is an empty one."""

    def __init__(self, answer: HTTPResponse | None) -> None:
        self._answer = answer

    def read(self, most: int) -> bytes:
        """Return what has come, empty at the end, also where that comes too early."""
        try:
            return self._answer.read1(most) if self._answer is not None else b""
        except (OSError, HTTPException, ValueError):
            return b""

    def close(self) -> None:
        """Leave the server."""
        if self._answer is not None:
            self._answer.close()


def _refused(code: int) -> Exception:
    """Return what an answer that is none comes to, in the words of `_addresses.failure`."""
    import av

    known = {
        401: av.error.HTTPUnauthorizedError,
        403: av.error.HTTPForbiddenError,
        404: av.error.HTTPNotFoundError,
    }
    return known[code](code, "") if code in known else OSError(code, f"HTTP {code}")
