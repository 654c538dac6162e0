"""Request and response models of the routes that change cameras."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.engine import DetectOptions
from pipeline.server.schemas import ApiModel, Name

Address = Annotated[str, Field(max_length=2000)]


class CameraForm(ApiModel):
    """A camera to add, or changes to one: values not given stay."""

    name: Name | None = None
    """Its name; by default its host."""
    address: Address | None = None
    """rtsp://, rtsps://, http:// or https://, or the number of a camera on this machine."""
    user: str | None = Field(None, max_length=200)
    password: str | None = Field(None, max_length=1000, repr=False)
    """Kept in secrets.yaml, and never returned."""
    record: Address | None = None
    """Main stream for clips, on the same host and with the same login; "" for none."""
    detect: DetectOptions | None = None
    """Its detection options that differ from the section `detector`; null for none."""
    version: str | None = Field(None, max_length=64)
    """Version of the settings that the change is based on: 409 if they have changed since."""


class CameraTry(CameraForm):
    """A camera to test: a new one, or an existing one with changes."""

    camera: Name | None = None
    """Name of an existing camera, whose values apply where none are given."""


class CameraSettings(ApiModel):
    """A camera as in the configuration file, without its password."""

    name: str
    address: str | None
    """Without a login; secrets in it are masked. null for a source that is not a camera."""
    record: str | None
    """The address of its main stream, likewise; null without one."""
    user: str
    has_password: bool
    detect: DetectOptions
    """Its detection options that differ from `shared`."""
    shared: DetectOptions
    """Detection options of cameras without their own."""
    classes: list[str]
    """Class names of the detector; empty before it is loaded."""
    takes_sizes: bool
    """Whether an input size (`imgsz`) of the camera's own has an effect; true before the detector
    is loaded."""
    version: str


class CameraPicture(ApiModel):
    """Picture and properties of a tested camera."""

    jpeg: str
    """A JPEG, base64; at most 640 pixels wide."""
    width: int
    height: int
    fps: float | None
    """Pictures per second; null if unknown."""
