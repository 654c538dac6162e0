"""Verification of the TLS certificates of rtsps, https and rtmps cameras, with readable reasons."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_PORTS = {"rtsps": 322, "https": 443, "rtmps": 443}
# FFmpeg's own TLS library looks where its wheel was built, which is another system.
_USUAL_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_NAME_DIFFERS = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_NOT_NOW = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED


@dataclass(frozen=True, slots=True)
class Trust:
    """TLS settings of a camera: trusted authorities, and the name its certificate is for.

    `ca_file` None: the system's authorities; `name` None: the host of the address.
    """

    verify: bool = True
    ca_file: Path | None = None
    name: str | None = None

    def problem_with_file(self) -> str | None:
        """Return why `ca_file` cannot be used, None if it can; FFmpeg would not say so."""
        if not self.verify or self.ca_file is None:
            return None
        try:
            ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError:
            return f"ca_file: {self.ca_file}: holds no certificate in PEM form"
        except OSError as error:
            return f"ca_file: {self.ca_file}: cannot be read: {error.strerror}"
        return None

    def options(self) -> dict[str, str]:
        """Return FFmpeg's TLS options; verification is not yet its default."""
        if not self.verify:
            return {"tls_verify": "0"}
        options = {"tls_verify": "1"}
        if (authorities := self.ca_file or system_authorities()) is not None:
            options["ca_file"] = str(authorities)
        if self.name is not None:
            options["verifyhost"] = self.name
        return options

    def context(self, host: str | None = None) -> ssl.SSLContext:
        """Return an SSL context for Python; `host` may show a certificate for `name` instead."""
        context = _NamingContext(ssl.PROTOCOL_TLS_CLIENT)
        if (authorities := self.ca_file or system_authorities()) is not None:
            context.load_verify_locations(cafile=authorities)
        else:
            context.load_default_certs()
        if self.name is not None and host is not None:
            context.names[host.lower()] = self.name
        return context

    def problem(self, address: str, timeout_s: float) -> str | None:
        """Return what is wrong with the certificate at `address`, with the remedy; None if fine.

        It is fetched again: about a certificate it refused FFmpeg only says "Input/output error".
        """
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme)
        if not self.verify or parts.scheme not in _PORTS or port is None or not parts.hostname:
            return None
        there, name = (parts.hostname, port), self.name or parts.hostname
        try:
            self._certificate(there, name, timeout_s)
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in _NAME_DIFFERS:
                return self._other_name(there, name, timeout_s)
            if error.verify_code in _NOT_NOW:
                return f"its {error.verify_message}: renew it (or set verify_tls: false)"
            return (
                f"its certificate is not trusted ({error.verify_message}): "
                "set ca_file to it or its authority's (or verify_tls: false)"
            )
        except (OSError, ValueError):  # it does not speak TLS, or a name that can be none
            return None
        return None

    def _other_name(self, there: tuple[str, int], name: str, timeout_s: float) -> str | None:
        try:
            named_hosts = self._certificate(there, None, timeout_s).get("subjectAltName", ())
        except (OSError, ValueError):
            return None
        names = ", ".join(ascii(str(each))[1:-1] for _, each in named_hosts[:3]) or "no host"
        return (
            f"its certificate is for {names[:200]}, not {name}: "
            "set certificate_name to a name in it (or verify_tls: false)"
        )

    def _certificate(
        self, there: tuple[str, int], name: str | None, timeout_s: float
    ) -> dict[str, Any]:
        """Return the verified certificate; raises SSLCertVerificationError with the reason."""
        context = self.context()
        context.check_hostname = name is not None
        with (
            socket.create_connection(there, timeout=timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=name or there[0]) as secured,
        ):
            return secured.getpeercert() or {}


class _NamingContext(ssl.SSLContext):
    """SSL context that expects some hosts to show a certificate for another name."""

    def __init__(self, protocol: int) -> None:
        del protocol
        self.names: dict[str, str] = {}

    def wrap_socket(self, *args: Any, **named: Any) -> ssl.SSLSocket:
        host = str(named["server_hostname"])  # as it was written
        named["server_hostname"] = self.names.get(host.lower(), host)
        return super().wrap_socket(*args, **named)


def system_authorities() -> Path | None:
    """Return the system's file of trusted certificate authorities, None without one."""
    usual = (ssl.get_default_verify_paths().cafile, *_USUAL_FILES)
    return next((Path(each) for each in usual if each and Path(each).is_file()), None)
