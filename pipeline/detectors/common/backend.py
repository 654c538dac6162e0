"""Backend protocol of the `yolo` detector: what each inference library implements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from pipeline.core.data import ClassNames, Detections, Float32, Image
from pipeline.core.errors import ModelError
from pipeline.core.yuv import YuvImage

if TYPE_CHECKING:  # it needs OpenCV, which is not to be loaded before a detector opens
    from pipeline.detectors.common.postprocess import Postprocess
    from pipeline.detectors.common.probe import RecognisedLayout

Placing = Literal["letterbox", "corner", "stretch", "native", "shortest"]
"""How a picture is placed in a network's input: see `common.letterbox`."""
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
NmsMethod = Literal["greedy", "diou", "soft", "wbf"]
"""Methods of suppressing duplicates: see `common.nms`."""


@dataclass(frozen=True, slots=True)
class FamilyOptions:
    """Options for networks of families beyond YOLO (see `common.families`); None: the family's.

    `kind` is the family, None to detect it. `anchors` is the number per cell for each feature map;
    () without anchors.
    """

    kind: str | None = None
    imgsz: int | None = None
    placing: Placing | None = None
    colours: Literal["rgb", "bgr"] | None = None
    input_scale: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scores: Literal["none", "sigmoid", "softmax"] | None = None
    background: Literal["none", "first", "last"] | None = None
    style: Literal["torchvision", "detectron2"] | None = None
    multi_label: bool = False
    anchors: tuple[int, ...] = ()


IMGSZ = 640
"""Default longest side for networks with an open input size and no size in their metadata."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Options about running the network, the same for every backend."""

    path: Path
    device: str
    imgsz: int | None
    batch: int | None
    precision: Precision
    prefer_latency: bool
    family: FamilyOptions = FamilyOptions()
    shapes: tuple[tuple[int, int], ...] = ()
    """The (height, width) of the first pictures, as far as known."""

    def input_size(self, said: int | None, stride: int) -> tuple[int, int]:
        """Return the size for longest side `imgsz`, else the file's (`said`), else IMGSZ."""
        return square(self.imgsz or said or IMGSZ, stride)


def square(side: int, stride: int) -> tuple[int, int]:
    """Return an input size with this longest side or a little more, a multiple of the stride."""
    side = -(-side // stride) * stride
    return side, side


@dataclass(frozen=True, slots=True)
class ExtraColumns:
    """Numbers that a network outputs for each box after its scores: see `masks_and_keypoints`.

    `coefficients` is how many weights of mask prototypes there are, `keypoints` how many keypoints
    and of how many numbers each, 2 or 3. `by_column`: a box is a column of the output, not a row.
    `own_masks`: each box has a mask in an output beside the table, which lies over the box
    exactly, or over whole pixels as torchvision rounds it.
    """

    coefficients: int = 0
    keypoints: tuple[int, int] | None = None
    by_column: bool = True
    own_masks: Literal["", "exact", "rounded"] = ""

    @property
    def count(self) -> int:
        """Return how many numbers there are for each box."""
        return self.coefficients if self.keypoints is None else math.prod(self.keypoints)

    def split(self, output: Float32) -> tuple[Float32, Float32]:
        """Return an output f32[rows,columns] without them, and them alone f32[N,count]; views."""
        if not self.count:
            return output, output[:, :0]
        if self.by_column:
            return output[: -self.count], output[-self.count :].T
        return output[:, : -self.count], output[:, -self.count :]

    def __str__(self) -> str:
        if self.own_masks:
            return "masks"
        if self.keypoints is None:
            return f"{self.coefficients} mask coefficients"
        return f"{self.keypoints[0]} keypoints of {self.keypoints[1]} numbers"


@dataclass(frozen=True, slots=True)
class Network:
    """Facts about a network: input, output shape, classes, stride.

    `output_shape` holds for input of `input_size` (height, width), without the columns that `extra`
    says are there for masks or keypoints; None is a side that depends on the picture. `names` is
    empty where the file does not say. `end2end`: duplicates are suppressed in the network already,
    None where the file does not say. Sides of the input are multiples of `stride`. `pixel_max` is
    the number for white, 1 or 255, None where the file does not show it. `imgsz` is the longest
    side that the file says the network is for, None where it is silent.
    """

    input_size: tuple[int, int]
    output_shape: tuple[int | None, ...]
    names: ClassNames
    end2end: bool | None = None
    stride: int = 32
    pixel_max: int | None = None
    extra: ExtraColumns | None = None
    imgsz: int | None = None


@dataclass(frozen=True, slots=True)
class LayoutOverrides:
    """Options that decide the layout in place of the probe; None leaves it to the probe.

    `names` is how many classes there are, `input_scale` the number for white, 1 or 255.
    """

    layout: str | None = None
    names: int | None = None
    input_scale: int | None = None


class Backend(Protocol):
    """Inference backend of one network: `read`, `recognise`, `start`, then batches, then `close`.

    Works on several batches at a time; see pipeline.core.interfaces.Overlapping. Where `submit` or
    `collect` raises, everything in flight is forgotten, and the next batch starts afresh.
    """

    batch_size: int
    in_flight: int
    stage_ms: Mapping[str, float]

    def read(self) -> Network:
        """Read the weights; raises ModelError."""

    def recognise(self, forced: LayoutOverrides) -> RecognisedLayout:
        """Return the layout that the answer to a probe picture has; raises ModelError."""

    def start(self, postprocess: Postprocess) -> None:
        """Prepare for running."""

    def submit(self, images: Sequence[Image]) -> None:
        """Submit a batch; the caller keeps the pictures until it is collected."""

    def collect(self) -> list[Detections]:
        """Return the detections of each picture of the oldest batch; `stage_ms` is about it."""

    def close(self) -> None:
        """Release everything; safe to call twice."""


@runtime_checkable
class SizedBackend(Backend, Protocol):
    """Optional, for backends whose pictures may have inputs of different sizes."""

    @property
    def takes_sizes(self) -> bool:
        """Return whether this network supports it; one of fixed size does not."""

    def submit(self, images: Sequence[Image], sides: Sequence[int | None] = ()) -> None:
        """Submit a batch; `sides` are the longest sides of the inputs, None for the default."""


@runtime_checkable
class PlanesBackend(Backend, Protocol):
    """Optional, for backends that take pictures in the decoder's format."""

    @property
    def takes_yuv(self) -> bool:
        """Return whether this is supported, once the weights are read."""

    def submit(self, images: Sequence[Image | YuvImage]) -> None:
        """Submit a batch."""


def not_int8(path: Path) -> ModelError:
    """Return the error for int8 requested with weights that are not quantized."""
    weights = path.parent if path.suffix.lower() == ".xml" else path
    return ModelError(
        f"precision: {weights} is not quantized to int8; make it so with: "
        f"trackline models export {weights} --int8 --calibrate VIDEO"
    )


def stage_milliseconds(frames: int, total: float, before: float, after: float) -> dict[str, float]:
    """Return ms per frame of each stage, from seconds for all frames.

    Stages overlap in time, so `infer` is what is left of the call: how long this thread waited for
    the network. The three add up to what the call took.
    """
    scale = 1000 / frames
    infer = max(total - before - after, 0.0)
    return {"preprocess": before * scale, "infer": infer * scale, "postprocess": after * scale}
