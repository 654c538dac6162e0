"""Classifier network from a `.pt` file on CUDA or CPU: TorchScript, or ultralytics' YOLO-cls.

A `.pt` file can run any code when it is loaded: open only weights from people you trust.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.classifiers._network import Facts
from pipeline.core.data import Float32
from pipeline.core.errors import ModelError
from pipeline.models.metadata import Metadata, check_task
from pipeline.models.pt_files import load_pt, missing_library

TASK = "classify"
BATCH = 32
"""Maximum pictures per batch."""


class TorchNetwork:
    """A `Network` (see _network) run by torch in fp32."""

    def __init__(self, path: Path, device: str) -> None:
        try:
            import torch
        except ImportError as error:
            raise missing_library(error) from error
        self._torch, self._path = torch, path
        self._device = _device(torch, device)
        self._module, self.facts = self._load()
        self._module = self._module.eval().to(self._device)

    def _load(self) -> tuple[Any, Facts]:
        if _is_torchscript(self._path):
            try:
                return self._torch.jit.load(str(self._path), map_location="cpu"), Facts(None)
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[0]
                raise ModelError(f"model: torch cannot load {self._path}: {reason}") from error
        yolo = load_pt(self._path)
        check_task(Metadata(task=yolo.task), self._path, TASK)
        side = yolo.model.args.get("imgsz", 224)
        facts = {"task": TASK, "names": dict(yolo.names), "imgsz": side}
        return yolo.model.float(), Facts(None, facts)

    def start(self, size: tuple[int, int]) -> None:
        """Run one picture of `size`; raises ModelError if the network is not a classifier."""
        self.run(np.zeros((1, 3, *size), np.float32))

    def run(self, planes: Float32) -> Float32:
        """Return the output for each picture; f32[N,3,H,W] in, f32[N,classes] out."""
        parts = [self._run(planes[at : at + BATCH]) for at in range(0, len(planes), BATCH)]
        return np.concatenate(parts)

    def _run(self, planes: Float32) -> Float32:
        try:
            with self._torch.inference_mode():
                output = self._module(self._torch.from_numpy(planes).to(self._device))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(f"model: {self._path} failed on a picture: {reason}") from error
        # YOLO-cls: probabilities, logits.
        output = output[0] if isinstance(output, list | tuple) else output
        shape = tuple(getattr(output, "shape", ()))
        if len(shape) < 2 or shape[0] != len(planes) or any(side != 1 for side in shape[2:]):
            came = list(shape) or type(output).__name__
            raise ModelError(
                f"model: {self._path} answers {came}, want [{len(planes)},classes] of a classifier"
            )
        return np.asarray(output.flatten(1).float().cpu().numpy(), np.float32)

    def close(self) -> None:
        """Release the network; safe to call twice."""
        self._module = None


def _device(torch: Any, wanted: str) -> Any:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        wanted = "cuda:0" if count else "cpu"
    if wanted.startswith("cuda") and int(wanted.partition(":")[2] or 0) >= count:
        raise ModelError(f"device: no {wanted}: torch sees {count} CUDA devices; cpu is allowed")
    return torch.device(wanted)


def _is_torchscript(path: Path) -> bool:
    """Return whether a file was written by torch.jit.save: those hold the code of their classes."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as content:
        return any("/code/" in name for name in content.namelist())
