"""Slow and idle connections: their timeouts and limits, and the parts of uvicorn they rest on."""

from __future__ import annotations

import ast
import asyncio
import socket
import sys
import time
import tomllib
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi")

import httpx
import uvicorn
from packaging.requirements import Requirement
from support.fake_backend import TOKEN, ServerParts, serving
from support.paths import PACKAGE, ROOT
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState
from websockets.sync.client import connect

from pipeline.server.request_timeout import TimeoutProtocol

PATIENCE_S = 60.0
BEARER = f"Authorization: Bearer {TOKEN}\r\n".encode()
HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
BODY = (
    b"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n{"
)


def begun(address: str, said: bytes, source: str = "127.0.0.1") -> socket.socket:
    """Return a connection to the server, from `source`, over which this much was said."""
    place = urlsplit(address)
    connection = socket.create_connection(
        (place.hostname or "", place.port or 0), PATIENCE_S, source_address=(source, 0)
    )
    connection.sendall(said)
    return connection


def rest(connection: socket.socket) -> bytes:
    """Return what comes until the server ends the connection; TimeoutError if it never does."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize("said", [b"", HEAD, BODY], ids=("nothing", "head", "body"))
@pytest.mark.slow
def test_an_incomplete_request_is_aborted_in_time(tmp_path: Path, said: bytes) -> None:
    with (
        serving(ServerParts(tmp_path), request_s=0.3) as address,
        begun(address, said) as connection,
    ):
        assert rest(connection) == b""


@pytest.mark.parametrize(
    ("bearer", "piece", "status"), [(True, 2**18, b" 422 "), (False, 2**18, b""), (True, 100, b"")],
    ids=["signed in", "not signed in", "too slow"],
)  # fmt: skip
@pytest.mark.slow
def test_a_large_upload_may_take_longer(
    tmp_path: Path, bearer: bool, piece: int, status: bytes
) -> None:
    """A phone takes minutes for a video: who signed in may, as long as something comes."""
    head = (
        b"POST /api/videos HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: video/mp4\r\n"
        b"Content-Length: %d\r\n%s\r\n" % (piece * 8, BEARER if bearer else b"")
    )
    # A machine that stands still for longer than a piece may take gets another try, with more time.
    for number, request_s in enumerate((1.0, 5.0, 20.0) if status else (1.0,)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with (
            # Five pieces long, and shorter than all of them together.
            serving(ServerParts(folder), request_s=request_s) as address,
            begun(address, head) as connection,
        ):
            with suppress(ConnectionError):
                for _ in range(8 if status else 7):  # it is never complete, however late the abort
                    connection.sendall(bytes(piece))
                    time.sleep(0.2 * request_s)
            answer = answer_on(connection) if status else rest(connection)
        if status in answer:
            break
    assert status in answer
    assert status or b" 422 " not in answer


@pytest.mark.slow
def test_a_later_request_of_a_connection_is_aborted_too(tmp_path: Path) -> None:
    whole = HEAD + b"\r\n"
    with (
        serving(ServerParts(tmp_path), request_s=0.3) as address,
        begun(address, whole) as connection,
    ):
        assert b" 200 " in connection.recv(65536)
        connection.sendall(HEAD)
        assert b"HTTP/" not in rest(connection)


def idle_client(address: str) -> HTTPConnection:
    place = urlsplit(address)
    return HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE_S)


def status_of(client: HTTPConnection) -> int:
    client.request("GET", "/healthz")
    answer = client.getresponse()
    answer.read()
    return answer.status


@pytest.mark.slow
def test_idle_connections_are_not_timed_out(tmp_path: Path) -> None:
    """The time is that of a request: a WebSocket and an idle connection stay."""
    made = ServerParts(tmp_path)
    made.show(1)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    with serving(made, request_s=1.0) as address, closing(idle_client(address)) as client:
        assert status_of(client) == 200
        before = client.sock
        ws = address.replace("http", "ws") + "/api/ws"
        with connect(ws, additional_headers=bearer) as page:
            for _ in range(3):  # one message a second
                page.recv(PATIENCE_S)
        assert status_of(client) == 200
        assert client.sock is before, "it was opened again"


@pytest.mark.slow
def test_incomplete_requests_do_not_lock_others_out(tmp_path: Path) -> None:
    made = ServerParts(tmp_path, viewers=1)  # 68 connections in all
    with serving(made, request_s=60) as address, ExitStack() as steps:
        for _ in range(150):
            steps.enter_context(begun(address, HEAD))
        assert httpx.get(f"{address}/healthz", timeout=PATIENCE_S).status_code == 200


ASKED = HEAD + b"\r\n"
CRAMPED: dict[str, Any] = {"viewers": 1}  # 68 connections before others are closed


def answered(address: str, said: bytes, source: str) -> socket.socket:
    connection = begun(address, said, source)
    assert b"HTTP/1.1" in answer_on(connection)
    return connection


def answer_on(connection: socket.socket) -> bytes:
    """Return an answer that is JSON, head and body."""
    received = b""
    with suppress(ConnectionResetError):
        while not received.endswith(b"}") and (piece := connection.recv(65536)):
            received += piece
    return received


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a loopback of many addresses")
@pytest.mark.parametrize("from_many", [False, True], ids=["one address", "many addresses"])
@pytest.mark.parametrize(
    "said",
    [ASKED, ASKED + HEAD, HEAD, b"", HEAD.replace(b"healthz", b"api/cameras") + b"\r\n"],
    ids=["idle", "idle, then half a request", "half a request", "nothing", "refused"],
)
def test_useless_connections_do_not_lock_others_out(
    tmp_path: Path, said: bytes, from_many: bool
) -> None:
    """320 connections that each had asked /healthz gave all others 503 for half a minute."""
    made = ServerParts(tmp_path, **CRAMPED)
    with serving(made, request_s=60) as address, ExitStack() as steps:
        for number in range(200):
            source = f"127.0.{number % 50 + 1}.1" if from_many else "127.0.0.1"
            is_answered = said.startswith(HEAD) and b"\r\n\r\n" in said
            connect_ = answered if is_answered else begun
            steps.enter_context(connect_(address, said, source))
        for source in ("127.0.0.1", "127.0.99.1"):
            transport = httpx.HTTPTransport(local_address=source)
            with httpx.Client(base_url=address, transport=transport, timeout=PATIENCE_S) as client:
                assert client.get("/healthz").status_code == 200
                bearer = {"authorization": f"Bearer {TOKEN}"}
                assert client.get("/api/cameras", headers=bearer).status_code == 200
                assert client.get("/").status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="needs a loopback of many addresses")
@pytest.mark.slow
def test_signed_in_idle_connections_are_closed_last(tmp_path: Path) -> None:
    made = ServerParts(tmp_path, **CRAMPED)
    with serving(made, request_s=60) as address, ExitStack() as steps:
        mine = steps.enter_context(answered(address, HEAD + BEARER + b"\r\n", "127.0.0.1"))
        for number in range(150):
            source = f"127.0.{number % 50 + 1}.1"
            steps.enter_context(answered(address, ASKED, source))
        mine.sendall(ASKED)
        assert b" 200 " in answer_on(mine)


@pytest.mark.slow
@pytest.mark.parametrize("trusted", [False, True])
def test_a_trusted_proxy_may_keep_more_connections(tmp_path: Path, trusted: bool) -> None:
    """It speaks for many clients; closing its oldest would fail requests on their way."""
    made = ServerParts(tmp_path, proxies=("127.0.0.1",) if trusted else ())
    with serving(made, request_s=60) as address, ExitStack() as steps:
        kept = [steps.enter_context(answered(address, ASKED, "127.0.0.1")) for _ in range(60)]
        steps.enter_context(answered(address, ASKED, "127.0.0.1"))
        kept[0].settimeout(1.0 if trusted else PATIENCE_S)
        try:
            is_closed = kept[0].recv(1) == b""
        except TimeoutError:
            is_closed = False
        assert is_closed is not trusted


# -- uvicorn's internals --------------------------------------------------------------------------


def inherited_members() -> list[str]:
    """Return the members of uvicorn's H11Protocol that request_timeout.py uses, from its source."""
    tree = ast.parse((PACKAGE / "server" / "request_timeout.py").read_text("utf-8"))
    protocols = {"self", "each", "one", "other", "super()"}
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in protocols
    }
    return sorted(used - vars(TimeoutProtocol).keys() | (used & vars(H11Protocol).keys()))


