"""Options shared by network detectors: weights, device, thresholds, classes, batch."""

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
    """Weights: an .onnx file, an OpenVINO folder, a URL, or a name (see `trackline models`)."""
    device: Device | Annotated[tuple[Device, ...], Field(min_length=1)] = "auto"
    """auto, cpu, cuda:N (.pt, .engine, .onnx), or several: [cuda:0, cuda:1]. auto uses a GPU for
    .pt and .engine, if there is one."""
    conf: float = Field(default=0.25, ge=0, lt=1)
    """Boxes with a score up to this are dropped. Unless it is set, two-stage trackers get boxes
    from 0.1 on."""
    classes: tuple[int | str, ...] | None = Field(default=None, min_length=1)
    """Names or ids of the classes to keep; null for all."""
    max_det: int = Field(default=300, ge=1)
    """Maximum boxes per frame, best first."""
    slice: ImageSize | None = None
    """For small objects: side in pixels of the tiles into which larger pictures are cut. The
    network sees each tile, and the whole picture once."""
    overlap: float = Field(default=0.2, ge=0, le=0.9)
    """Overlap of neighbouring tiles, as a share of their side; larger objects may be cut by
    both."""
    batch: int | None = Field(default=None, ge=1)
    """Maximum frames per batch; by default as suits the machine."""
    precision: Precision = "auto"
    """auto, fp32, bf16 (CPU), fp16 (CUDA) or int8. auto is chosen for the machine: see
    docs/networks.md. int8 needs weights made by `trackline models export --int8`, given as or found
    beside `model`."""
    names: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Class names in order, instead of those in the weights; or a text file with one per line."""
    input_scale: Literal[1, 255] | None = None
    """The value of white in the network's input, if it cannot be detected."""

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
    """IoU above which only the better of two boxes of a class is kept."""
    agnostic_nms: bool = False
    """Let boxes of different classes suppress each other."""
    nms: NmsMethod = "greedy"
    """Suppression of duplicates: greedy, diou (keeps neighbours in a row), soft (lowers their
    scores, ignores `iou`) or wbf (averages boxes)."""
    nms_sigma: float = Field(default=0.5, gt=0)
    """Width of the score penalty with nms: soft; higher values lower scores less."""


class FamilyNetworkOptions(NetworkOptions):
    """Options of the detectors for families beyond YOLO."""

    imgsz: ImageSize | None = None
    """Side of the input in pixels, if the network leaves it open; the default depends on the
    network."""
    fit: Literal["letterbox", "stretch"] | None = None
    """How a picture is fitted into the input, keeping its aspect ratio or not; by default as the
    family was trained."""
    colours: Literal["rgb", "bgr"] | None = None
    """Order of the colours in the input; by default the family's."""
    mean: PerColour | None = None
    """Subtracted from the colours (0 to 1), in the order of `colours`."""
    std: PerColour | None = None
    """Divisor of the colours after the subtraction."""

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
