"""The NVIDIA driver asked directly, through ctypes: torch takes seconds to import, or is absent.

See the CUDA Driver API (cuInit, cuDriverGetVersion, ...) and NVML's reference manual.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Load = Callable[[str], Any]

_DRIVER = {"win32": "nvcuda.dll"}
_MANAGEMENT = {"win32": "nvml.dll"}
_DECODER = {"win32": "nvcuvid.dll"}
_NAME_BYTES = 128
_SUCCESS = 0


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU; `capability` is its compute capability, (9, 0) for Hopper."""

    name: str
    memory_bytes: int
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver: its own version, the newest CUDA it supports, its devices.

    `problem` says why it cannot be used although it is installed; `decodes` whether the library
    that decodes video is there.
    """

    version: str | None
    cuda: str | None
    devices: tuple[Device, ...]
    decodes: bool
    problem: str | None = None


def driver(load: Load = ctypes.CDLL) -> Driver | None:
    """Return the NVIDIA driver's facts, None if none is installed."""
    library = _loaded(load, _DRIVER.get(sys.platform, "libcuda.so.1"))
    if library is None:
        return None
    decodes = _loaded(load, _DECODER.get(sys.platform, "libnvcuvid.so.1")) is not None
    own = _driver_version(_loaded(load, _MANAGEMENT.get(sys.platform, "libnvidia-ml.so.1")))
    if (code := library.cuInit(0)) != _SUCCESS:
        return Driver(own, None, (), decodes, f"cuInit failed with error {code}")
    cuda = _number(library.cuDriverGetVersion)
    count = _number(library.cuDeviceGetCount)
    devices = tuple(_device(library, index) for index in range(count))
    return Driver(own, f"{cuda // 1000}.{cuda % 1000 // 10}", devices, decodes)


def torch_cuda() -> str | None:
    """Return which CUDA the installed torch was built for, None for a CPU build or no torch.

    Read from the file torch writes about itself, without importing it.
    """
    spec = find_spec("torch")
    if spec is None or not spec.origin:
        return None
    try:
        text = Path(spec.origin).with_name("version.py").read_text("utf-8")
    except OSError:
        return None
    found = re.search(r"^cuda\b[^=]*=\s*'([\d.]+)'", text, re.MULTILINE)
    return found[1] if found else None


def _loaded(load: Load, name: str) -> Any:
    try:
        return load(name)
    except OSError:
        return None


def _number(function: Any, *arguments: Any) -> int:
    """Return the int that a driver function writes, 0 where it fails."""
    value = ctypes.c_int()
    return value.value if function(ctypes.byref(value), *arguments) == _SUCCESS else 0


def _device(library: Any, index: int) -> Device:
    name = ctypes.create_string_buffer(_NAME_BYTES)
    library.cuDeviceGetName(name, _NAME_BYTES, index)
    total = ctypes.c_size_t()
    library.cuDeviceTotalMem_v2(ctypes.byref(total), index)
    # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
    major, minor = (_number(library.cuDeviceGetAttribute, each, index) for each in (75, 76))
    return Device(name.value.decode(errors="replace"), total.value, (major, minor))


def _driver_version(management: Any) -> str | None:
    if management is None or management.nvmlInit_v2() != _SUCCESS:
        return None
    text = ctypes.create_string_buffer(_NAME_BYTES)
    management.nvmlSystemGetDriverVersion(text, _NAME_BYTES)
    management.nvmlShutdown()
    return text.value.decode(errors="replace") or None
