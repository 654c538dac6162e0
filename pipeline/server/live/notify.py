"""Tells systemd how the service fares: sd_notify(3), a datagram to the socket it names."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(state: str) -> bool:
    """Send "READY=1", "STOPPING=1" or "STATUS=..." to systemd; return False where there is none."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return False
    address = "\0" + place[1:] if place.startswith("@") else place
    with (
        suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link,
    ):
        link.sendto(state.encode(), address)
        return True
    return False
