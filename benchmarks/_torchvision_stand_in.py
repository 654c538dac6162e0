"""A NumPy stand-in for `torchvision.ops.nms`, for machines whose torchvision cannot load.

torchvision's CUDA and CPU wheels must match torch's build exactly; where they do not, importing
it fails with "operator torchvision::nms does not exist" and ultralytics cannot predict at all.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from typing import Any


def install_if_torchvision_fails() -> bool:
    """Return True if `torchvision` could not be imported and now is the stand-in."""
    try:
        import torchvision
    except (ImportError, RuntimeError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
    else:
        return False
    torchvision = types.ModuleType("torchvision")
    torchvision.ops = types.ModuleType("torchvision.ops")
    torchvision.ops.nms = _nms
    torchvision.__version__ = "0.0.0"
    for module in (torchvision, torchvision.ops):
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
        sys.modules[module.__name__] = module
    return True


def _nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Return i64[K] rows kept, best score first: greedy, a box goes when IoU > the threshold."""
    import numpy as np
    import torch

    xyxy = boxes.detach().cpu().numpy()
    left, top, right, bottom = np.ascontiguousarray(xyxy.T)
    area = (right - left) * (bottom - top)
    waiting = np.argsort(-scores.detach().cpu().numpy(), kind="stable")
    keep = []
    while waiting.size:
        best, rest = waiting[0], waiting[1:]
        keep.append(best)
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        waiting = rest[shared / (area[best] + area[rest] - shared) <= iou_threshold]
    return torch.as_tensor(np.array(keep, np.int64), device=boxes.device)
