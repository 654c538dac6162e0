"""Delivery of alerts to browsers: Web Push (RFC 8030), encrypted (RFC 8291), signed (RFC 8292).

Encryption is `http_ece`, signatures are `py_vapid`; the request is `http_post`, as a push service's
address comes from a browser: it is resolved here, and only a public address is connected to.
`pywebpush` would do all of this, but neither hold the connection to the checked address nor work
without requests and aiohttp.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import logging
import re
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pipeline.core.backoff import retry_delay_s
from pipeline.core.errors import MissingExtraError, StoreError
from pipeline.core.install_hints import install_command
from pipeline.events.alerts.options import WEB_PUSH, WebPushOptions
from pipeline.events.delivery.http_post import HttpPost
from pipeline.events.delivery.outbox import Message
from pipeline.events.delivery.worker import Outcome
from pipeline.events.store.store import EventStore
from pipeline.events.store.subscriptions import (
    Subscription,
    add_subscription,
    all_subscriptions,
    remove_subscription,
    signing_key,
)

log = logging.getLogger("trackline")

MAX_ENDPOINT = 1000
"""Maximum length of a push service's address, in characters."""
TTL_S = 12 * 3600
"""How long a push service keeps a message for an offline browser."""
MAX_TEXT = 500
_SIGNED_S = 12 * 3600
_GONE = (404, 410)
_REMEMBERED = 10_000
_FAILURES_IN_ORDER = 3
"""Failures in a row after which a browser is skipped for a while."""
_FIRST_REST_S, _MAX_REST_S = 1.0, 60.0
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?")
_P256_POINT, _AUTH_BYTES = 65, 16


class _Rest(NamedTuple):
    """A browser with a failing push service: failures in a row, and until when it is skipped."""

    failures: int
    until: float  # monotonic
    outcome: Outcome


