"""H.264 encoders of this machine: x264 on the CPU, and GPU encoders that can be opened."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

from pipeline.core.errors import OutputError

Encoder = Literal["auto", "x264", "nvenc", "qsv", "vaapi"]

CODECS: Mapping[str, str] = {
    "nvenc": "h264_nvenc",
    "qsv": "h264_qsv",
    "vaapi": "h264_vaapi",
    "x264": "libx264",
}
"""FFmpeg's names, in the order in which `auto` tries them."""

_TRIAL_SIDE = 256  # NVENC takes no picture below 145 pixels
_TRIAL_FRAMES = 2
_GPU_SIDES = 146, 4096


def gpu_options(encoder: str, crf: int) -> dict[str, object]:
    """Return the options of a GPU encoder for about the quality of x264 at `crf`.

    Every frame is output at once, because a killed process must lose none, and key frames can be
    forced. Quality numbers mean much the same: all count in steps of H.264's quantizer.
    """
    if encoder == "nvenc":
        quality = {"rc": "vbr", "cq": str(crf), "b": "0", "preset": "p4", "tune": "hq"}
        return {**quality, "forced-idr": "1", "delay": "0", "zerolatency": "1", "bf": "0"}
    if encoder == "qsv":
        quality = {"global_quality": str(crf), "preset": "medium"}
        return {**quality, "forced_idr": "1", "async_depth": "1", "look_ahead": "0", "bf": "0"}
    return {"rc_mode": "CQP", "qp": str(crf), "idr_interval": "0", "bf": "0", "async_depth": "1"}


def fits(encoder: str, height: int, width: int) -> bool:
    """Return whether an encoder takes pictures of this size: GPU encoders have narrow limits."""
    smallest, largest = _GPU_SIDES
    on_gpu = smallest <= min(height, width) and max(height, width) <= largest
    return encoder == "x264" or on_gpu


@lru_cache(maxsize=8)
def why_not(encoder: str) -> str:
    """Return why an encoder does not work here, "" if it does; encodes two small pictures."""
    import av
    import numpy as np

    codec = CODECS[encoder]
    if codec not in av.codecs_available:
        return f"this build of PyAV lacks {codec}"
    try:
        context: Any = av.CodecContext.create(codec, "w")
        context.width = context.height = _TRIAL_SIDE
        context.pix_fmt, context.time_base = "nv12", Fraction(1, 25)
        if encoder != "x264":
            context.options = {key: str(value) for key, value in gpu_options(encoder, 23).items()}
        grey = np.full((_TRIAL_SIDE * 3 // 2, _TRIAL_SIDE), 128, np.uint8)
        packets: list[Any] = []
        for number in range(_TRIAL_FRAMES):
            picture = av.VideoFrame.from_ndarray(grey, format="nv12")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            packets += context.encode(picture)
        packets += context.encode(None)
    except (av.FFmpegError, ValueError, TypeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return "" if len(packets) == _TRIAL_FRAMES else "it gives no pictures"


def working() -> list[str]:
    """Return the encoders that work here; `auto` takes the first."""
    return [encoder for encoder in CODECS if not why_not(encoder)]


def choose(wanted: Encoder) -> str:
    """Return the encoder to use; raises OutputError if it does not work here."""
    if wanted == "auto":
        there = working()
        if not there:
            raise OutputError(f"video.encoder: none works here: {why_not('x264')}")
        return there[0]
    if why := why_not(wanted):
        there = working()
        raise OutputError(
            f"video.encoder: {wanted} does not work here: {why}; "
            f"those that do: {', '.join(there) or 'none'}"
        )
    return wanted
