"""Authentication: token, sessions, host names, origins, and a limit on failed attempts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Literal

from pipeline.config.web import WebOptions

MAX_ATTEMPTS = 5
ATTEMPT_WINDOW_S = 60.0
MAX_SESSIONS = 1000
_MAX_CLIENTS = 4096

AuthMethod = Literal["open", "token", "session"]


@dataclass(frozen=True, slots=True)
class Grant:
    """How a request was authenticated; `session` is the key under which its session is stored."""

    method: AuthMethod
    session: bytes = b""


class TooManyAttemptsError(Exception):
    """Too many failed attempts of one client; the next one counts after `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many tries; the next one counts in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class AttemptLimiter:
    """Limit on failed attempts per client: five a minute.

    Memory is bounded; an IPv6 client counts by its /64, of which it has all addresses.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, client: str) -> None:
        """Raise TooManyAttemptsError unless `client` may try now."""
        now = self._clock()
        recent = [
            at for at in self._failed.get(client_network(client), ()) if now - at < ATTEMPT_WINDOW_S
        ]
        if len(recent) >= MAX_ATTEMPTS:
            raise TooManyAttemptsError(ATTEMPT_WINDOW_S - (now - recent[-MAX_ATTEMPTS]))

    def add_failure(self, client: str) -> None:
        """Record a failed attempt."""
        client = client_network(client)
        times = self._failed.setdefault(client, [])
        times.append(self._clock())
        del times[:-MAX_ATTEMPTS]
        self._failed.move_to_end(client)
        while len(self._failed) > _MAX_CLIENTS:
            self._failed.popitem(last=False)


class Auth:
    """Authenticates requests by token or session; without a token, only those from this machine."""

    def __init__(
        self,
        options: WebOptions,
        token: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = None if token is None else _digest(token)
        self._names = frozenset({"localhost", *options.names})
        self._loopback_only = options.is_loopback
        self._session_s = options.session_hours * 3600
        self._clock = clock
        # Cookies do not know ports: two servers on one machine must not sign each other out.
        self.cookie = f"trackline_{options.port}"
        self._sessions: OrderedDict[bytes, float] = OrderedDict()
        self._logins = AttemptLimiter(clock)
        self._bearers = AttemptLimiter(clock)

    @property
    def token_required(self) -> bool:
        """Return whether signing in is required."""
        return self._token is not None

    @property
    def session_s(self) -> int:
        """Return how long a session lasts, in seconds."""
        return int(self._session_s)

    def log_in(self, token: str, client: str) -> str | None:
        """Return a new session's secret, None for a wrong token; raises TooManyAttemptsError."""
        if self._token is None:
            return None
        self._logins.check(client)
        if not hmac.compare_digest(_digest(token), self._token):
            self._logins.add_failure(client)
            return None
        secret = secrets.token_urlsafe(32)
        self._sessions[_digest(secret)] = self._clock() + self._session_s
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return secret

    def log_out(self, secret: str) -> None:
        """End a session if it exists."""
        self._sessions.pop(_digest(secret), None)

    def is_valid(self, grant: Grant) -> bool:
        """Return whether a grant is still valid: its session has neither expired nor ended."""
        if grant.method != "session":
            return True
        until = self._sessions.get(grant.session)
        if until is not None and until <= self._clock():
            del self._sessions[grant.session]
            return False
        return until is not None

    def authenticate(
        self,
        headers: Mapping[str, str],
        cookie: str | None,
        client: str | None,
        *,
        basic: bool = False,
    ) -> Grant | None:
        """Return the grant of a request with these headers, None if it has none.

        With `basic` the token may also be the password of Basic authentication, with any user name.
        Raises TooManyAttemptsError for a wrong token after too many others from that address; the
        right one is always accepted: a program with an old token must not lock out its neighbours.
        """
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if self._token is None:
            return Grant("open") if _is_loopback(client) and not _is_proxied(headers) else None
        token = given.strip() if scheme.lower() == "bearer" else None
        if basic and scheme.lower() == "basic":
            token = _password(given)
        if token is not None:
            if hmac.compare_digest(_digest(token), self._token):
                return Grant("token")
            self._bearers.check(client or "")
            self._bearers.add_failure(client or "")
            return None
        if cookie:
            grant = Grant("session", _digest(cookie))
            return grant if self.is_valid(grant) else None
        return None

    def is_known_host(self, host: str) -> bool:
        """Return whether a Host header names this server.

        A foreign page whose name was made to resolve to this server (DNS rebinding) sends its own
        name; a numeric address never depends on name resolution.
        """
        name = host_name(host)
        if name is None:
            return False
        try:
            address = ip_address(name)
        except ValueError:
            return name in self._names and (self._token is not None or name == "localhost")
        return address.is_loopback or not self._loopback_only


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Return whether a request comes from a page of this server, by its Origin headers.

    True without an Origin header: only browsers send one.
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    scheme, _, place = origin.partition("://")
    usual = {"http": ":80", "https": ":443"}.get(scheme)
    if usual is None:
        return False
    host = headers.get("host", "").lower()
    return place.lower().removesuffix(usual) == host.removesuffix(usual)


def host_name(host: str) -> str | None:
    """Return the host name or address in a Host header, in lower case; None if invalid."""
    host = host.strip().lower()
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        return name if bracket and (not port or _is_port(port)) else None
    name, colon, port = host.partition(":")
    if not name or (colon and not _is_port(f":{port}")):
        return None
    return name.removesuffix(".")


def _password(given: str) -> str:
    """Return the password of Basic authentication (RFC 7617), "" if it cannot be decoded."""
    try:
        login = base64.b64decode(given.strip(), validate=True).decode("utf-8")
    except ValueError:
        return ""
    return login.partition(":")[2]


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isascii() and text[1:].isdigit()


def _is_loopback(client: str | None) -> bool:
    try:
        address = ip_address((client or "").partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _is_proxied(headers: Mapping[str, str]) -> bool:
    """Return whether a proxy forwarded the request: its client may be on another machine."""
    return any(name in headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via"))


def client_network(client: str) -> str:
    """Return the network that counts as one client: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client[:64]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return address.exploded[:19]
    return str(address)


def _digest(text: str) -> bytes:
    """Return the SHA-256 digest of a secret: of fixed length for comparing, and safe to store."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
