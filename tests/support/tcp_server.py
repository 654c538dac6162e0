"""One TCP server on loopback that serves one viewer after the other, whatever they speak."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


def accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield connections as they come, until the listener is shut down."""
    while True:
        try:
            yield listener.accept()[0]
        except OSError:
            return


@contextmanager
def serving(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Have `serve` called with each connection until the block ends; yield the port.

    The event is set at the end. A viewer that leaves (OSError, EOFError) ends its connection only.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def accept() -> None:
        for connection in accepted(listener):
            with connection, suppress(OSError, EOFError):
                serve(connection, stop)

    thread = threading.Thread(target=accept, name="tcp server", daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
