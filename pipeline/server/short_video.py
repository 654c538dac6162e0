"""Checks of an uploaded video before it is analysed: type, completeness, limits.

FFmpeg detects formats by content, and some of them are not videos but lists of other files: an
uploaded playlist would make it read files of this machine. Only containers that hold their own
pictures are opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import SourceError, system_reason
from pipeline.core.paths import ffmpeg_path
from pipeline.sources._file.damage import duration_s
from pipeline.sources._file.declared_length import missing_bytes
from pipeline.sources._file.picture_size import decoder_limit, too_large
from pipeline.sources.file import FileSource, Options

READABLE = "MP4, MOV, WebM, MKV, AVI, MPEG, FLV, WMV, OGG, GIF or the like"
_DEMUXERS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,gif,mxf,dv,ivf"


@dataclass(frozen=True, slots=True)
class ShortVideo:
    """Declared properties of an accepted video: displayed size, seconds, frames; 0 if unknown."""

    width: int
    height: int
    duration_s: float
    frames: int


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """Limits of a short video."""

    seconds: float
    frames: int
    megapixels: float

    def objection(self, seconds: float, frames: int) -> str | None:
        """Return the message that a video is too long, None if it is not."""
        if seconds > self.seconds:
            return f"it lasts longer than {self.seconds:g} s"
        if frames > self.frames:
            return f"it has more than {self.frames} frames"
        return None


def check_short_video(path: Path, limits: VideoLimits) -> ShortVideo:
    """Return the declared properties of a file, once its first frame is decoded.

    Raises SourceError, with a reason that does not name the file, for anything but a video, and for
    one that is truncated or declares more than the limits. False declarations are caught while it
    is read.
    """
    long_s, frames = _declared(path, limits)
    if (why := limits.objection(long_s, frames)) is not None:
        raise SourceError(why)
    source = FileSource(Options(path=path, max_megapixels=limits.megapixels))
    try:
        info = source.open()
    except SourceError as error:
        raise SourceError(str(error).removeprefix(f"{path}: ")) from None
    finally:
        source.close()
    if info.unrelated:
        raise SourceError("it is a picture, not a video")
    return ShortVideo(info.width, info.height, long_s, frames or info.frame_count or 0)


def _declared(path: Path, limits: VideoLimits) -> tuple[float, int]:
    """Return duration in seconds and number of frames by the container's word."""
    import av

    from pipeline.sources._file.picture import picture_stream

    options = {
        "format_whitelist": _DEMUXERS,
        "protocol_whitelist": "file",
        **decoder_limit(limits.megapixels),
    }
    try:
        if missing := missing_bytes(path):
            raise SourceError(f"not a video: it is cut off, {missing} bytes are missing")
        with av.open(ffmpeg_path(path), "r", options=options) as container:
            stream = picture_stream(container)
            if stream is None:
                raise SourceError("not a video: it holds no pictures that can be decoded")
            context = stream.codec_context
            if why := too_large(context.width, context.height, limits.megapixels):
                raise SourceError(why)
            long_s = duration_s(stream) or (container.duration or 0) / av.time_base
            return max(0.0, long_s), stream.frames
    except (av.FFmpegError, OSError, ValueError) as error:
        why = system_reason(error) or str(error)
        raise SourceError(f"not a video: {why}; want {READABLE}") from None
