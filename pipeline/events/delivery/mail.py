"""Delivery of alerts by e-mail: SMTP with STARTTLS or TLS, the thumbnail in the mail."""

from __future__ import annotations

import html
import logging
import smtplib
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.events.alerts.options import EMAIL, EmailOptions
from pipeline.events.delivery.http_post import Deadline, cut
from pipeline.events.delivery.outbox import Message
from pipeline.events.delivery.worker import Outcome

log = logging.getLogger("trackline")

PORTS = {"starttls": 587, "tls": 465, "none": 25}
_PICTURE_ID = "thumbnail@trackline"


class Mail:
    """A mail server to which each alert is sent as a mail; `send` ends within `timeout_s`."""

    def __init__(self, options: EmailOptions, where: str) -> None:
        self.name = EMAIL
        self.problem = ""  # unknown until a mail is sent
        self._options = options
        self._port = options.port or PORTS[options.security]
        self.address = f"{options.host}:{self._port}"
        self._deadline = Deadline(options.timeout_s)
        self._context = None if options.security == "none" else _context(options, where)

    def ready(self) -> bool:
        """Return True: a connection is made for each mail."""
        return True

    def send(self, message: Message) -> Outcome:
        """Send the mail and return the meaning of the server's answer."""
        link = _Link(self._options, self._context)
        with self._deadline.watching(lambda: cut(link.sock)) as is_over:
            try:
                return self._exchange(link, mail_of(message, self._options))
            except smtplib.SMTPAuthenticationError as error:
                # A wrong password may be corrected later; the alert waits for that.
                return Outcome("again", f"sign-in is refused: {_reply(error)}")
            except smtplib.SMTPRecipientsRefused as error:
                return _outcome_of_refusals(error.recipients)
            except smtplib.SMTPResponseException as error:
                if is_over():  # the reply may be half of one
                    return self._deadline.outcome(error, is_over=True)
                return Outcome("refused" if _is_final(error) else "again", _reply(error))
            except smtplib.SMTPNotSupportedError as error:
                return Outcome(
                    "again", f"the server does not support the configured settings: {error}"
                )
            except ssl.SSLCertVerificationError as error:
                return Outcome("again", f"its certificate is not valid: {error.verify_message}")
            except smtplib.SMTPServerDisconnected:
                ended = TimeoutError() if is_over() else ConnectionResetError("it hung up")
                return self._deadline.outcome(ended, is_over=is_over())
            except (OSError, smtplib.SMTPException, UnicodeError) as error:
                return self._deadline.outcome(error, is_over=is_over())
            finally:
                link.close()

    def abort(self) -> None:
        """Cut the connection in progress."""
        self._deadline.abort()

    def _exchange(self, link: _Link, mail: EmailMessage) -> Outcome:
        options = self._options
        code, text = link.connect(options.host, self._port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        if options.security == "starttls":
            link.starttls(context=self._context)
        if options.username:
            link.login(options.username, options.password)
        refused = link.send_message(mail, options.sender, list(options.to))
        if refused:
            log.warning("alerts: e-mail: %d of %d addresses are refused: %s",
                        len(refused), len(options.to), _first_reply(refused))  # fmt: skip
        with suppress(smtplib.SMTPException, OSError):
            link.quit()
        return Outcome("delivered")


class _Link(smtplib.SMTP):
    """An SMTP connection, encrypted from the beginning with `security: tls`; not yet made.

    smtplib connects in its constructor, where it could not be cut, unless it gets no host there.
    """

    def __init__(self, options: EmailOptions, context: ssl.SSLContext | None) -> None:
        super().__init__(timeout=options.timeout_s)
        self._host = options.host  # what STARTTLS compares the certificate with
        self._tls_context = context if options.security == "tls" else None

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """Return the connected socket; smtplib's own place for it, as SMTP_SSL has it."""
        made = socket.create_connection((host, port), timeout)
        if self._tls_context is None:
            return made
        try:
            return self._tls_context.wrap_socket(made, server_hostname=host)
        except BaseException:
            made.close()
            raise


def mail_of(message: Message, options: EmailOptions) -> EmailMessage:
    """Return an alert as a mail: plain text, and HTML with the thumbnail in it."""
    mail = EmailMessage()
    mail["Subject"] = " ".join(f"{message.rule}: {message.text()}".split())
    mail["From"], mail["To"] = options.sender, ", ".join(options.to)
    mail["Date"] = format_datetime(localtime())
    mail["Message-ID"] = f"<{message.uid}@trackline>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers by machines
    link = message.visit_url if message.visit_url and "://" in message.visit_url else None
    lines = [message.text(), f"Rule: {message.rule}", *([link] if link else [])]
    mail.set_content("\n".join(lines) + "\n")
    picture = message.picture() if options.picture else None
    text, rule = html.escape(message.text()), html.escape(message.rule or "")
    shown = f'<img src="cid:{_PICTURE_ID}" alt="" style="max-width:100%">' if picture else ""
    if link:
        href = html.escape(link, quote=True)
        shown = f'<a href="{href}">{shown}</a>' if shown else shown
        shown += f'<p><a href="{href}">Open the visit</a></p>'
    mail.add_alternative(
        f"<!doctype html><html><body><p>{text}</p>{shown}<p>Rule: {rule}</p></body></html>\n",
        subtype="html",
    )
    if picture:
        parts: Any = mail.get_payload()
        parts[1].add_related(
            picture, "image", "jpeg", cid=f"<{_PICTURE_ID}>", filename="thumbnail.jpg",
            disposition="inline",
        )  # fmt: skip
    return mail


def _context(options: EmailOptions, where: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"{where}.ca_file: cannot be used: {reason}") from error


def _is_final(error: smtplib.SMTPResponseException) -> bool:
    """Return whether this mail is refused for good.

    A server that refuses all mails may be repaired.
    """
    return 500 <= error.smtp_code < 600 and not isinstance(error, smtplib.SMTPConnectError)


def _outcome_of_refusals(refused: dict[str, tuple[int, bytes]]) -> Outcome:
    """Return the outcome if every address is refused: for now, or for good."""
    is_for_now = any(400 <= code < 500 for code, _ in refused.values())
    return Outcome("again" if is_for_now else "refused", _first_reply(refused))


def _first_reply(refused: dict[str, tuple[int, bytes]]) -> str:
    code, text = next(iter(refused.values()))
    return _one_line(code, text)


def _reply(error: smtplib.SMTPResponseException) -> str:
    return _one_line(error.smtp_code, error.smtp_error)


def _one_line(code: int, text: bytes | str) -> str:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"SMTP {code} {' '.join(said.split())}"[:200].rstrip()
