"""Loading of `.pt` weights with ultralytics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.models.metadata import Metadata, check_boxes_only
from pipeline.models.pt_files import load_pt, not_loadable


def load_yolo(path: Path) -> Any:
    """Return a file that detects as an ultralytics.YOLO; raises ModelError or MissingExtraError."""
    yolo = load_pt(path)
    check_boxes_only(Metadata(task=yolo.task), path)
    return yolo


def load_network(path: Path) -> Any:
    """Return the torch module of a file that detects, fused; errors as of `load_yolo`."""
    model = load_yolo(path).model
    try:
        model = model.eval().fuse(verbose=False).requires_grad_(False)
        model.stride.max(), dict(model.names)  # what the rest of the program asks for
    except Exception as error:
        raise not_loadable(path, error) from error
    return model


def keep_boxes_exact(network: Any) -> None:
    """Make a network that runs in fp16 work its boxes out in fp32; scores and features stay fp16.

    At 640 pixels neighbouring fp16 numbers are half a pixel apart, which a box that is scaled up
    to the picture shows. The head's last step, from distances to edges to boxes in pixels, is a
    thousandth of the network's work. Heads without that step are left as they are.
    """
    head = network.model[-1]
    inherited = getattr(type(head), "_inference", None)
    if inherited is None or not hasattr(head, "dfl"):
        return
    head.dfl.float()
    head.shape = None  # what it has computed for the last input size is in fp16

    def inference(predictions: dict[str, Any]) -> Any:
        # Of the feature maps only sizes and type are looked at: one channel is enough.
        exact = {
            name: [each[:, :1].float() for each in value] if name == "feats" else value.float()
            for name, value in predictions.items()
        }
        return inherited(head, exact)

    head._inference = inference


def grid_of(network: Any) -> tuple[Any, ...]:
    """Return the tensors that a head computes per input size, which a captured graph goes on using.

    The head itself lets go of them as soon as it sees another size.
    """
    head = network.model[-1]
    return tuple(getattr(head, name, None) for name in ("anchors", "strides"))
