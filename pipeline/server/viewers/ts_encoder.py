"""TsEncoder: results with their boxes as H.264 in MPEG-TS, for restreamers and players.

A server for RTSP, WebRTC or RTMP (MediaMTX, go2rtc) reads it and serves it on. Publishing to one
from here was tried: PyAV holds the global lock while FFmpeg waits for the server, so that a
server that hangs stops all cameras. This way nothing waits for anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pipeline.core.data import Result
from pipeline.core.scaling import averaged

KEY_EVERY_S = 2.0
"""A viewer of the restreamer sees nothing before the first key frame."""
TRAIL_S = 1.5
_CLOCK = Fraction(1, 90_000)
_MUXER = {"flush_packets": "1", "mpegts_flags": "+resend_headers+initial_discontinuity"}


@dataclass(frozen=True, slots=True)
class TsOptions:
    """Maximum width in pixels, maximum kilobits per second, and whether boxes are drawn."""

    width: int
    kilobits: int
    boxes: bool


class TsEncoder:
    """Encoder of one stream; not thread-safe. Delays no picture."""

    def __init__(self, result: Result, options: TsOptions) -> None:
        import av

        from pipeline.core.drawing import Annotator

        height, width = self.shape = result.frame.shape[:2]
        scale = min(1.0, options.width / width)
        self._size = [max(2, round(side * scale) // 2 * 2) for side in (width, height)]
        self._painter = Annotator(TRAIL_S, by_class=True) if options.boxes else None
        self._output = _Bytes()
        self._container = av.open(self._output, "w", format="mpegts", container_options=_MUXER)
        self._stream = self._container.add_stream("libx264", rate=30)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = _CLOCK
        context.gop_size = 10_000  # key frames are set by time, below
        context.thread_count = 1
        context.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "crf": "23",
            "maxrate": f"{options.kilobits}k",
            "bufsize": f"{options.kilobits}k",
            "forced-idr": "1",
        }
        self._began_at = self._key_at = result.frame.captured_at
        self._ticks = -1

    def encode(self, result: Result) -> bytes:
        """Return the stream's bytes for the next result, whose picture has the first one's size."""
        import av
        from av.video.frame import PictureType

        image, captured_at = result.frame.image, result.frame.captured_at
        if self._painter is not None:
            image = image.copy()
            self._painter.paint(image, result)
        if [image.shape[1], image.shape[0]] != self._size:
            image = averaged(image, (self._size[1], self._size[0]))
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        ticks = round((captured_at - self._began_at) / _CLOCK)
        self._ticks = frame.pts = max(self._ticks + 1, ticks)
        frame.time_base = _CLOCK
        if captured_at >= self._key_at:
            self._key_at = captured_at + KEY_EVERY_S
            frame.pict_type = PictureType.I
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        return self._output.taken()

    def close(self) -> None:
        """Release the encoder."""
        self._container.close()


class _Bytes:
    """File that FFmpeg writes to, whose bytes are taken as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep the bytes."""
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """Return the bytes that were written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
