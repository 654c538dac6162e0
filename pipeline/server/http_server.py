"""HttpServer: uvicorn on a thread of its own, its sockets and TLS certificate."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import uvicorn

from pipeline.config.web import WebOptions
from pipeline.core.errors import ConfigError
from pipeline.core.worker import Fail, Worker
from pipeline.server.request_timeout import REQUEST_S, timeout_protocol
from pipeline.server.security import SecurityMiddleware
from pipeline.server.viewers.jpeg_encoder import lower_thread_priority

log = logging.getLogger("trackline")

STOP_TIMEOUT_S = 2.0
MAX_MESSAGE_BYTES = 64 * 1024
_SEND_BUFFER_BYTES = 256 * 1024
_TCP_USER_TIMEOUT_MS = 60_000
_MUTED_BELOW = {"uvicorn.error": logging.CRITICAL, "asyncio": logging.ERROR}
"""Library log messages are about disconnected viewers, except this one."""
_SPARE_CONNECTIONS = 64
"""Connections beyond the protocol's own limit before uvicorn answers requests with 503."""


class HttpServer:
    """The HTTP server of the page: listens from `__init__` on, serves from `start` to `stop`."""

    def __init__(
        self, app: SecurityMiddleware, options: WebOptions, request_s: float = REQUEST_S
    ) -> None:
        _check_certificate(options)
        self._socket = _listen(options)
        self._options = options
        max_connections = options.viewers * 4 + 64
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=timeout_protocol(request_s, max_connections, options.proxies),
                lifespan="on",
                log_config=None,
                log_level=None,
                server_header=False,
                proxy_headers=bool(options.proxies),
                forwarded_allow_ips=list(options.proxies),
                timeout_graceful_shutdown=1,
                timeout_keep_alive=30,
                limit_concurrency=max_connections + _SPARE_CONNECTIONS,
                ws="websockets-sansio",
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,  # pictures are compressed already
                ssl_certfile=options.certificate,
                ssl_keyfile=options.key,
            )
        )
        self._worker = Worker("page", self._serve, lambda: None)

    @property
    def address(self) -> str:
        """Return the URL of the page for a browser on this machine."""
        host, port = self._socket.getsockname()[:2]
        if ip_address(host).is_unspecified:
            host = "127.0.0.1"
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._options.certificate else 'http'}://{shown}:{port}"

    def start(self, fail: Fail | None = None) -> None:
        """Start serving; `fail` is called with the error if the server fails."""
        self._worker.start(fail or _log_failure)

    @property
    def ended(self) -> bool:
        """Return whether the thread has ended."""
        return self._worker.join(0)

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._server.should_exit = True
        if not self._worker.join(STOP_TIMEOUT_S + 1):
            log.warning("page: still busy; left behind")
        self._socket.close()

    def _serve(self) -> None:
        lower_thread_priority()
        with _muted_thread():
            asyncio.run(self._server.serve(sockets=[self._socket]))


@contextmanager
def _muted_thread() -> Iterator[None]:
    """Drop library log messages on this thread; other threads log as before."""
    here = threading.get_ident()

    def passing(level: int) -> Callable[[logging.LogRecord], bool]:
        return lambda record: record.thread != here or record.levelno >= level

    filters = [(logging.getLogger(name), passing(level)) for name, level in _MUTED_BELOW.items()]
    for logger, each in filters:
        logger.addFilter(each)
    try:
        yield
    finally:
        for logger, each in filters:
            logger.removeFilter(each)


def _listen(options: WebOptions) -> socket.socket:
    """Return a listening socket; raises ConfigError for an address that cannot be bound."""
    host = "127.0.0.1" if options.host == "localhost" else options.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A small send buffer: a viewer would see old boxes after a pause otherwise.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TCP_USER_TIMEOUT_MS)
        listener.bind((host, options.port))
        listener.listen(1024)  # many connections at once must not fill the backlog
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        hint = "; choose another with --port" if error.errno == errno.EADDRINUSE else ""
        raise ConfigError(f"web: cannot listen on {host}:{options.port}: {reason}{hint}") from None
    return listener


def _check_certificate(options: WebOptions) -> None:
    if options.certificate is None or options.key is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            options.certificate, options.key
        )
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"web.certificate: {options.certificate}: {error}") from None


def _log_failure(error: BaseException) -> None:
    log.error("page: %s: %s", type(error).__name__, error)
