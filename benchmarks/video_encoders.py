"""Prints time, memory, bytes and likeness of the saved video by preset and working encoder.

    python benchmarks/video_encoders.py VIDEO [--frames 60] [--presets ultrafast veryfast]

The pictures go through the sink `video` as a run's do, without boxes. CPU milliseconds a frame are
those of this process, all threads; MB is what the sink adds to it at most (Linux); SSIM (Wang et
al. 2004) and PSNR compare the luma with what was given to the encoder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from _side_by_side import peak_mb

from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.core.malloc import return_freed, share_arenas
from pipeline.core.run_info import RunInfo
from pipeline.core.video_encoders import working
from pipeline.sinks import video
from pipeline.sources import file

PRESETS = ["ultrafast", "superfast", "veryfast", "medium"]


def main() -> None:
    """Print a line for each preset of x264, and for each encoder of a GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--crf", type=int, default=23)
    given = parser.parse_args()
    share_arenas()  # as a run does
    frames = read(given.video, given.frames)
    print(f"{given.video.name}, {len(frames)} frames of {frames[0].shape[1]}x{frames[0].shape[0]}")
    print(f"{'':24}{'CPU ms':>10}{'MB':>8}{'kB a frame':>12}{'SSIM':>9}{'PSNR':>8}")
    settings: list[dict[str, Any]] = [{"preset": preset} for preset in given.presets]
    settings += [{"encoder": encoder} for encoder in working() if encoder != "x264"]
    for options in settings:
        cpu_ms, peak, size, ssim, psnr = measure(frames, {**options, "crf": given.crf})
        title = " ".join(options.values())
        likeness = f"{ssim:9.4f}{psnr:8.2f}"
        print(f"{title:24}{cpu_ms:10.1f}{peak:8.0f}{size / 1e3:12.1f}{likeness}", flush=True)


def read(path: Path, count: int) -> list[Frame]:
    """Return the video's first frames."""
    source = file.build(file.Options(path=path, name="clip"))
    source.open()
    frames: list[Frame] = []
    while len(frames) < count and (frame := source.read()) is not None:
        frames.append(frame)
    source.close()
    return frames


def measure(
    frames: list[Frame], options: dict[str, Any]
) -> tuple[float, float, float, float, float]:
    """Return CPU ms a frame, MB, bytes a frame, SSIM and PSNR."""
    sink = video.build(video.Options(boxes=False, **options))
    with tempfile.TemporaryDirectory() as folder:
        held_mb = _restart_peak()
        began = time.process_time()
        sink.open(RunInfo(Path(folder), class_names={}, sources={}, utc_at_monotonic_zero=0.0))
        for frame in frames:
            sink.write(Result(frame, Detections.empty(), Tracks.empty(), {}))
        sink.close()
        cpu_ms = (time.process_time() - began) * 1e3 / len(frames)
        added_mb = peak_mb() - held_mb
        path = Path(folder, "clip.mp4")
        size = path.stat().st_size / len(frames)
        with av.open(str(path)) as container:
            pairs = zip(frames, container.decode(video=0), strict=True)
            likeness = [compare(luma_of(frame), luma(there)) for frame, there in pairs]
    ssim, error = np.mean(likeness, axis=0).tolist()
    return cpu_ms, added_mb, size, ssim, 10 * float(np.log10(255**2 / max(error, 1e-9)))


def _restart_peak() -> float:
    """Return this process's memory in MB, from which on `peak_mb` counts anew."""
    return_freed()
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        forget.write_text("5")
    return peak_mb()


def luma_of(frame: Frame) -> Any:
    """Return a frame's luma as it is encoded, f32[H,W]."""
    if frame.yuv is not None:
        return frame.yuv.luma.astype(np.float32)
    grey = cv2.cvtColor(frame.image, cv2.COLOR_BGR2YUV_I420)
    return grey[: frame.shape[0]].astype(np.float32)


def luma(picture: Any) -> Any:
    """Return a decoded picture's luma, f32[H,W]."""
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width].astype(np.float32)


def compare(one: Any, other: Any) -> tuple[float, float]:
    """Return SSIM and the mean squared error of two pictures f32[H,W]."""

    def local(values: Any) -> Any:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    mean_a, mean_b = local(one), local(other)
    var_a, var_b = local(one * one) - mean_a**2, local(other * other) - mean_b**2
    both = local(one * other) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    bottom = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float((top / bottom).mean()), float(((one - other) ** 2).mean())


if __name__ == "__main__":
    main()
