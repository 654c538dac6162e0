"""All checks of `trackline doctor`, and the verdict: what will work here and what will not."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from pipeline.core.install_hints import install_command
from pipeline.tools.doctor import machine as surroundings
from pipeline.tools.doctor import media, networks
from pipeline.tools.doctor.cuda import driver, torch_cuda
from pipeline.tools.doctor.findings import Finding, installed, look


def examine() -> list[Finding]:
    """Return the findings of every check on this machine."""
    gpu = driver()

    def run_networks() -> Iterator[Finding]:
        there = networks.Torch(installed("torch"), torch_cuda(), installed("ultralytics"))
        yield networks.nvidia(gpu)
        yield networks.torch(gpu, there)
        yield networks.tensorrt(gpu, installed("tensorrt"))

    return [
        _program(),
        *_extras(),
        *look("machine", "limits", surroundings.machine),
        *look("video", "library", lambda: media.media(gpu)),
        *look("networks", "openvino", networks.openvino),
        *look("networks", "cuda", run_networks),
        *look("screen", "opencv", surroundings.opencv),
        *look("files", "limits", surroundings.files),
    ]


def _program() -> Finding:
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    words = f"trackline {version('trackline')}, Python {platform.python_version()}, {system}"
    return Finding("machine", "program", "works", words, {"python": sys.executable})


def _extras() -> Iterator[Finding]:
    """Yield which of the package's extras are complete, from its own metadata."""
    try:
        lines = requires("trackline") or []
    except PackageNotFoundError:  # run from a checkout that was never installed
        return
    needs: dict[str, list[str]] = {}
    for line in lines:
        if found := _EXTRA.match(line):
            needs.setdefault(found[2], []).append(found[1])
    needs.pop("dev", None)
    there = [name for name, packages in needs.items() if all(map(installed, packages))]
    missing = [name for name in needs if name not in there]
    words = ", ".join(there) or "none"
    if missing:
        words += f"; not {', '.join(missing)} ({install_command(missing[0])})"
    yield Finding("machine", "extras", "works", words, {"there": there, "missing": missing})


_EXTRA = re.compile(r"([\w.-]+).*;.*extra == ['\"]([\w-]+)['\"]")
"""One of the package's optional requirements: what is needed, and by which extra."""


def verdict(findings: Sequence[Finding]) -> list[str]:
    """Return sentences: what will work on this machine, then what to repair."""
    found = {(each.section, each.name): each for each in findings}

    def works(section: str, name: str) -> bool:
        return (section, name) in found and found[section, name].state in ("works", "limited")

    # Pictures are drawn on and shrunk with OpenCV: where it does not load nothing runs.
    lines = list(_sentences(works, works_opencv=("screen", "opencv") not in found))
    broken = [each for each in findings if each.state == "broken"]
    return lines + [f"To repair: {each.section}, {each.name}: {each.words}." for each in broken]


def _sentences(works: Any, *, works_opencv: bool) -> Iterable[str]:
    if works("video", "decoders") and works("networks", "openvino") and works_opencv:
        yield "Files are read, tracked and written on the CPU (.onnx and OpenVINO weights)."
    else:
        yield "Nothing is read or tracked before what is to be repaired is repaired."
    if works("video", "protocols") and works_opencv:
        yield "Cameras on the network can be watched (rtsp, http)."
    if works("networks", "nvidia") and works("networks", "torch"):
        yield ".pt weights run on the GPU."
    elif works("networks", "torch"):
        yield ".pt weights run on the CPU; export them: trackline models export FILE.pt."
    else:
        yield ".pt weights do not run; .onnx ones do without any extra."
    if works("video", "hardware decoding"):
        yield "Video is decoded on the GPU with decode: cuda."
    if not works("screen", "window"):
        yield "No window can be shown: save a video instead of --show."