def test_the_members_in_use_are_found() -> None:
    found = set(inherited_members())
    assert {"connections", "timeout_keep_alive_task", "transport", "connection_made"} <= found
    assert not any(name.startswith("_") for name in found)


@pytest.mark.parametrize("member", inherited_members())
def test_uvicorn_has_every_member_that_the_timeout_uses(member: str) -> None:
    """H11Protocol is not a public interface: a new release may drop or rename what is used."""
    loop = asyncio.new_event_loop()
    try:
        config = uvicorn.Config(lambda: None, log_config=None, ws="none")
        protocol = H11Protocol(config, ServerState(), {}, loop)
        assert hasattr(protocol, member), (
            f"uvicorn {uvicorn.__version__}: H11Protocol.{member} is gone; adapt "
            "pipeline/server/request_timeout.py before raising the limit in pyproject.toml"
        )
    finally:
        loop.close()


def test_uvicorn_is_pinned_below_the_next_release() -> None:
    """Without an upper limit, `pip install` takes an untested release."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        requirement
        for each in project["optional-dependencies"].values()
        for requirement in map(Requirement, each)
        if requirement.name == "uvicorn"
    ]
    assert wanted
    for requirement in wanted:
        assert any(each.operator == "<" for each in requirement.specifier), str(requirement)
        assert uvicorn.__version__ in requirement.specifier, f"installed: {uvicorn.__version__}"
