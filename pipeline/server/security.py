"""SecurityMiddleware: host check, sign-in, CSRF protection and headers of every request."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from pipeline.server.auth import Grant, TooManyAttemptsError, is_same_origin
from pipeline.server.context import AppContext

log = logging.getLogger("trackline")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CSRF_HEADER = "x-trackline"
GRANT = "trackline.grant"
PICTURE_PATHS = ("/stream.mjpg", "/stream.ts", "/snapshot.jpg")
"""Suffixes of the paths that also take the token as a password of Basic authentication."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; media-src 'self' blob:; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=()",
}
"""Headers of every response."""

INTERNAL = "internal error; the server's log says which"


class RefusedError(Exception):
    """A request that is refused, with the HTTP status of its answer."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class SecurityMiddleware:
    """ASGI middleware that refuses a request unless host, origin and authentication are right.

    `open_paths` need no authentication. They are compared literally, so that no alternative
    spelling of a path is open.
    """

    def __init__(self, app: App, context: AppContext, open_paths: Collection[str]) -> None:
        self.app = app
        self.context = context
        self._auth = context.auth
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on to the application."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        answer = _ResponseSender(scope, send)
        try:
            self._check(scope)
            await self.app(scope, receive, answer.send)
        except RefusedError as refused:
            await answer.refuse(refused)
        except Exception as error:  # a request's outermost frame: what comes here is a bug
            reason = f"{type(error).__name__}: {error}"
            log.error(
                "page: %s: %s", scope["path"], reason, exc_info=log.isEnabledFor(logging.DEBUG)
            )
            if not answer.begun:
                await answer.refuse(RefusedError(500, INTERNAL))

    def _check(self, scope: Scope) -> None:
        """Raise RefusedError unless the request may pass; store its grant in `scope`."""
        headers = _headers(scope)
        if not self._auth.is_known_host(headers.get("host", "")):
            raise RefusedError(421, "not a name of this server; see web.names")
        names = [
            name
            for name, _ in parse_qsl(
                scope["query_string"].decode("latin-1"), keep_blank_values=True
            )
        ]
        if len(set(names)) < len(names):
            raise RefusedError(400, "a query parameter is given twice")
        grant = self._grant(scope, headers)
        scope[GRANT] = grant
        method = scope.get("method", "GET")
        if headers.get("sec-fetch-site") == "cross-site" and not _is_navigation(scope, headers):
            raise RefusedError(403, "requested by a page of another server")
        if scope["type"] == "websocket":
            if grant is not None and grant.method == "session" and "origin" not in headers:
                raise RefusedError(403, "want an Origin header")
            if not is_same_origin(headers):
                raise RefusedError(403, "requested by a page of another server")
        elif method not in _SAFE_METHODS and not is_same_origin(headers):
            raise RefusedError(403, "asked for by a page of another server")
        if scope["type"] == "http" and scope["path"] in self._open:
            return
        if grant is None:
            kind = "Basic" if _is_picture(scope) else "Bearer"
            challenge = f'{kind} realm="trackline"'
            raise RefusedError(401, "sign in first", www_authenticate=challenge)
        is_change = scope["type"] == "http" and method not in _SAFE_METHODS
        if is_change and grant.method != "token" and headers.get(CSRF_HEADER) != "1":
            raise RefusedError(403, "changes want the header X-Trackline: 1")

    def _grant(self, scope: Scope, headers: dict[str, str]) -> Grant | None:
        client = scope.get("client")
        try:
            return self._auth.authenticate(
                headers,
                session_cookie(headers, self._auth.cookie),
                client[0] if client else None,
                basic=_is_picture(scope),
            )
        except TooManyAttemptsError as error:
            after = str(int(error.retry_after_s) + 1)
            raise RefusedError(429, str(error), retry_after=after) from None


def _is_picture(scope: Scope) -> bool:
    """Return whether a request reads a picture or stream, where Basic authentication is accepted.

    Home automation and players support no other.

    Nothing else accepts it: browsers send it by themselves, also with changes that other servers'
    pages ask for.
    """
    reads = scope["type"] == "http" and scope.get("method") in ("GET", "HEAD")
    return reads and scope["path"].endswith(PICTURE_PATHS)


def _is_navigation(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Return whether a browser navigates to the URL, rather than fetching it for another page."""
    reads = scope["type"] == "http" and scope.get("method") in ("GET", "HEAD")
    navigates = headers.get("sec-fetch-mode") == "navigate"
    return reads and navigates and headers.get("sec-fetch-dest") == "document"


class _ResponseSender:
    """Sends a response with the headers that every response has."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._is_page = not scope["path"].startswith(("/api", "/metrics", "/openapi", "/healthz"))
        self.begun = False
        self._plain = 0  # the status of an error in plain text, until its text is complete
        self._text = b""

    async def send(self, message: Message) -> None:
        """Send a message; the first one of a response gets the headers.

        Errors that libraries answer in plain text become JSON like all others.
        """
        self.begun = True
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            if message["status"] >= 400 and _content_type(message).startswith(b"text/plain"):
                self._plain = message["status"]
                return
            message = {**message, "headers": self._complete(message.get("headers", ()))}
        elif self._plain:
            self._text += message.get("body", b"")
            if not message.get("more_body"):
                status, self._plain = self._plain, 0
                await self.refuse(RefusedError(status, self._text.decode() or "not possible"))
            return
        await self._send(message)

    async def refuse(self, refused: RefusedError) -> None:
        """Send the refusal as JSON."""
        body = json.dumps({"detail": refused.detail}).encode()
        kind = "websocket.http.response" if self._scope["type"] == "websocket" else "http.response"
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        encoded = [(n.encode(), v.encode()) for n, v in (headers | refused.headers).items()]
        await self.send({"type": f"{kind}.start", "status": refused.status, "headers": encoded})
        await self.send({"type": f"{kind}.body", "body": body})

    def _complete(self, headers: Any) -> list[tuple[bytes, bytes]]:
        complete = [(bytes(name).lower(), bytes(value)) for name, value in headers]
        present = {name for name, _ in complete}
        defaults = {
            **SECURITY_HEADERS,
            "cache-control": "no-cache" if self._is_page else "no-store",
        }
        for name, value in defaults.items():
            if name.encode() not in present:
                complete.append((name.encode(), value.encode()))
        return complete


def _content_type(message: Message) -> bytes:
    """Return the content type of a response's first message."""
    headers = {bytes(name).lower(): bytes(value) for name, value in message.get("headers", ())}
    return headers.get(b"content-type", b"")


def session_cookie(headers: Mapping[str, str], name: str) -> str | None:
    """Return the session's secret in a request's cookies."""
    try:
        cookies = SimpleCookie(headers.get("cookie", "")[:8192])
    except CookieError:
        return None
    morsel = cookies.get(name)
    return morsel.value if morsel else None


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers by lower-case name; raises RefusedError for duplicates."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in found and key in ("host", "origin", "authorization", CSRF_HEADER):
            raise RefusedError(400, f"the header {key} is given twice")
        found[key] = value.decode("latin-1")
    return found