class WebPush:
    """All browsers with notifications enabled; each alert is sent to every one of them.

    A browser unknown to its push service is removed. If some could not be reached, the alert is
    resent to those for 12 hours, but not to the others, which get the next alerts in the meantime.
    """

    def __init__(self, options: WebPushOptions, store: EventStore) -> None:
        check_extra()
        self.name = WEB_PUSH
        self.address = "push services of browsers"
        self.problem = ""
        self._options = options
        self._store = store
        self._post = HttpPost(options.timeout_s)
        # When a message was first sent (monotonic), and the browsers that have it.
        self._done: OrderedDict[int, tuple[float, set[int]]] = OrderedDict()
        self._rests: dict[int, _Rest] = {}  # by browser

    def ready(self) -> bool:
        """Return True: there is no connection to wait for."""
        return True

    def public_key(self) -> str:
        """Return the key that browsers subscribe with, base64url; raises StoreError."""
        return _public_key(self._signer())

    def browsers(self) -> int:
        """Return the number of subscribed browsers; raises StoreError."""
        return len(all_subscriptions(self._store))

    def subscribe(self, endpoint: str, p256dh: str, auth: str, label: str) -> None:
        """Subscribe a browser; raises ValueError, StoreError."""
        checked_endpoint(endpoint, private=self._options.private_services)
        checked_keys(p256dh, auth)
        add_subscription(self._store, endpoint, p256dh, auth, label)

    def unsubscribe(self, endpoint: str) -> bool:
        """Unsubscribe a browser; return whether it was known. Raises StoreError."""
        return remove_subscription(self._store, endpoint)

    def send(self, message: Message) -> Outcome:
        """Send the alert to every browser that does not have it yet."""
        try:
            browsers = all_subscriptions(self._store)
            signer = self._signer()
        except StoreError as error:
            return Outcome("again", str(error))
        first_at, done = time.monotonic(), set[int]()
        if message.id:
            first_at, done = self._done.setdefault(message.id, (first_at, done))
        self._rests = {one.id: self._rests[one.id] for one in browsers if one.id in self._rests}
        payload = payload_of(message)
        outcomes = []
        for one in browsers:
            if one.id in done:
                continue
            outcome = self._send_unless_resting(one, payload, signer)
            outcomes.append(outcome)
            if outcome.kind != "again":
                done.add(one.id)
        result = _summary(outcomes, is_partly_done=bool(done))
        if result.is_partial and time.monotonic() - first_at > TTL_S:
            result = Outcome("delivered")  # to those that can be reached
        if result.kind != "again":
            self._done.pop(message.id, None)
        while len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)
        return result

    def abort(self) -> None:
        """Cut the request in progress."""
        self._post.abort()

    def _send_unless_resting(self, one: Subscription, payload: bytes, signer: Any) -> Outcome:
        """Send, unless a push service failed recently: it must not delay other browsers."""
        rest, now = self._rests.get(one.id), time.monotonic()
        if rest is not None and now < rest.until:
            return replace(rest.outcome, after_s=rest.until - now)
        outcome = self._send_to(one, payload, signer)
        if outcome.kind != "again":
            self._rests.pop(one.id, None)
            return outcome
        failures = 1 if rest is None else rest.failures + 1
        pause = outcome.after_s or 0.0
        if outcome.after_s is None and failures >= _FAILURES_IN_ORDER:
            pause = retry_delay_s(failures, _FIRST_REST_S, _MAX_REST_S)
        self._rests[one.id] = _Rest(failures, time.monotonic() + pause, outcome)
        return outcome

    def _send_to(self, one: Subscription, payload: bytes, signer: Any) -> Outcome:
        try:
            url = checked_endpoint(one.endpoint, private=self._options.private_services)
            addresses = _addresses(url, private=self._options.private_services)
            body = encrypted(payload, one.p256dh, one.auth)
        except (ValueError, binascii.Error) as error:
            return Outcome("refused", str(error))
        except OSError as error:
            return Outcome("again", f"{urlsplit(one.endpoint).hostname}: {error.strerror}")
        claims = {
            "aud": f"{url.scheme}://{url.netloc}",
            "exp": int(time.time()) + _SIGNED_S,
            "sub": self._options.contact,
        }
        headers = {
            **signer.sign(claims),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(TTL_S),
            "Urgency": "high",
        }
        path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
        outcome = self._post.send(_Connection(url, addresses), path, body, headers)
        if outcome.status in _GONE:
            log.info("alerts: a browser (%s) has switched notifications off", one.label)
            try:
                remove_subscription(self._store, one.endpoint)
            except StoreError as error:
                log.debug("alerts: %s", error)  # it is found gone again next time
        return outcome

    def _signer(self) -> Any:
        import py_vapid

        def make() -> str:
            fresh = py_vapid.Vapid02()
            fresh.generate_keys()
            return str(fresh.private_pem().decode())

        return py_vapid.Vapid02.from_pem(signing_key(self._store, make).encode())


class _Connection(HTTPConnection):
    """A connection to one of the addresses that were checked, as the host of the URL."""

    def __init__(self, url: SplitResult, addresses: Sequence[str]) -> None:
        is_tls = url.scheme == "https"
        super().__init__(url.hostname or "", url.port or (443 if is_tls else 80))
        self._addresses = addresses
        self._context = ssl.create_default_context() if is_tls else None

    def connect(self) -> None:
        """Connect to the first address that answers; raises OSError."""
        problem: OSError = OSError("no address")
        until = time.monotonic() + (self.timeout or 0.0)
        for address in self._addresses:
            left_s = max(until - time.monotonic(), 0.01)  # of all addresses together
            try:
                self.sock = socket.create_connection((address, self.port), left_s)
                self.sock.settimeout(self.timeout)
                break
            except OSError as error:
                problem = error
                if time.monotonic() >= until:
                    raise
        else:
            raise problem
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)


