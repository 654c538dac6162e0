"""Addresses of network cameras: schemes, FFmpeg options for each, meanings of its errors."""

from __future__ import annotations

from urllib.parse import urlsplit

from pipeline.core.errors import PipelineError, SourceError, SourceLostError, system_reason
from pipeline.sources._stream.certificates import Trust

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "udp", "tcp", "srt")
_WITHOUT_HOST = ("udp", "srt")  # they listen
_NEED_PORT = ("udp", "tcp", "srt")
# Protocols that a playlist or a redirect may lead to: never a file of this machine.
_PROTOCOLS = (
    "crypto,data,http,httpproxy,https,rtmp,rtmps,rtp,rtsp,rtsps,srt,srtp,tcp,tls,udp,rtmpt,rtmpts"
)
_REORDERING_US = 100_000
_UDP_BUFFER = 4 * 2**20


def address_problem(address: str) -> str | None:
    """Return why `address` is not a valid camera address, None if it is; never quotes it."""
    wanted = ", ".join(f"{each}://" for each in SCHEMES)
    scheme = address.partition("://")[0].lower()
    if "://" not in address or scheme not in SCHEMES:
        return f"want an address that begins with {wanted}"
    if any(character.isspace() for character in address):
        return "want an address without spaces (%20 stands for one)"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "want a host and a port from 1 to 65535 (percent-encode signs in a password)"
    if not host and scheme not in _WITHOUT_HOST:
        return f"want a host, as in {scheme}://host/path"
    if port == 0 or (port is None and scheme in _NEED_PORT):
        return f"want a port from 1 to 65535, as in {scheme}://host:5000"
    return None


def name_of(address: str) -> str:
    """Return the default name of a camera: its host, or scheme and port without a host.

    Never a part of the path: some cameras have their password in it.
    """
    parts = urlsplit(address)
    host = (parts.hostname or "").replace(":", "-")
    return host if host.strip("-.") else f"{parts.scheme}-{parts.port}"


def demuxer_options(
    address: str, transport: str, read_timeout_s: float, trust: Trust
) -> dict[str, str]:
    """Return FFmpeg's options: little probing, no waiting for other media, no local files.

    `fflags=nobuffer` is left out on purpose: it discards everything read while probing, including
    the first key frame, and the first picture then waits for the next one.
    """
    wait_us = str(round(read_timeout_s * 1e6))
    options = {
        "protocol_whitelist": _PROTOCOLS,
        # Otherwise two seconds of pictures are read only to guess the frame rate, which is not
        # needed.
        "fpsprobesize": "0",
        "analyzeduration": "3000000",
        "max_delay": str(_REORDERING_US),
        **trust.options(),
    }
    scheme = urlsplit(address).scheme
    if scheme in ("rtsp", "rtsps"):
        return {
            **options,
            "rtsp_transport": transport,
            "allowed_media_types": "video",
            "timeout": wait_us,
            "buffer_size": str(_UDP_BUFFER),
        }
    options["rw_timeout"] = wait_us
    if scheme in ("http", "https"):
        options["live_start_index"] = "-1"  # HLS: the newest segment
    elif scheme in ("rtmp", "rtmps"):
        options["rtmp_live"] = "live"
    elif scheme == "udp":
        options |= {"overrun_nonfatal": "1", "buffer_size": str(_UDP_BUFFER)}
    return options


def recording_error(where: str) -> SourceError:
    """Return the error for a recording: as a camera, most of its pictures would be dropped."""
    return SourceError(f"{where}: is a recording, not a camera: download it and give the file")


def connection_error(where: str, error: Exception, *, was_live: bool) -> PipelineError:
    """Return the PipelineError for an FFmpeg error, whose own text contains the address."""
    import av

    if isinstance(error, av.error.ProtocolNotFoundError):
        return SourceError(f"{where}: this FFmpeg cannot read such addresses")
    if isinstance(error, av.error.DecoderNotFoundError):
        return SourceError(f"{where}: this FFmpeg has no decoder for its pictures")
    meanings: dict[type[Exception], str] = {
        av.error.HTTPUnauthorizedError: "refuses the name or password (401)",
        av.error.HTTPForbiddenError: "refuses access (403)",
        av.error.HTTPNotFoundError: "has nothing at this path (404)",
        av.error.ExitError: "stopped answering" if was_live else "does not answer",
        ConnectionRefusedError: "refuses the connection",
        ConnectionResetError: "broke off the connection",
        TimeoutError: "stopped answering" if was_live else "does not answer",
    }
    for kind, words in meanings.items():
        if isinstance(error, kind):
            return SourceLostError(f"{where}: {words}")
    why = system_reason(error) or type(error).__name__
    return SourceLostError(f"{where}: {'broke off' if was_live else 'does not open'} ({why})")
