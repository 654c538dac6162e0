"""Checks of FFmpeg inside PyAV: decoders, encoders, protocols, hardware decoding."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pipeline.tools.doctor.cuda import Driver
from pipeline.tools.doctor.findings import Finding, State

SECTION = "video"
DECODERS = ("h264", "hevc", "av1", "vp9", "vp8", "mpeg4", "mpeg2video", "mjpeg")
ENCODERS = ("libx264",)
PROTOCOLS = ("rtsp", "rtsps", "http", "https", "rtmp", "srt")
_NEEDED = frozenset({"h264", "hevc", "libx264", "rtsp", "http"})
_NOWHERE = "127.0.0.1:9"
"""Loopback and a closed port: what matters is whether FFmpeg would try."""
_PROBE_S = 1.0


def media(driver: Driver | None) -> Iterable[Finding]:
    """Yield what was found; raises ImportError where PyAV cannot be loaded."""
    import av

    with _silent():
        ffmpeg = str(av.ffmpeg_version_info)
        words = f"PyAV {av.__version__} with FFmpeg {ffmpeg}"
        yield Finding(SECTION, "library", "works", words, {"av": av.__version__, "ffmpeg": ffmpeg})
        yield _which("decoders", DECODERS, [name for name in DECODERS if _codec(name, "r")])
        yield _which("encoders", ENCODERS, [name for name in ENCODERS if _codec(name, "w")])
        yield _video_encoders()
        yield _which("protocols", PROTOCOLS, [each for each in PROTOCOLS if _speaks(each)])
        yield hardware_decoding(hardware_decoders(), driver)


def _video_encoders() -> Finding:
    """Return which values of the option `encoder` of videos work, each tried with two pictures."""
    from pipeline.core.video_encoders import CODECS, why_not

    why = {encoder: why_not(encoder) for encoder in CODECS}
    there = [encoder for encoder, reason in why.items() if not reason]
    others = [f"{encoder} ({reason})" for encoder, reason in why.items() if reason]
    words = ", ".join(there) + (f"; not {', '.join(others)}" if others else "")
    return Finding(SECTION, "encoder", "works" if there else "broken", words, {"why_not": why})


def hardware_decoders() -> dict[str, list[str]]:
    """Return {device type: codecs it was built to decode}, whether or not the device is there."""
    found: dict[str, list[str]] = {}
    for name in DECODERS:
        codec = _codec(name, "r")
        for each in codec.hardware_configs if codec else ():
            if each.is_supported:
                found.setdefault(each.device_type.name, []).append(name)
    return found


def hardware_decoding(built: dict[str, list[str]], driver: Driver | None) -> Finding:
    """Return whether `decode: cuda` will work, from what FFmpeg knows and what the driver has."""
    values = {"built": built}
    codecs = ", ".join(built.get("cuda", ()))
    if not codecs:
        words = "this FFmpeg was built without CUDA: files are decoded on the CPU"
        return Finding(SECTION, "hardware decoding", "absent", words, values)
    if driver is None or not driver.devices:
        words = "no NVIDIA GPU here: files are decoded on the CPU (decode: cuda falls back)"
        return Finding(SECTION, "hardware decoding", "absent", words, values)
    if not driver.decodes:
        words = "libnvcuvid is missing (in containers: the driver capability 'video')"
        return Finding(SECTION, "hardware decoding", "broken", words, values)
    words = f"decode: cuda for {codecs}, as far as this GPU's decoder goes"
    return Finding(SECTION, "hardware decoding", "works", words, values)


def _which(name: str, wanted: Sequence[str], there: Sequence[str]) -> Finding:
    """Return a finding that says which of `wanted` are there, and which are not."""
    missing = [each for each in wanted if each not in there]
    state: State = "works" if not missing else "broken" if _NEEDED & {*missing} else "limited"
    words = ", ".join(there) + (f"; not {', '.join(missing)}" if missing else "")
    return Finding(SECTION, name, state, words, {"there": [*there], "missing": missing})


def _codec(name: str, mode: Any) -> Any:
    import av

    try:
        return av.Codec(name, mode)
    except av.codec.codec.UnknownCodecError:
        return None


def _speaks(protocol: str) -> bool:
    """Return whether FFmpeg knows a protocol: one it knows fails to connect, not to be found."""
    import av

    try:
        av.open(f"{protocol}://{_NOWHERE}/", timeout=_PROBE_S).close()
    except (av.error.ProtocolNotFoundError, av.error.DemuxerNotFoundError):
        return False
    except OSError:  # FFmpeg's other errors are OSErrors too: refused, timed out, ...
        return True
    return True


@contextmanager
def _silent() -> Iterator[None]:
    """Keep FFmpeg's own lines about the unanswered addresses from the terminal."""
    log = logging.getLogger("libav")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)
