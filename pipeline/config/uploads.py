"""The configuration's section `web.uploads`: limits of uploaded pictures and videos."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.options import OptionsModel

_MAX_MB = 4096


class UploadOptions(OptionsModel):
    """Limits of uploads; anything beyond is refused. MB are 2**20 bytes."""

    picture_mb: int = Field(32, ge=1, le=_MAX_MB)
    """Maximum size of a request with pictures."""
    picture_megapixels: float = Field(64.0, gt=0)
    """Maximum size of a picture to decode, by its header: 64 megapixels take 192 MB."""
    pictures: int = Field(20, ge=1, le=1000)
    """Maximum number of pictures in one request."""
    picture_requests: int = Field(8, ge=1, le=1000)
    """Maximum number of requests with pictures uploading or waiting at once."""
    video_mb: int = Field(256, ge=1, le=_MAX_MB)
    """Maximum size of a video; it is kept in the system's temporary folder while it is read."""
    video_megapixels: float = Field(9.0, gt=0)
    """Maximum frame size of a video: 4K has 8.3 megapixels."""
    video_s: float = Field(180.0, gt=0)
    """Maximum length of a video, in seconds."""
    video_frames: int = Field(10_800, ge=1)
    """Maximum number of frames of a video."""
    videos: int = Field(4, ge=1, le=100)
    """Maximum number of videos uploading, waiting or kept at once; one is analysed at a time."""
