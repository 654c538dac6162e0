"""TLS before any server on loopback, with certificates that the `openssl` command makes."""

from __future__ import annotations

import random
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from support.programs import program


@dataclass(frozen=True)
class Identity:
    """A key and the self-signed certificate for it, which is its own authority."""

    certificate: Path
    key: Path


@dataclass
class Stranger:
    """Who answers in a server's place from connection number `after` on, and what he was told."""

    shown: Identity
    after: int
    connections: int = 0
    heard: bytearray = field(default_factory=bytearray)


def identity(folder: Path, names: str, *, authority: bool = True, days: int = 1) -> Identity:
    """Make a certificate for `names`, as in "IP:127.0.0.1,DNS:camera"; -1 day: it has run out."""
    made = Identity(folder / "certificate.pem", folder / "key.pem")
    request = folder / "request.pem"
    is_authority = f"basicConstraints=critical,CA:{str(authority).upper()}"
    _openssl(
        "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", f"/CN=camera {random.getrandbits(64):x}",
        "-addext", f"subjectAltName={names}", "-addext", is_authority,
        "-keyout", str(made.key), "-out", str(request),
    )  # fmt: skip
    _openssl(
        "x509", "-req", "-in", str(request), "-signkey", str(made.key), "-days", str(days),
        "-copy_extensions", "copy", "-out", str(made.certificate),
    )  # fmt: skip
    return made


def _openssl(*told: str) -> None:
    subprocess.run([program("openssl"), *told], check=True, capture_output=True)


@contextmanager
def tls_before(port: int, shown: Identity, later: Stranger | None = None) -> Iterator[int]:
    """Take TLS connections for the plain server on `port` of loopback; yield the port for them.

    What stands in the files of `shown` at that moment is what a connection is shown.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    pairs: list[socket.socket] = []

    def accept() -> None:
        for number in count():
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            stranger = later if later is not None and number >= later.after else None
            threading.Thread(target=serve, args=(plain, stranger), daemon=True).start()

    def serve(plain: socket.socket, stranger: Stranger | None) -> None:
        plain.settimeout(30)
        if stranger is not None:
            stranger.connections += 1
        who = shown if stranger is None else stranger.shown
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(who.certificate, who.key)
        with suppress(OSError), plain, context.wrap_socket(plain, server_side=True) as outer:
            inner = socket.create_connection(("127.0.0.1", port))
            pairs.extend((outer, inner))
            with inner:
                outer.settimeout(None)
                back = threading.Thread(target=_pass_on, args=(inner, outer), daemon=True)
                back.start()
                _pass_on(outer, inner, None if stranger is None else stranger.heard)
                back.join()

    thread = threading.Thread(target=accept, name="tls front", daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        for each in (listener, *pairs):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _pass_on(source: socket.socket, target: socket.socket, heard: bytearray | None = None) -> None:
    """Send what comes from one to the other until either is closed."""
    with suppress(OSError, ValueError):
        while data := source.recv(65536):
            if heard is not None:
                heard += data
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
