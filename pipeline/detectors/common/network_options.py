"""Options that detectors of networks share: weights, device, thresholds, classes, pictures."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from pipeline.core.options import Needs, OptionsModel, several_names
from pipeline.detectors.common.backend import FamilyOptions, NmsMethod, Precision
from pipeline.models.metadata import MAX_SIDE, MIN_SIDE

Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
ImageSize = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)]
PerColour = tuple[float, float, float]


class NetworkOptions(OptionsModel):
    """Options of every detector that runs a network."""

    needs: ClassVar[tuple[Needs, ...]] = (Needs(("overlap",), "slice", bool, "slice"),)

    model: str
    """Weights: a .onnx file, an OpenVINO folder, a URL, or a name (see `trackline models`)."""
    device: Device | Annotated[tuple[Device, ...], Field(min_length=1)] = "auto"
    """auto, cpu, cuda:N (.pt, .engine, .onnx), or several: [cuda:0, cuda:1]. auto takes a GPU for
    .pt and .engine, where there is one."""
    conf: float = Field(default=0.25, ge=0, lt=1)
    """Boxes with a score up to this are dropped. Unless it is set, trackers that make use of
    doubtful boxes get theirs from 0.1 on."""
    classes: tuple[int | str, ...] | None = Field(default=None, min_length=1)
    """Names or ids of the classes to keep; all if not given."""
    max_det: int = Field(default=300, ge=1)
    """Most boxes kept per frame, best first."""
    slice: ImageSize | None = None
    """For small objects: side in pixels of the tiles that larger pictures are cut into. The network
    sees each tile, and the whole picture once."""
    overlap: float = Field(default=0.2, ge=0, le=0.9)
    """How much of a tile's side neighbours share; an object wider than that may be cut by both."""
    batch: int | None = Field(default=None, ge=1)
    """Most frames taken at once; by default what suits the machine."""
    precision: Precision = "auto"
    """auto, fp32, bf16 (CPU), fp16 (CUDA) or int8. auto is what suits the machine: see
    docs/networks.md. int8 takes what `trackline models export --int8` made, also from beside
    `model`."""
    names: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Class names in order, in place of those in the weights; or a text file with one a line."""
    input_scale: Literal[1, 255] | None = None
    """The number that stands for white in the network's input, where it is not found."""

    @field_validator("names", mode="before")
    @classmethod
    def _names_from_text(cls, value: object) -> object:
        """Take `car,van` as it is written on a command line."""
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value

    @field_validator("input_scale", mode="before")
    @classmethod
    def _scale_from_text(cls, value: object) -> object:
        """Take a number that was written as text."""
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @field_validator("device", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        """Take `cuda:0,cuda:1` as it is written on a command line."""
        return value.split(",") if isinstance(value, str) and "," in value else value

    @field_validator("classes", mode="before")
    @classmethod
    def _from_one(cls, value: object) -> object:
        """Take `person,car` and a lone name or id as they are written on a command line."""
        return several_names(value)


class SuppressionOptions(OptionsModel):
    """Options of detectors that suppress duplicates."""

    needs: ClassVar[tuple[Needs, ...]] = (
        Needs(("nms_sigma",), "nms", lambda nms: nms == "soft", "nms: soft"),
        Needs(("iou",), "nms", lambda nms: nms != "soft", "nms: greedy, diou or wbf"),
    )

    iou: float = Field(default=0.7, ge=0, le=1)
    """Of two boxes of a class that overlap by more than this, only the better one is kept."""
    agnostic_nms: bool = False
    """Let boxes of different classes suppress each other."""
    nms: NmsMethod = "greedy"
    """How duplicates are suppressed: greedy, diou (neighbours in a row stay), soft (they get lower
    scores, `iou` does not matter) or wbf (boxes are averaged)."""
    nms_sigma: float = Field(default=0.5, gt=0)
    """How far overlap lowers scores with nms: soft; the higher, the less."""


class FamilyNetworkOptions(NetworkOptions):
    """Options of the detectors for families beyond YOLO."""

    imgsz: ImageSize | None = None
    """Side of the input in pixels, where the network leaves it open; by default what suits it."""
    fit: Literal["letterbox", "stretch"] | None = None
    """How a picture is fitted into the input, its shape kept or not; by default as the family is
    trained."""
    colours: Literal["rgb", "bgr"] | None = None
    """Order of the colours in the input; by default the family's."""
    mean: PerColour | None = None
    """Subtracted from the colours, which are 0 to 1; in the order of `colours`."""
    std: PerColour | None = None
    """What the colours are divided by then."""

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _colours_from_text(cls, value: object) -> object:
        """Take `0.485,0.456,0.406` as it is written on a command line."""
        return value.split(",") if isinstance(value, str) else value

    def family(self, kind: str, **more: Any) -> FamilyOptions:
        """Return what a network of this family is read by."""
        return FamilyOptions(
            kind=kind,
            imgsz=self.imgsz,
            placing=self.fit,
            colours=self.colours,
            input_scale=self.input_scale,
            mean=self.mean,
            std=self.std,
            **more,
        )