def check_extra() -> None:
    """Raise MissingExtraError unless the packages of web push are installed."""
    try:
        import http_ece  # noqa: F401
        import py_vapid  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"alerts.web_push: needs http-ece and py-vapid: {install_command('web-push')}"
        ) from error


def payload_of(message: Message) -> bytes:
    """Return the payload for the page's service worker, which makes a notification of it."""
    about = {
        "title": message.rule,
        "text": message.text()[:MAX_TEXT],
        "tag": message.uid,
        "visit": message.event.visit if message.event.id else None,
        "picture": message.thumbnail is not None,
    }
    return json.dumps(about, ensure_ascii=False).encode()


def encrypted(payload: bytes, p256dh: str, auth: str) -> bytes:
    """Return a payload that only the browser with these keys can decrypt (RFC 8291, aes128gcm)."""
    import http_ece
    from cryptography.hazmat.primitives.asymmetric import ec

    point, secret = checked_keys(p256dh, auth)
    ours = ec.generate_private_key(ec.SECP256R1())
    made: bytes = http_ece.encrypt(
        payload, private_key=ours, dh=point, auth_secret=secret, version="aes128gcm"
    )
    return made


def checked_keys(p256dh: str, auth: str) -> tuple[bytes, bytes]:
    """Return a browser's public key and secret, of base64url; raises ValueError."""
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        point, secret = _bytes_of(p256dh), _bytes_of(auth)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        point, secret = b"", b""
    if len(point) != _P256_POINT or len(secret) != _AUTH_BYTES:
        raise ValueError("keys: want p256dh and auth as the browser gives them")
    return point, secret


def checked_endpoint(endpoint: str, *, private: bool) -> SplitResult:
    """Return the parts of a push service's address; raises ValueError for an invalid one.

    https only; with `private` http too, and addresses in a private network.
    """
    want = "endpoint: want https://HOST/... of a push service"
    try:
        url = urlsplit(endpoint)
        port = url.port
    except ValueError:
        raise ValueError(want) from None
    fine = url.scheme == "https" or (private and url.scheme == "http")
    plain = all(32 < ord(letter) < 127 for letter in endpoint) and len(endpoint) <= MAX_ENDPOINT
    # No signature can name an address of IPv6, or a port that is not there.
    named = _HOST.fullmatch(url.netloc.lower())
    if not (fine and plain and named) or url.fragment or port == 0:
        raise ValueError(want)
    if not private:
        try:
            address = ipaddress.ip_address(url.hostname or "")
        except ValueError:
            return url  # a name, which is resolved when it is connected to
        if not _is_public(address):
            raise ValueError(f"endpoint: {url.hostname} is not a public address")
    return url


def _addresses(url: SplitResult, *, private: bool) -> list[str]:
    """Return the addresses of a push service; raises ValueError if one is not public."""
    host = url.hostname or ""
    found = socket.getaddrinfo(host, url.port or 443, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    if not private and not all(_is_public(ipaddress.ip_address(one)) for one in addresses):
        raise ValueError(f"endpoint: {host} is not at a public address")
    return addresses


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            address = inner
    return address.is_global and not address.is_multicast


def _summary(outcomes: Sequence[Outcome], *, is_partly_done: bool) -> Outcome:
    """Return the outcome of an alert, from the outcomes at each browser."""
    for kind in ("again", "delivered", "refused"):
        found = [one for one in outcomes if one.kind == kind and one.status not in _GONE]
        if found:
            waits = [one.after_s for one in found if one.after_s is not None]
            after_s = min(waits) if len(waits) == len(found) else None
            is_partial = kind == "again" and is_partly_done
            return Outcome(found[0].kind, found[0].problem, after_s, is_partial=is_partial)
    if is_partly_done and not outcomes:
        return Outcome("delivered")
    return Outcome("refused", "no browser has switched notifications on")


def _public_key(signer: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point = signer.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).decode().rstrip("=")


def _bytes_of(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
