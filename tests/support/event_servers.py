"""Real servers on loopback for the tests of events: PostgreSQL, mosquitto, a web server."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer
from typing import Any

from support.programs import program


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(true: Callable[[], object], what: str, patience_s: float = 60.0) -> None:
    """Wait for something another thread or program does; fails after a generous time."""
    until = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < until, f"never: {what}"
        time.sleep(0.02)


# -- PostgreSQL -----------------------------------------------------------------------------------


@dataclass
class Postgres:
    """A throwaway cluster, which can be stopped and started again."""

    folder: Path
    port: int
    binaries: Path

    def _run(self, *command: str) -> None:
        # PostgreSQL refuses to run as root; elsewhere it runs as whoever tests.
        if os.geteuid() == 0:
            command = (
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                *command,
            )
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"

    def make(self) -> None:
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        password = self.folder / "password"
        password.write_text("secret word\n")
        password.chmod(0o644)
        initdb = str(self.binaries / "initdb")
        data = str(self.folder / "data")
        self._run(
            initdb, "-D", data, "-U", "tester", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync",
            f"--pwfile={password}",
        )  # fmt: skip

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -c unix_socket_directories='' -F"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def _control(self, *what: str) -> None:
        self._run(str(self.binaries / "pg_ctl"), "-D", str(self.folder / "data"), "-w", *what)

    @property
    def url(self) -> str:
        return f"postgresql://tester:secret word@127.0.0.1:{self.port}/postgres"

    def clear(self) -> None:
        import psycopg

        with psycopg.connect(self.url.replace(" ", "%20"), autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")


@contextmanager
def postgres() -> Iterator[Postgres]:
    binaries = Path(program("initdb", "usr/lib/postgresql/*/bin")).parent
    with tempfile.TemporaryDirectory(prefix="trackline-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        cluster = Postgres(Path(folder), free_port(), binaries)
        cluster.make()
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


# -- mosquitto ------------------------------------------------------------------------------------


class Broker:
    """A mosquitto that can be killed, stopped like a hanging one, and started again."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true\n") -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\n{extra}")
        self._program = program("mosquitto", "usr/sbin")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers, "mosquitto listens")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def hang(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


@contextmanager
def broker(folder: Path, extra: str = "allow_anonymous true\n") -> Iterator[Broker]:
    made = Broker(folder, extra)
    made.start()
    try:
        yield made
    finally:
        made.kill()


# -- a web server ---------------------------------------------------------------------------------


@dataclass
class Hook:
    """What a web server got, and how it answers: `answers` one by one, then `usual`."""

    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int | tuple[int, dict[str, str]] | str] = field(default_factory=list)
    usual: int = 204
    port: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def uids(self) -> list[str]:
        return [json.loads(body)["uid"] for _, body in self.requests]


class _Handler(BaseHTTPRequestHandler):
    hook: Hook

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            return  # the sender was killed in the middle
        hook = self.hook
        answer = hook.answers.pop(0) if hook.answers else hook.usual
        hook.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
        if answer == "hang":
            hook.released.wait(30)
            return
        if answer == "drip":  # a byte now and then, for ever: no timeout of a socket ends that
            while not hook.released.wait(0.1):
                self.wfile.write(b"H")
                self.wfile.flush()
            return
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        self.send_response(int(status))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        del args


@contextmanager
def webhook(port: int = 0, hook: Hook | None = None) -> Iterator[Hook]:
    hook = hook or Hook()
    handler = type("Handler", (_Handler,), {"hook": hook})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    server.block_on_close = False
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    hook.port = server.server_port
    with serving(server, hook.released):
        yield hook


@contextmanager
def serving(server: BaseServer, released: threading.Event) -> Iterator[None]:
    """Run a server on a thread; `released` is set at the end."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()
