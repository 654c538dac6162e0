"""A mail server on loopback: STARTTLS, TLS, sign-in, and every kind of bad answer."""

from __future__ import annotations

import base64
import email
import email.policy
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage

from support.event_servers import serving
from support.tls_front import Identity


@dataclass
class MailServer:
    """What it got, and how it answers: `replies` by command, once each, instead of the usual."""

    security: str = "none"
    shown: Identity | None = None
    login: tuple[str, str] | None = None
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    was_encrypted: list[bool] = field(default_factory=list)
    replies: dict[str, list[str]] = field(default_factory=dict)
    port: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def context(self) -> ssl.SSLContext:
        assert self.shown is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.shown.certificate, self.shown.key)
        return context

    def reply(self, command: str, usual: str) -> str:
        waiting = self.replies.get(command)
        return waiting.pop(0) if waiting else usual


class _Handler(socketserver.StreamRequestHandler):
    server_state: MailServer

    def handle(self) -> None:
        with suppress(OSError, ssl.SSLError):
            self._converse()

    def _converse(self) -> None:
        state = self.server_state
        self._is_encrypted = False
        self._signed_in = state.login is None
        if state.security == "tls":
            self._encrypt()
        if not self._say(state.reply("CONNECT", "220 mail.test ready")):
            return
        while line := self.rfile.readline().decode().strip():
            command = line.split()[0].upper()
            answer = getattr(self, f"do_{command.lower()}", lambda _: "502 what?")(line)
            if not self._say(state.reply(command, answer)) or command == "QUIT":
                return
            if command == "STARTTLS" and answer.startswith("220"):
                self._encrypt()
            if command == "DATA" and answer.startswith("354"):
                self._take_mail()

    def _say(self, answer: str) -> bool:
        """Send an answer; "hang" and "drip" never end, "drop" closes the connection."""
        if answer == "drop":
            return False
        while answer in ("hang", "drip"):
            if self.server_state.released.wait(0.1):
                return False
            if answer == "drip":
                self.wfile.write(b"2")
        self.wfile.write(f"{answer}\r\n".encode())
        return True

    def _encrypt(self) -> None:
        made = self.server_state.context().wrap_socket(self.connection, server_side=True)
        self.connection = self.request = made
        self.rfile, self.wfile = made.makefile("rb"), made.makefile("wb", 0)  # type: ignore[assignment]
        self._is_encrypted = True

    def do_ehlo(self, line: str) -> str:
        offers = ["mail.test", "SIZE 1000000"]
        if self.server_state.security == "starttls" and not self._is_encrypted:
            offers.append("STARTTLS")
        if self.server_state.login is not None:
            offers.append("AUTH PLAIN")
        *first, last = offers
        return "".join(f"250-{each}\r\n" for each in first) + f"250 {last}"

    def do_starttls(self, line: str) -> str:
        return "220 go ahead"

    def do_auth(self, line: str) -> str:
        _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
        self._signed_in = (user, password) == self.server_state.login
        return "235 welcome" if self._signed_in else "535 5.7.8 wrong password"

    def do_mail(self, line: str) -> str:
        return "250 ok" if self._signed_in else "530 sign in first"

    def do_rcpt(self, line: str) -> str:
        self.server_state.recipients.append(line.partition("<")[2].rstrip(">"))
        return "250 ok"

    def do_data(self, line: str) -> str:
        return "354 end with a dot"

    def do_rset(self, line: str) -> str:
        return "250 ok"

    def do_quit(self, line: str) -> str:
        return "221 bye"

    def _take_mail(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        answer = self.server_state.reply("MAIL-END", "250 taken")
        if answer.startswith("250"):
            got = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
            assert isinstance(got, EmailMessage)
            self.server_state.mails.append(got)
            self.server_state.was_encrypted.append(self._is_encrypted)
        self._say(answer)


@contextmanager
def mail_server(port: int = 0, **values: object) -> Iterator[MailServer]:
    state = MailServer(**values)  # type: ignore[arg-type]
    handler = type("Handler", (_Handler,), {"server_state": state})

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

    server = Server(("127.0.0.1", port), handler)
    state.port = server.server_address[1]
    with serving(server, state.released):
        yield state
