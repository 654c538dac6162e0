"""The configuration's section `web.uploads`: limits of uploaded pictures and videos."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.options import OptionsModel

_MAX_MB = 4096


class UploadOptions(OptionsModel):
    """How much may be uploaded; what is beyond is refused. MB are 2**20 bytes."""

    picture_mb: int = Field(32, ge=1, le=_MAX_MB)
    """Largest request with pictures."""
    picture_megapixels: float = Field(64.0, gt=0)
    """Largest picture that is decoded, by its header: 64 megapixels take 192 MB."""
    pictures: int = Field(20, ge=1, le=1000)
    """Most pictures in one request."""
    picture_requests: int = Field(8, ge=1, le=1000)
    """Requests with pictures that may upload or wait at once."""
    video_mb: int = Field(256, ge=1, le=_MAX_MB)
    """Largest video file; it lies in the system's folder for temporary files while it is read."""
    video_megapixels: float = Field(9.0, gt=0)
    """Largest frame of a video: 4K has 8.3 megapixels."""
    video_s: float = Field(180.0, gt=0)
    """Longest video, in seconds."""
    video_frames: int = Field(10_800, ge=1)
    """Most frames of a video."""
    videos: int = Field(4, ge=1, le=100)
    """Videos that may upload, wait or be kept for their sender at once; one is analysed at a
    time."""
