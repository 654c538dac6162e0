"""torchvision, with its two compiled operators in plain torch where its own cannot be loaded.

Its wheels must match torch's build exactly; where they do not, importing it fails with "operator
torchvision::nms does not exist", and so does what else imports it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import torch

_kept: list[Any] = []
"""The library of operators: they go with it."""


def import_torchvision() -> Any:
    """Return the module torchvision, whole or with stand-ins; ONNX exports are the same."""
    try:
        import torchvision
    except (ImportError, RuntimeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    else:
        return torchvision
    library = torch.library.Library("torchvision", "FRAGMENT")
    _kept.append(library)
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
        "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor"
    )
    library.impl("nms", nms, "CPU")
    register = torch.library.register_fake

    def register_others(name: str, *more: Any, **options: Any) -> Callable[..., Any]:
        """Register nothing for operators that are not there."""
        ours = isinstance(name, str) and name.startswith("torchvision::")
        return (lambda function: function) if ours else register(name, *more, **options)

    _compile_nothing()
    torch.library.register_fake = register_others
    try:
        import torchvision
    finally:
        torch.library.register_fake = register
    torchvision.extension._has_ops = _has_ops
    module = sys.modules["torchvision.ops.roi_align"]
    module._has_ops = _has_ops
    plain = getattr(module._roi_align, "_torchdynamo_orig_callable", module._roi_align)
    library.impl("roi_align", lambda *arguments: plain(*arguments), "CPU")
    return torchvision


def has_stand_ins() -> bool:
    """Return whether operators are the stand-ins."""
    return bool(_kept)


def _compile_nothing() -> None:
    """Switch torch's compiler off: torchvision compiles its own stand-in for roi_align.

    Loading the compiler to say so would take 80 MB, which comparisons of memory would show.
    """
    os.environ["TORCHDYNAMO_DISABLE"] = "1"
    if (compiler := sys.modules.get("torch._dynamo")) is not None:
        compiler.config.disable = True


def _has_ops() -> bool:
    return True


def nms(dets: Any, scores: Any, iou_threshold: float) -> Any:
    """Return i64[K] rows kept, best score first: a box goes when its IoU is above the threshold."""
    left, top, right, bottom = dets.unbind(1)
    area = (right - left) * (bottom - top)
    waiting = scores.argsort(descending=True, stable=True)
    keep = []
    while waiting.numel():
        best, rest = waiting[0], waiting[1:]
        keep.append(best)
        width = torch.minimum(right[best], right[rest]) - torch.maximum(left[best], left[rest])
        height = torch.minimum(bottom[best], bottom[rest]) - torch.maximum(top[best], top[rest])
        shared = width.clamp(min=0) * height.clamp(min=0)
        waiting = rest[shared / (area[best] + area[rest] - shared) <= iou_threshold]
    return torch.stack(keep) if keep else torch.zeros(0, dtype=torch.int64)
