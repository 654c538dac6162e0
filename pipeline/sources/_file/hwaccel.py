"""Decoding on an NVIDIA GPU through FFmpeg, if available; pictures are delivered as usual.

The GPU's decoder returns NV12 or P010 pictures in main memory: later stages stay the same.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from av import VideoFrame
    from av.codec.hwaccel import HWAccel

Decode = Literal["auto", "cpu", "cuda"]

_LIBRARIES = {"win32": ("nvcuda.dll", "nvcuvid.dll")}
_DOWNLOADED = frozenset(
    ("nv12", "nv16", "p010le", "p012le", "p016le", "p210le", "p216le", "yuv444p", "yuv444p16le")
)
"""Pixel formats of FFmpeg's CUDA decoders; a software decoder gives yuv420p for nearly every
file."""


def accelerator(decode: Decode) -> HWAccel | None:
    """Return the `hwaccel` argument of `av.open`, None for the CPU; `auto` looks for a decoder."""
    if decode == "cpu" or (decode == "auto" and not decoder_installed()):
        return None
    from av.codec.hwaccel import HWAccel

    return HWAccel("cuda", allow_software_fallback=True)


def decoder_installed() -> bool:
    """Return whether the NVIDIA driver is installed with the library that decodes video."""
    for name in _LIBRARIES.get(sys.platform, ("libcuda.so.1", "libnvcuvid.so.1")):
        try:
            ctypes.CDLL(name)
        except OSError:
            return False
    return True


def came_from_gpu(picture: VideoFrame) -> bool:
    """Return whether a picture of a file opened with an accelerator was decoded by it.

    FFmpeg falls back to its own decoder silently if the GPU has none for a stream.
    """
    return picture.format.name in _DOWNLOADED
