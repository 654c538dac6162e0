"""Delivery to a webhook: each message in a signed HTTP POST request of its own.

Headers follow Standard Webhooks 1.0 (https://www.standardwebhooks.com): `webhook-id`,
`webhook-timestamp` and `webhook-signature`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit

from pipeline.core.errors import ConfigError
from pipeline.core.secret_types import hidden_address
from pipeline.events.delivery.http_post import HttpPost
from pipeline.events.delivery.options import HookOptions
from pipeline.events.delivery.outbox import Message
from pipeline.events.delivery.worker import Outcome

_PREFIX = "whsec_"


class Webhook:
    """One address. `send` takes at most `timeout_s`, and follows no redirect."""

    def __init__(self, options: HookOptions, where: str, kind: str = "webhook") -> None:
        self.name = name_of(options, kind)
        self.address = hidden_address(options.url)
        self.problem = ""  # unknown until a request is made
        self._url = _checked(options.url, where)
        self._key = _key(options.secret, where)
        self._fixed = _fixed_headers(self._url, options.authorization, where)
        self._post = HttpPost(options.timeout_s)

    def ready(self) -> bool:
        """Return True: a webhook has no connection to wait for."""
        return True

    def send(self, message: Message) -> Outcome:
        """Post the message and return the meaning of the answer."""
        body = json.dumps(message.as_dict(), ensure_ascii=False).encode()
        uid = message.uid
        headers = {
            **self._fixed,
            **signature(self._key, uid, int(time.time()), body),
            "Idempotency-Key": uid,
            "Trackline-Attempt": str(message.attempt),
        }
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port)
        path = self._url.path or "/"
        path = f"{path}?{self._url.query}" if self._url.query else path
        return self._post.send(connection, path, body, headers)

    def abort(self) -> None:
        """Cut the request in progress."""
        self._post.abort()


def name_of(options: HookOptions, kind: str = "webhook") -> str:
    """Return the target's name: stable over restarts, and without secrets."""
    digest = hashlib.sha256(options.url.encode()).hexdigest()
    return f"{kind}:{options.name or digest[:12]}"


def signature(key: bytes, uid: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks; without a key, without the signature.

    The signature is base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`, after "v1,".
    """
    headers = {"webhook-id": uid, "webhook-timestamp": str(timestamp)}
    if key:
        signed = hmac.digest(key, f"{uid}.{timestamp}.".encode() + body, hashlib.sha256)
        headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
    return headers


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
