"""Small videos of every codec in which pictures refer to each other in different ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
from support.tiny_videos import MILLISECONDS, noise_picture

FRAMES = 50
EVEN = [n / 25 for n in range(FRAMES)]
VARIABLE = [n / 25 + (0.4 if n > 20 else 0.0) + 0.013 * (n % 3) for n in range(FRAMES)]


def encoded(
    path: Path, codec: str, options: dict[str, str], times: Sequence[float] = EVEN, gop: int = 20
) -> Path:
    """Write a small video in which every picture differs."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = gop
        if times is VARIABLE:
            stream.codec_context.time_base = MILLISECONDS
        if "bf" in options:
            stream.max_b_frames = int(options["bf"])
        for n, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(noise_picture(n, 48, 64), format="bgr24")
            frame.pts, frame.time_base = round(seconds * 1000), MILLISECONDS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


X264 = {"preset": "ultrafast", "bf": "0"}
B_FRAMES = {"preset": "fast", "bf": "3", "x264-params": "b-adapt=0:rc-lookahead=5"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3:rc-lookahead=6"}
VIDEOS = {
    "h264.mp4": ("libx264", X264, EVEN),
    "h264-b.mp4": ("libx264", B_FRAMES, EVEN),
    "h264-b-variable.mkv": ("libx264", B_FRAMES, VARIABLE),
    "h264-b-open.ts": ("libx264", {**B_FRAMES, "x264-params": "open-gop=1:b-adapt=0"}, EVEN),
    "h264-b.flv": ("libx264", B_FRAMES, EVEN),
    "h264.avi": ("libx264", X264, EVEN),
    "h264-b.avi": ("libx264", B_FRAMES, EVEN),
    "h264-refresh.mkv": (
        "libx264",
        {**B_FRAMES, "x264-params": "intra-refresh=1:b-adapt=0"},
        EVEN,
    ),
    "h264-b.h264": ("libx264", B_FRAMES, EVEN),
    "hevc-b.mp4": ("libx265", X265, EVEN),
    "hevc-layers.mkv": (
        "libx265",
        {**X265, "x265-params": "log-level=none:temporal-layers=3"},
        EVEN,
    ),
    "vp8.webm": (
        "libvpx",
        {"deadline": "realtime", "auto-alt-ref": "1", "lag-in-frames": "8"},
        EVEN,
    ),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, VARIABLE),
    "av1.mkv": ("libsvtav1", {"preset": "12"}, EVEN),
    "mpeg2-b.ts": ("mpeg2video", {"bf": "2"}, EVEN),
    "mpeg4-b.mp4": ("mpeg4", {"bf": "2"}, EVEN),
    "mpeg4.avi": ("mpeg4", {}, EVEN),
    "mpeg4-b.avi": ("mpeg4", {"bf": "2"}, EVEN),
    "mjpeg.mkv": ("mjpeg", {}, VARIABLE),
    "mjpeg.avi": ("mjpeg", {}, EVEN),
}
