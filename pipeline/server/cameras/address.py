"""Camera addresses as users type them: splits off the login, never shows the password.

Only what can be a camera is allowed: network addresses of it, and devices of this machine by number
or path. Files, playlists and placeholders are refused, so that nothing else of this machine is read
by giving an address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urlsplit

from pipeline.core.errors import ConfigError
from pipeline.core.secret_masking import MASK, masked_keys
from pipeline.sources._stream.addresses import address_problem, name_of

SCHEMES = ("rtsp", "rtsps", "http", "https")
_DEVICE = re.compile(r"\d{1,3}|/dev/video\d{1,3}")
_PLAYLISTS = (".m3u8", ".m3u", ".pls", ".mpd", ".xspf", ".asx", ".sdp", ".ffconcat")


@dataclass(frozen=True, slots=True)
class CameraAddress:
    """An address without its login, as written; `user` and `password` in plain text."""

    address: str
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """Return the address for display: secrets in its path and query are masked."""
        return masked_keys(self.address) if "://" in self.address else self.address

    @property
    def holds_key(self) -> bool:
        """Return whether the path or the query seems to contain a password."""
        return self.shown != self.address

    @property
    def place(self) -> tuple[str, str]:
        """Return the scheme and host, for which a password is meant; ("", device) for a device."""
        if "://" not in self.address:
            return "", self.address
        parts = urlsplit(self.address)
        return parts.scheme.lower(), parts.netloc.lower()

    @property
    def name(self) -> str:
        """Return the default name of a camera at this address."""
        return name_of(self.address) if "://" in self.address else f"camera{self.address}"

    def with_login(self, user: str, password: str) -> str:
        """Return the address with a login, both texts already encoded.

        No login if they are empty.
        """
        if not (user or password):
            return self.address
        scheme, mark, rest = self.address.partition("://")
        colon = ":" if password else ""
        return f"{scheme}{mark}{user}{colon}{password}@{rest}"

    def complete(self) -> str:
        """Return the address to connect to; a secret."""
        return self.with_login(quote(self.user, safe=""), quote(self.password, safe=""))


def split_login(text: str) -> CameraAddress:
    """Split an address from its login, without checking it."""
    scheme, mark, rest = text.strip().partition("://")
    end = min((rest.index(each) for each in "/?#" if each in rest), default=len(rest))
    login, at, host = rest[:end].rpartition("@")
    if not (mark and at):
        return CameraAddress(text.strip())
    user, _, password = login.partition(":")
    return CameraAddress(f"{scheme}{mark}{host}{rest[end:]}", unquote(user), unquote(password))


def typed_address(text: str, user: str = "", password: str = "") -> CameraAddress:
    """Parse an address typed by a user; raises ConfigError, which contains no password.

    A login may also be part of the address, as in many camera manuals.
    """
    in_text = split_login(text)
    found = replace(in_text, user=user or in_text.user, password=password or in_text.password)
    if not text.isprintable():
        raise ConfigError("address: want printable text")
    if "${" in text:
        raise ConfigError("address: ${NAME} is only allowed in the configuration file")
    if MASK in f"{found.address} {in_text.user} {in_text.password}":
        raise ConfigError("address: contains masked values: enter the whole address again")
    check_login(found)
    if _DEVICE.fullmatch(found.address):
        if found.user or found.password:
            raise ConfigError("user: a camera on this machine has no login")
        return found
    scheme = found.address.partition("://")[0].lower()
    if "://" not in found.address or scheme not in SCHEMES:
        wanted = ", ".join(f"{each}://" for each in SCHEMES)
        raise ConfigError(
            f"address: want one that begins with {wanted}, or a camera's number on this machine"
        )
    if (why := address_problem(found.address)) is not None:
        raise ConfigError(f"address: {why}")
    parts = urlsplit(found.address)
    if "@" in parts.netloc or "\\" in found.address:
        raise ConfigError("address: want one @ at most; enter the password separately")
    if parts.path.lower().endswith(_PLAYLISTS):
        raise ConfigError("address: a playlist may lead anywhere: add it in the configuration file")
    return found


def check_login(address: CameraAddress) -> None:
    """Raise ConfigError for a login that an address cannot contain."""
    if "${" in address.user:
        raise ConfigError("user: ${NAME} is only allowed in the configuration file")
    if not (address.user.isprintable() and address.password.isprintable()):
        raise ConfigError("user, password: want printable text")
    if address.password and not address.user:
        raise ConfigError("user: needed with a password")
