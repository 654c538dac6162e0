"""The configuration's section `web`: address, TLS, login and limits of the live server."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator, model_validator

from pipeline.config.secrets import Secrets, UnknownSecretError
from pipeline.config.uploads import UploadOptions
from pipeline.core.errors import ConfigError, system_reason
from pipeline.core.options import OptionsModel

MIN_TOKEN = 16
"""Minimum length of a token, so that it cannot be guessed."""

_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")


class WebOptions(OptionsModel):
    """The page, its REST interface and its metrics; changes need a restart."""

    host: str = "127.0.0.1"
    """Address to listen on; any other than this machine's own loopback needs a token."""
    port: int = Field(8642, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    token: SecretStr | None = None
    """Grants access to view and change; 16 characters or more, best given as `${NAME}`."""
    token_file: Path | None = None
    """File with the token in its first line; `--token-file` creates it if it is missing."""
    names: tuple[str, ...] = ()
    """Host names under which browsers reach this server, besides localhost and IP addresses."""
    proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies whose X-Forwarded-For and -Proto are trusted."""
    certificate: Path | None = None
    """TLS certificate chain (PEM), to serve the page over https."""
    key: Path | None = None
    """The certificate's private key (PEM)."""
    session_hours: float = Field(168.0, gt=0, le=24 * 365)
    """How long a browser stays signed in."""
    picture_fps: float = Field(15.0, gt=0, le=60)
    """Maximum pictures per second encoded for one camera at one size."""
    jpeg_quality: int = Field(75, ge=10, le=95)
    """JPEG quality of the pictures on the page: larger is better."""
    video: bool = True
    """Whether a camera shown large is streamed as its own H.264 or H.265, if camera and browser
    can."""
    viewers: int = Field(64, ge=1, le=1000)
    """Maximum number of pages and streams open at once."""
    uploads: UploadOptions = UploadOptions()
    """Limits of uploaded pictures and videos."""

    @field_validator("token", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Treat numbers as text: an error that they are not text would show them."""
        return str(value) if isinstance(value, int | float) else value

    @field_validator("host")
    @classmethod
    def _address(cls, value: str) -> str:
        if value != "localhost":
            ip_address(value)  # a name may resolve to several addresses, and to others tomorrow
        return value

    @field_validator("names")
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError("want host names without scheme and port")
        return tuple(name.lower() for name in value)

    @model_validator(mode="after")
    def _pairs(self) -> WebOptions:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key: want both or none")
        if self.token is not None and self.token_file is not None:
            raise ValueError("token and token_file: want one of them")
        return self

    @property
    def is_loopback(self) -> bool:
        """Return whether only this machine can reach the server."""
        return self.host == "localhost" or ip_address(self.host).is_loopback

    def read_token(self, secrets: Secrets | None = None) -> str | None:
        """Return the token, None if none is needed.

        Raises ConfigError if a required one is missing.
        """
        if self.token is not None:
            try:
                token = (secrets or Secrets()).filled(self.token.get_secret_value())
            except UnknownSecretError as error:
                raise ConfigError(f"web.token: {error}") from None
            return _checked(str(token), "web.token")
        if self.token_file is not None:
            return _token_in(self.token_file)
        hint = "so a token is needed: give --token-file FILE (created if missing) or web.token"
        if not self.is_loopback:
            raise ConfigError(f"web.host: other machines can reach {self.host}, {hint}")
        if self.names or self.proxies:
            raise ConfigError(
                f"web.names and web.proxies: the clients of a proxy are unknown, {hint}"
            )
        return None


def _checked(token: str, where: str) -> str:
    """Return a token that is long enough and can be sent in a header; no error shows it."""
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{where}: want {MIN_TOKEN} or more ASCII characters without spaces")
    return token


def _token_in(path: Path) -> str:
    try:
        token = path.read_text("utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = system_reason(error) or "not a text file"
        raise ConfigError(f"web.token_file: {path}: cannot be read: {reason}") from None
    return _checked(token, f"web.token_file: {path}")
