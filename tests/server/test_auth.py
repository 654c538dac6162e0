"""Authentication without a server: failed attempts, sessions, host names."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from support.fake_backend import TOKEN

from pipeline.config.web import WebOptions
from pipeline.server.auth import AttemptLimiter, Auth, TooManyAttemptsError, host_name


def test_an_ipv6_client_counts_by_its_network() -> None:
    """A client with a /64 has 2^64 addresses to guess from."""
    tries = AttemptLimiter()
    for last in range(5):
        tries.add_failure(f"2001:db8:1:2::{last:x}")
    with pytest.raises(TooManyAttemptsError):
        tries.check("2001:db8:1:2:ffff::1")
    tries.check("2001:db8:1:3::1")


@pytest.mark.slow
def test_the_number_of_limited_clients_is_bounded() -> None:
    tries = AttemptLimiter()
    clients = [f"10.{n // 256 % 256}.{n % 256}.{n // 65536}" for n in range(10_000)]
    for client in clients:
        for _ in range(5):
            tries.add_failure(client)
    assert [is_held_off(tries, client) for client in clients] == [False] * 5904 + [True] * 4096


def is_held_off(tries: AttemptLimiter, client: str) -> bool:
    try:
        tries.check(client)
    except TooManyAttemptsError:
        return True
    return False


def test_the_number_of_sessions_is_bounded() -> None:
    auth = Auth(WebOptions(), TOKEN)
    secrets = [auth.log_in(TOKEN, "127.0.0.1") for _ in range(1100)]
    assert len(set(secrets)) == 1100
    admitted = [auth.authenticate({}, secret, "127.0.0.1") is not None for secret in secrets]
    assert admitted == [False] * 100 + [True] * 1000


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:8642", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("[::1]:8642", True),
        ("cams.example.org", True),
        ("cams.example.org.:443", True),
        ("evil.example", False),
        ("evil.localhost", False),
        ("192.168.1.5:8642", False),
        ("127.0.0.1.evil.example", False),
        ("localhost:80:80", False),
        ("localhost:x", False),
        ("", False),
    ],
)
def test_host_names_that_are_not_configured_are_refused(host: str, known: bool) -> None:
    """Otherwise a page of evil.example, whose name then points to 127.0.0.1, may ask us."""
    auth = Auth(WebOptions(names=("cams.example.org",)), TOKEN)
    assert auth.is_known_host(host) == known


def test_an_address_is_a_name_of_a_server_that_listens_on_it() -> None:
    auth = Auth(WebOptions(host="0.0.0.0"), TOKEN)
    assert auth.is_known_host("192.168.1.5:8642")
    assert not auth.is_known_host("evil.example")


@pytest.mark.parametrize(
    ("host", "name"), [("[::1]", "::1"), ("a:1", "a"), ("[::1", None), (":80", None), ("a.", "a")]
)
def test_a_host_header_is_taken_apart(host: str, name: str | None) -> None:
    assert host_name(host) == name
