"""Alerts by e-mail to a real mail server: encryption, sign-in, refusals, servers that hang."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.event_results import event, result, run_info
from support.event_servers import eventually, free_port
from support.mail_server import MailServer, mail_server
from support.tls_front import Identity, identity

from pipeline.core.errors import ConfigError
from pipeline.events.alerts.options import AlertOptions, EmailOptions
from pipeline.events.delivery.mail import Mail, mail_of
from pipeline.events.delivery.outbox import Message, Outbox
from pipeline.events.store.records import StoredEvent
from pipeline.sinks import events as plugin

JPEG = b"\xff\xd8 a picture \xff\xd9"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1")


def options(port: int, **values: Any) -> EmailOptions:
    usual = {
        "host": "127.0.0.1", "port": port, "security": "none", "sender": "cams@example.org",
        "to": ["me@example.org", "you@example.org"], "timeout_s": 5,
    }  # fmt: skip
    return EmailOptions.model_validate({**usual, **values})


def message(**values: Any) -> Message:
    happened = StoredEvent(
        id=3, uid="a" * 32, time=1e9, kind="enter", camera="front <b>door</b>", area="lawn",
        direction="", track_id=1, class_name="person\nBcc: everyone@example.org", dwell_s=0,
        index=0, pts_s=0, xyxy=(0, 0, 0, 0), clip=True, visit=7,
    )  # fmt: skip
    usual = {"visit_url": "https://cams.example.org/#visit/7"}
    return Message(1, 1, happened, "alert:Nächtlicher Besuch", **{**usual, **values})


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_a_mail_has_the_picture_the_link_and_nothing_of_a_stranger(
    tmp_path: Path, shown: Identity, security: str
) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(JPEG)
    login = None if security == "none" else ("user", "secret word")
    more = {} if login is None else {"username": login[0], "password": login[1]}
    ca = {} if security == "none" else {"ca_file": shown.certificate}
    with mail_server(security=security, shown=shown, login=login) as server:
        target = Mail(options(server.port, security=security, **ca, **more), "alerts.email")
        assert target.send(message(thumbnail=picture)).kind == "delivered"
    (mail,) = server.mails
    assert server.was_encrypted == [security != "none"]
    assert server.recipients == ["me@example.org", "you@example.org"]
    assert mail["Subject"].startswith(
        "Nächtlicher Besuch: person Bcc: everyone@example.org entered"
    )
    assert mail["Bcc"] is None
    plain, rich = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert "https://cams.example.org/#visit/7" in plain.get_content()
    page = rich.get_content()
    assert 'href="https://cams.example.org/#visit/7"' in page
    assert "front &lt;b&gt;door&lt;/b&gt;" in page
    (jpeg,) = (part for part in mail.walk() if part.get_content_type() == "image/jpeg")
    assert jpeg.get_content() == JPEG
    assert f"cid:{jpeg['Content-ID'].strip('<>')}" in page


def test_without_an_address_of_the_page_there_is_no_link_and_a_picture_may_be_left_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "p.jpg").write_bytes(JPEG)
    one = message(visit_url="/#visit/7", thumbnail=tmp_path / "p.jpg")
    made = mail_of(one, options(1, picture=False))
    assert "href" not in made.as_string()
    assert "image/jpeg" not in made.as_string()
    gone = mail_of(dataclasses.replace(one, thumbnail=tmp_path / "gone.jpg"), options(1))
    assert "image/jpeg" not in gone.as_string(), "retention was quicker"


@pytest.mark.parametrize(
    ("replies", "kind", "problem"),
    [
        ({"CONNECT": ["554 go away"]}, "again", "SMTP 554 go away"),
        ({"CONNECT": ["421 too busy"]}, "again", "SMTP 421 too busy"),
        ({"MAIL": ["451 try later"]}, "again", "SMTP 451"),
        ({"MAIL": ["550 no such sender"]}, "refused", "SMTP 550 no such sender"),
        ({"RCPT": ["550 unknown", "550 unknown"]}, "refused", "SMTP 550 unknown"),
        ({"RCPT": ["450 grey list", "550 unknown"]}, "again", "SMTP 450 grey list"),
        ({"RCPT": ["550 unknown"]}, "delivered", ""),
        ({"DATA": ["552 too large"]}, "refused", "SMTP 552"),
        ({"MAIL-END": ["452 disk full"]}, "again", "SMTP 452"),
        ({"MAIL-END": ["554 spam"]}, "refused", "SMTP 554 spam"),
        ({"MAIL": ["drop"]}, "again", "cannot be reached"),
        ({"QUIT": ["drop"]}, "delivered", ""),
    ],
)
def test_what_an_answer_means(replies: dict[str, list[str]], kind: str, problem: str) -> None:
    with mail_server(replies=replies) as server:
        outcome = Mail(options(server.port), "alerts.email").send(message())
    assert outcome.kind == kind
    assert problem in outcome.problem


@pytest.mark.parametrize("command", ["CONNECT", "EHLO", "MAIL-END"])
@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_server_that_hangs_or_drips_ends_in_time(how: str, command: str) -> None:
    with mail_server(replies={command: [how]}) as server:
        outcome = Mail(options(server.port, timeout_s=0.3), "alerts.email").send(message())
    assert (outcome.kind, outcome.problem) == ("again", "no answer within 0.3 s")


def test_a_password_is_never_sent_readably_nor_to_a_stranger(shown: Identity) -> None:
    wanted = {"security": "starttls", "username": "u", "password": "p"}
    with mail_server(security="none", login=("u", "p")) as server:  # somebody took STARTTLS away
        outcome = Mail(options(server.port, **wanted), "alerts.email").send(message())
        assert (outcome.kind, server.mails) == ("again", [])
        assert "STARTTLS" in outcome.problem
    for security in ("starttls", "tls"):
        with mail_server(security=security, shown=shown, login=("u", "p")) as server:
            target = Mail(options(server.port, **{**wanted, "security": security}), "alerts.email")
            outcome = target.send(message())
            assert (outcome.kind, server.mails) == ("again", [])
            assert "certificate is not valid" in outcome.problem


def test_a_wrong_password_waits_for_the_right_one(shown: Identity) -> None:
    with mail_server(security="tls", shown=shown, login=("u", "right")) as server:
        wanted = options(
            server.port, security="tls", ca_file=shown.certificate, username="u", password="wrong"
        )
        outcome = Mail(wanted, "alerts.email").send(message())
    assert (outcome.kind, outcome.problem) == (
        "again",
        "sign-in is refused: SMTP 535 5.7.8 wrong password",
    )


@pytest.mark.parametrize(
    ("address", "fine"),
    [("me+cams=x@example.org", True), ("mé@exämple.org", True), ("me", False), ("a@b\n", False),
     ("a@[b", False), ("a(@b", False), ("=?utf-8?q?=0a?=@b", False), ("<a@b>", False)],
)  # fmt: skip
def test_addresses_that_no_header_can_hold_are_refused(address: str, fine: bool) -> None:
    """The first alert to one such ended the whole run."""
    for values in ({"to": [address]}, {"sender": address}):
        if fine:
            mail = mail_of(message(), options(25, **values))
            assert b"Subject" in mail.as_bytes()
        else:
            with pytest.raises(ValueError, match=r"want addresses|should match"):
                options(25, **values)


def test_a_rule_whose_name_has_another_kind_of_line_break() -> None:
    named = dataclasses.replace(message(), about="alert:at\u2028night")
    assert mail_of(named, options(25))["Subject"].startswith("at night: person")


def test_a_certificate_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"alerts.email.ca_file: cannot be used"):
        Mail(options(1, security="tls", ca_file=tmp_path / "none.pem"), "alerts.email")


@pytest.mark.slow
def test_a_dead_mail_server_holds_nothing_and_gets_its_alerts_after_a_restart(
    tmp_path: Path,
) -> None:
    port = free_port()
    rule = {"name": "yard", "channels": ["email"], "not_again_s": 0}
    alerts = AlertOptions.model_validate({"email": options(port).model_dump(), "rules": [rule]})

    def run(index: int, wait: Any) -> None:
        sink = plugin.build(plugin.Options(clips=False))
        sink.set_alerts(alerts)
        sink.open(run_info(tmp_path, "gate"))
        store = sink.store
        assert store is not None
        sink.write(result(index, event(index, track_id=index)))
        eventually(lambda: wait(store), "what is waited for")
        sink.close()

    run(1, lambda store: Outbox(store, "email").states() == {"waiting": 1})
    with mail_server(port) as server:
        run(2, lambda store: len(server.mails) == 2)
    assert isinstance(server, MailServer)
