"""Requests that come slowly or never: nobody keeps others out by saying little."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi")

import httpx
from fake_backend import TOKEN, Made, serving
from websockets.sync.client import connect

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
BODY = (
    b"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n{"
)


def begun(address: str, said: bytes) -> socket.socket:
    """Return a connection to the server over which this much was said."""
    place = urlsplit(address)
    connection = socket.create_connection((place.hostname or "", place.port or 0), 10)
    connection.sendall(said)
    return connection


def rest(connection: socket.socket) -> bytes:
    """Return what comes until the server ends the connection; TimeoutError if it never does."""
    told = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            told += piece
    return told


@pytest.mark.parametrize("said", [b"", HEAD, BODY], ids=("nothing", "head", "body"))
def test_a_request_that_is_not_complete_in_time_is_given_up(tmp_path: Path, said: bytes) -> None:
    with serving(Made(tmp_path), request_s=0.3) as address, begun(address, said) as connection:
        assert rest(connection) == b""


def test_so_is_a_later_one_of_the_same_connection(tmp_path: Path) -> None:
    whole = HEAD + b"\r\n"
    with serving(Made(tmp_path), request_s=0.3) as address, begun(address, whole) as connection:
        assert b" 200 " in connection.recv(65536)
        connection.sendall(HEAD)
        assert b"HTTP/" not in rest(connection)


def test_who_is_answered_is_not_given_up(tmp_path: Path) -> None:
    """The time is that of a request: a WebSocket and an idle connection stay."""
    made = Made(tmp_path)
    made.show(1)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    with serving(made, request_s=0.3) as address, httpx.Client(base_url=address) as client:
        assert client.get("/healthz").status_code == 200
        before = next(iter(client._transport._pool.connections))  # type: ignore[attr-defined]
        ws = address.replace("http", "ws") + "/api/ws"
        with connect(ws, additional_headers=bearer) as page:
            for _ in range(3):  # one message a second
                page.recv(10)
        assert client.get("/healthz").status_code == 200
        assert client._transport._pool.connections == [before]  # type: ignore[attr-defined]


def test_many_that_say_little_keep_nobody_out(tmp_path: Path) -> None:
    made = Made(tmp_path, viewers=1)  # 68 connections in all
    with serving(made, request_s=60) as address, ExitStack() as steps:
        for _ in range(150):
            steps.enter_context(begun(address, HEAD))
        assert httpx.get(f"{address}/healthz").status_code == 200
