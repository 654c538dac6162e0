"""Request and response models of the routes that change cameras."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.engine import DetectOptions
from pipeline.server.schemas import ApiModel, Name

Address = Annotated[str, Field(max_length=2000)]


class CameraForm(ApiModel):
    """A camera to add, or what to change of one: what is not given stays as it is."""

    name: Name | None = None
    """What it is called; by default its host."""
    address: Address | None = None
    """rtsp://, rtsps://, http:// or https://, or the number of a camera on this machine."""
    user: str | None = Field(None, max_length=200)
    password: str | None = Field(None, max_length=1000, repr=False)
    """Kept in secrets.yaml, and never returned."""
    record: Address | None = None
    """The main stream for its clips, on the same host and with the same login; "" for none."""
    detect: DetectOptions | None = None
    """What is detected on it, where that differs from the section `detector`; null for nothing."""
    version: str | None = Field(None, max_length=64)
    """As the settings said that the change is based on: refused with 409 if they are others now."""


class CameraTry(CameraForm):
    """A camera to try: by itself, or as one that is there with some changes."""

    camera: Name | None = None
    """One that is there: what is not given is as it is there."""


class CameraSettings(ApiModel):
    """A camera as the configuration file has it, without its password."""

    name: str
    address: str | None
    """Without a login; secrets in it are masked. null for a source that is no camera."""
    record: str | None
    """The address of its main stream, likewise; null without one."""
    user: str
    has_password: bool
    detect: DetectOptions
    """What is detected on it, where that differs from `shared`."""
    shared: DetectOptions
    """What is detected on cameras that do not say."""
    classes: list[str]
    """Names of the classes the detector knows; empty before it is loaded."""
    takes_sizes: bool
    """Whether an input size (`imgsz`) of the camera's own has an effect; true before the detector
    is loaded."""
    version: str


class CameraPicture(ApiModel):
    """What a camera shows that was tried."""

    jpeg: str
    """A JPEG, base64; at most 640 pixels wide."""
    width: int
    height: int
    fps: float | None
    """Pictures a second; null where it is not known."""
