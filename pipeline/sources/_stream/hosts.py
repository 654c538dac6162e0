"""Hosts to which a playlist or a redirect may lead."""

from __future__ import annotations

from urllib.parse import urlsplit


class AllowedHosts:
    """The host of a camera's address and the one it redirects to; with `any_host` all.

    A camera that was taken over, or a host in its place, could otherwise make the program send
    requests to other machines of its network.
    """

    def __init__(self, address: str, *, any_host: bool) -> None:
        self.address = address
        self._any_host = any_host
        self._allowed = {_host(address)}

    def add(self, url: str) -> None:
        """Allow the host to which the address itself redirected."""
        self._allowed.add(_host(url))

    def refusal(self, url: str) -> str | None:
        """Return why `url` must not be followed, None if it may be."""
        host = _host(url)
        if self._any_host or host in self._allowed:
            return None
        return (
            f"its playlist leads to another server ({host or 'without a name'}); "
            "set other_hosts: true to follow it"
        )


def is_named_playlist(address: str) -> bool:
    """Return whether an address looks like that of an HLS playlist."""
    return urlsplit(address).path.lower().endswith((".m3u8", ".m3u"))


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower().rstrip(".")
    except ValueError:
        return ""
