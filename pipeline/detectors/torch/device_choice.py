"""Choice of device and precision from the options and the devices that torch finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.core.errors import ModelError
from pipeline.core.install_hints import pip_command
from pipeline.detectors.common.backend import Settings

ENGINE = ".engine"


def import_torch() -> Any:
    """Return torch; raises ModelError if it is missing."""
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            "model: .engine files need torch's CUDA build and tensorrt: "
            f"{pip_command('torch', 'tensorrt')}"
        ) from error
    return torch


def choose_device(torch: Any, settings: Settings) -> Any:
    """Return the requested torch.device; raises ModelError if it is not available."""
    wanted = settings.device
    is_engine = settings.path.suffix.lower() == ENGINE
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        wanted = "cuda:0" if count or is_engine else "cpu"
    if wanted == "cpu" and is_engine:
        raise ModelError("device: .engine files run on CUDA only, got 'cpu'; allowed is cuda:N")
    index = int(wanted.partition(":")[2] or 0)
    if wanted.startswith("cuda") and index >= count:
        more = "" if is_engine else "; cpu is allowed"
        raise ModelError(f"device: no {wanted}: torch sees {count} CUDA devices{more}")
    return torch.device("cpu") if wanted == "cpu" else torch.device("cuda", index)


def choose_half(settings: Settings, *, on_cuda: bool) -> bool:
    """Return whether `.pt` weights run in fp16; raises ModelError for unsupported precisions."""
    allowed = ("auto", "fp32", "fp16") if on_cuda else ("auto", "fp32")
    if settings.precision not in allowed:
        raise ModelError(
            f"precision: .pt weights on {'CUDA' if on_cuda else 'the CPU'}, "
            f"got {settings.precision!r}; allowed are {', '.join(allowed)}"
        )
    return on_cuda and settings.precision != "fp32"


@contextmanager
def current_device(torch: Any, device: Any) -> Iterator[None]:
    """Context that makes a device this thread's current one; does nothing for the CPU.

    Page-locked memory and captures depend on it, and every thread starts with the first GPU.
    """
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        yield
