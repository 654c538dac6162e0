"""HTTP client for FFmpeg that verifies every request; FFmpeg itself verifies only the first.

FFmpeg applies its TLS options to the address it is given, but not to the playlists, keys and
segments that this one names, nor to the same playlist when it is read again. An address's content
is known only once it is open, so FFmpeg opens none of them.
"""

from __future__ import annotations

import ssl
import urllib.request as web
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from pipeline.core.errors import PipelineError, SourceError, SourceLostError
from pipeline.sources._stream.addresses import recording_error
from pipeline.sources._stream.certificates import Trust
from pipeline.sources._stream.hosts import AllowedHosts

FORMATS = (
    "hls,mpjpeg,mjpeg,mpegts,mpeg,mpegvideo,h264,hevc,m4v,flv,live_flv,mov,matroska,asf,ogg,avi,"
    "nut,ivf,obu,image2pipe,jpeg_pipe,aac,mp3,ac3,eac3,webvtt"
)
"""FFmpeg's formats that open nothing, or only through `io_open`; DASH and others bypass it."""
# For these FFmpeg needs the announced type, which it takes from its own connections only.
_ANNOUNCED = {
    "multipart/x-mixed-replace": "mpjpeg",
    "application/vnd.apple.mpegurl": "hls",
    "application/x-mpegurl": "hls",
    "audio/mpegurl": "hls",
    "audio/x-mpegurl": "hls",
}


class VerifiedFetcher:
    """PyAV's `io_open`: opens an address and everything it names, verifying every certificate.

    What begins with https stays https, whatever a playlist or a redirect says; what begins with
    http, or need not be verified, may lead to either. Never a file of this machine, and no other
    host unless `hosts` contains it.

    `on_refusal` is called with the reason why pictures end: FFmpeg takes a part that cannot be
    opened for one that is late, and continues.
    """

    def __init__(
        self,
        where: str,
        hosts: AllowedHosts,
        trust: Trust,
        timeout_s: float,
        on_refusal: Callable[[PipelineError], None],
    ) -> None:
        self._where = where
        self._hosts = hosts
        self._address = address = hosts.address
        self._trust = trust
        self._timeout_s = timeout_s
        self._on_refusal = on_refusal
        self._begun: HTTPResponse | None = None
        self._is_begun = False
        self.logins = web.HTTPPasswordMgrWithDefaultRealm()
        self._opener = web.OpenerDirector()
        is_verified = trust.verify and urlsplit(address).scheme == "https"
        for handler in (
            web.ProxyHandler(),  # as FFmpeg does
            web.HTTPSHandler(context=_context(trust, address)),
            _Redirects(self._check),
            web.HTTPCookieProcessor(),
            web.HTTPBasicAuthHandler(self.logins),
            web.HTTPDigestAuthHandler(self.logins),
            web.HTTPDefaultErrorHandler(),
            web.HTTPErrorProcessor(),
            _RefusePlainHttp(where) if is_verified else web.HTTPHandler(),
        ):
            self._opener.add_handler(handler)

    def begin(self) -> str | None:
        """Request the address itself; return FFmpeg's name of the format, None if it can tell.

        Raises SourceLostError, SourceError, FFmpegError or OSError.
        """
        answer = self._begun = self._answer(self._address, {})
        self._hosts.add(answer.url or self._address)
        self._is_begun = True
        kind = answer.headers.get_content_type()
        if answer.length and kind.startswith("video/"):
            answer.close()
            raise recording_error(self._where)
        return _ANNOUNCED.get(kind)

    def __call__(self, url: str, flags: int, options: Mapping[str, str]) -> Fetched:
        """Return the open response, or an empty one if a part is missing."""
        from av import FFmpegError

        del flags
        begun, self._begun = self._begun, None
        if begun is not None:
            return Fetched(begun)
        try:
            return Fetched(self._answer(url, options))
        except (PipelineError, OSError, FFmpegError) as error:
            # An exception would be printed by PyAV, and change nothing.
            if isinstance(error, PipelineError):
                self._on_refusal(error)
            return Fetched(None)

    def close(self) -> None:
        """Release the handlers at once: they refer to the opener, and it to them."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.close()
        vars(self._opener).clear()

    def _answer(self, url: str, options: Mapping[str, str]) -> HTTPResponse:
        scheme = urlsplit(url).scheme
        if scheme.startswith("crypto"):
            way = "verify_tls: false and other_hosts: true"
            raise SourceError(f"{self._where}: encrypted HLS cannot be verified; set {way}")
        if scheme not in ("http", "https"):
            raise SourceLostError(f"{self._where}: its playlist names what is not on the web")
        self._check(url)
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

    def _check(self, url: str) -> None:
        """Raise SourceLostError if a playlist or a redirect leads to another host.

        The address itself may be redirected: until its answer is there, nothing else was requested.
        """
        if self._is_begun and (why := self._hosts.refusal(url)) is not None:
            raise SourceLostError(f"{self._where}: {why}")

    def _without_login(self, url: str) -> str:
        """Return the address without its login, sent only to the host that asks for one."""
        parts = urlsplit(url)
        login, at, place = parts.netloc.rpartition("@")
        if not at:
            return url
        user, _, password = login.partition(":")
        # For the whole server: a live playlist names new parts for ever.
        self.logins.add_password(
            None, f"{parts.scheme}://{place}/", unquote(user), unquote(password)
        )
        return parts._replace(netloc=place).geturl()


class _Redirects(web.HTTPRedirectHandler):
    """Redirect handler that calls `check` with each new address; it raises to refuse."""

    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check

    def redirect_request(self, *args: Any) -> web.Request | None:
        """Return the follow-up request; the last argument is its address."""
        self._check(args[-1])
        return super().redirect_request(*args)


def _context(trust: Trust, address: str) -> ssl.SSLContext:
    """Return the SSL context; it accepts any certificate with `verify_tls: false`."""
    context = trust.context(urlsplit(address).hostname)
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _RefusePlainHttp(web.BaseHandler):
    """URL handler that refuses plain http after https, where no certificate protects."""

    def __init__(self, where: str) -> None:
        self._where = where

    def unknown_open(self, request: web.Request) -> NoReturn:
        """Raise SourceLostError."""
        raise SourceLostError(
            f"{self._where}: it leads on to a {request.type}:// address, where nothing can be "
            "verified; set verify_tls: false to believe it"
        )


class Fetched:
    """File-like HTTP response for PyAV; None is an empty one."""

    def __init__(self, answer: HTTPResponse | None) -> None:
        self._answer = answer

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes that have arrived, empty at the end and after a failure."""
        try:
            return self._answer.read1(size) if self._answer is not None else b""
        except (OSError, HTTPException, ValueError):
            return b""

    def close(self) -> None:
        """Close the connection."""
        if self._answer is not None:
            self._answer.close()


def _refused(code: int) -> Exception:
    """Return the error of an HTTP status, as `addresses.connection_error` expects it."""
    import av

    known = {
        401: av.error.HTTPUnauthorizedError,
        403: av.error.HTTPForbiddenError,
        404: av.error.HTTPNotFoundError,
    }
    return known[code](code, "") if code in known else OSError(code, f"HTTP {code}")
