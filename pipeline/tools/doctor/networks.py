"""Checks of what runs networks: OpenVINO on the CPU, torch and TensorRT on NVIDIA GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pipeline.core.install_hints import install_command
from pipeline.tools.doctor.cuda import Driver
from pipeline.tools.doctor.findings import Finding, State, installed

SECTION = "networks"
_OLDEST_CAPABILITY = (7, 5)
"""Below this torch's current wheels hold no code: Turing."""


def openvino() -> Iterable[Finding]:
    """Yield what OpenVINO sees; raises ImportError where it cannot be loaded."""
    from pipeline.models.openvino_library import openvino_core

    core = openvino_core()
    devices = {
        each: {
            "name": str(core.get_property(each, "FULL_DEVICE_NAME")),
            "precisions": sorted(core.get_property(each, "OPTIMIZATION_CAPABILITIES")),
        }
        for each in core.available_devices
    }
    release = installed("openvino")
    names = ", ".join(f"{key} ({value['name']})" for key, value in devices.items())
    values = {"version": release, "devices": devices}
    words = f"OpenVINO {release}; devices: {names or 'none'}"
    state: State = "works" if "CPU" in devices else "broken"
    yield Finding(SECTION, "openvino", state, words, values)
    if "CPU" not in devices:
        return
    if "BF16" in devices["CPU"]["precisions"]:
        words = "bf16 in hardware: precision auto uses it, about twice as fast as fp32"
        yield Finding(SECTION, "cpu precision", "works", words, {"auto": "bf16"})
    else:
        words = "no bf16 in hardware: precision auto is fp32; an int8 export is faster"
        yield Finding(SECTION, "cpu precision", "limited", words, {"auto": "fp32"})


def nvidia(driver: Driver | None) -> Finding:
    """Return what the NVIDIA driver says."""
    if driver is None:
        return Finding(SECTION, "nvidia", "absent", "no NVIDIA driver: networks run on the CPU")
    values = {
        "driver": driver.version,
        "cuda": driver.cuda,
        "devices": [
            {"name": each.name, "bytes": each.memory_bytes, "capability": each.capability}
            for each in driver.devices
        ],
    }
    if driver.problem or not driver.devices:
        words = driver.problem or "the driver is there, but it shows no GPU"
        return Finding(SECTION, "nvidia", "broken", words, values)
    shown = ", ".join(
        f"cuda:{index} {each.name} {each.memory_bytes / 2**30:.0f} GiB"
        for index, each in enumerate(driver.devices)
    )
    words = f"driver {driver.version or '?'}, CUDA up to {driver.cuda}; {shown}"
    return Finding(SECTION, "nvidia", "works", words, values)


@dataclass(frozen=True, slots=True)
class Torch:
    """Versions of torch, of the CUDA it was built for, and of ultralytics; None where absent."""

    version: str | None
    cuda: str | None
    ultralytics: str | None


def torch(driver: Driver | None, there: Torch) -> Finding:
    """Return whether .pt weights run, and where; nothing is imported."""
    values = asdict(there)
    version, built_for = there.version, there.cuda
    has_gpu = driver is not None and bool(driver.devices)
    if version is None or there.ultralytics is None:
        missing = "torch" if version is None else "ultralytics"
        words = f"{missing} is not installed: .pt weights need {install_command('ultralytics')}"
        return Finding(SECTION, "torch", "absent", words, values)
    if built_for is None:
        words = f"torch {version}, a CPU build: .pt weights run on the CPU"
        if has_gpu:
            words += "; install torch's CUDA build to use the GPU"
        return Finding(SECTION, "torch", "limited" if has_gpu else "works", words, values)
    words = f"torch {version} for CUDA {built_for}"
    if driver is None or not has_gpu:
        words += ", but there is no GPU: .pt weights run on the CPU"
        return Finding(SECTION, "torch", "limited", words, values)
    if _major(built_for) > _major(driver.cuda or "0"):
        words += f", but the driver goes up to CUDA {driver.cuda}: update the driver"
        return Finding(SECTION, "torch", "broken", words, values)
    old = [each.name for each in driver.devices if each.capability < _OLDEST_CAPABILITY]
    if old:
        words += f"; {', '.join(old)} may be too old for it"
        return Finding(SECTION, "torch", "limited", words, values)
    return Finding(SECTION, "torch", "works", f"{words}: .pt weights run on CUDA", values)


def tensorrt(driver: Driver | None, version: str | None) -> Finding:
    """Return whether .engine files run."""
    values = {"version": version}
    if version is None:
        words = "TensorRT is not installed: .engine files cannot be run"
        return Finding(SECTION, "tensorrt", "absent", words, values)
    if driver is None or not driver.devices:
        words = f"TensorRT {version}, but there is no GPU"
        return Finding(SECTION, "tensorrt", "limited", words, values)
    words = f"TensorRT {version}: .engine files made by this version for this GPU run"
    return Finding(SECTION, "tensorrt", "works", words, values)


def _major(version: str) -> int:
    return int(version.partition(".")[0] or 0)
