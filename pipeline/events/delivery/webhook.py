"""Delivery to a webhook: each message in a signed HTTP POST request of its own.

With the standard library's `http.client`: it is there, follows no redirect by itself, and hands out
its socket, so that a server which drips a byte a second cannot hold a request for ever. A client
library would only bring a connection pool, which is of no use where each
attempt must be known.

Headers follow Standard Webhooks 1.0 (https://www.standardwebhooks.com): `webhook-id`,
`webhook-timestamp` and `webhook-signature`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import socket
import threading
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit

from pipeline.core.errors import ConfigError, system_reason
from pipeline.core.secret_types import hidden_address
from pipeline.events.delivery.options import WebhookOptions
from pipeline.events.delivery.outbox import MAX_RETRY_AFTER_S, Message
from pipeline.events.delivery.worker import Outcome

RETRIED_STATUSES = frozenset((408, 425, 429))
"""HTTP statuses below 500 after which a retry makes sense."""
_PREFIX = "whsec_"


class Webhook:
    """One address. `send` takes at most `timeout_s`, and follows no redirect."""

    def __init__(self, options: WebhookOptions, where: str) -> None:
        self.name = name_of(options)
        self.address = hidden_address(options.url)
        self.problem = ""  # unknown until a request is made
        self._timeout_s = options.timeout_s
        self._url = _checked(options.url, where)
        self._key = _key(options.secret, where)
        self._fixed = _fixed_headers(self._url, options.authorization, where)
        self._connection: HTTPConnection | None = None
        self._lock = threading.Lock()

    def ready(self) -> bool:
        """Return True: a webhook has no connection to wait for."""
        return True

    def send(self, message: Message) -> Outcome:
        """Post the message and say what the answer means."""
        body = json.dumps(message.as_dict(), ensure_ascii=False).encode()
        uid = message.uid
        headers = {
            **self._fixed,
            **signature(self._key, uid, int(time.time()), body),
            "Idempotency-Key": uid,
            "Trackline-Attempt": str(message.attempt),
        }
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=self._timeout_s)
        with self._lock:
            self._connection = connection
        watch = threading.Timer(self._timeout_s, _cut, [connection])
        watch.daemon = True
        watch.start()
        try:
            path = self._url.path or "/"
            path = f"{path}?{self._url.query}" if self._url.query else path
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return outcome_of(answer.status, answer.getheader("Retry-After"), time.time())
        except TimeoutError:
            return Outcome("again", f"no answer within {self._timeout_s:g} s")
        except (OSError, HTTPException) as error:
            if not watch.is_alive():
                return Outcome("again", f"no answer within {self._timeout_s:g} s")
            reason = system_reason(error) or type(error).__name__
            return Outcome("again", f"cannot be reached: {reason}")
        finally:
            watch.cancel()
            with self._lock:
                self._connection = None
            connection.close()

    def abort(self) -> None:
        """Cut the request that is under way."""
        with self._lock:
            if self._connection is not None:
                _cut(self._connection)


def name_of(options: WebhookOptions) -> str:
    """Return the target's name: the same after a restart, and nothing secret."""
    digest = hashlib.sha256(options.url.encode()).hexdigest()
    return f"webhook:{options.name or digest[:12]}"


def signature(key: bytes, uid: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks; without a key those that are not signed.

    The signature is base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`, after "v1,".
    """
    headers = {"webhook-id": uid, "webhook-timestamp": str(timestamp)}
    if key:
        signed = hmac.digest(key, f"{uid}.{timestamp}.".encode() + body, hashlib.sha256)
        headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
    return headers


def outcome_of(status: int, wait: str | None, now: float) -> Outcome:
    """Return what an HTTP answer means for the event; `wait` is its Retry-After header."""
    if 200 <= status < 300:
        return Outcome("delivered")
    if 300 <= status < 400:
        return Outcome(
            "refused", f"HTTP {status}: redirects are not followed, give its new address"
        )
    if status >= 500 or status in RETRIED_STATUSES:
        return Outcome("again", f"HTTP {status}", retry_after(wait, now))
    return Outcome("refused", f"HTTP {status}")


def retry_after(text: str | None, now: float) -> float | None:
    """Return the seconds a Retry-After header asks for (RFC 9110, 10.2.3), an hour at most."""
    if text is None:
        return None
    if text.strip().isdecimal():
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except ValueError:
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _cut(connection: HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _checked(url: str, where: str) -> SplitResult:
    """Return the parts of the address; raises ConfigError that does not show it."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = None
    if not fine or any(not 32 < ord(letter) < 127 for letter in url):
        raise ConfigError(f"{where}.url: want http://HOST/... or https://HOST/... in ASCII")
    return parts


def _key(secret: str, where: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ConfigError(f"{where}.secret: what follows {_PREFIX} is not base64") from None


def _fixed_headers(url: SplitResult, authorization: str, where: str) -> dict[str, str]:
    if any(not 31 < ord(letter) < 127 for letter in authorization):
        raise ConfigError(f"{where}.authorization: want one line of ASCII")
    if not authorization and url.username:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
        authorization = f"Basic {base64.b64encode(pair).decode()}"
    headers = {"Content-Type": "application/json", "User-Agent": "Trackline"}
    return {**headers, "Authorization": authorization} if authorization else headers
