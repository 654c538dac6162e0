"""A camera for benchmarks, in a process of its own: RTSP with a time code in each picture.

With a fourth argument the pictures are encoded once, without a time code, and looped: cheap for
many viewers.

Prints its address; once its standard input is closed, how many pictures it sent, and ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # the test bench's server and time code

from support import rtsp_server  # noqa: E402
from support.live_video import PreRollFrame, TimeCoded, clip_pictures, encoded, looped  # noqa: E402
from support.tiny_videos import noise_picture  # noqa: E402


def main() -> None:
    """Serve until nobody is interested: arguments are fps, width and a video file or ''."""
    fps, width = float(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3]:
        pictures = clip_pictures(Path(sys.argv[3]), 100, width)
    else:
        pictures = [np.kron(noise_picture(n, 45, width // 8), np.ones((8, 8, 1), np.uint8))
                    for n in range(20)]  # fmt: skip
    sent = 0

    def feed() -> Iterator[PreRollFrame]:
        nonlocal sent
        for shot in TimeCoded(pictures, fps)():
            yield shot
            sent += 1

    shown = looped(encoded(pictures, fps), fps) if sys.argv[4:] else feed
    with rtsp_server.running(rtsp_server.Camera(shown)) as camera:
        print(camera.url, flush=True)
        sys.stdin.read()
    print(sent, flush=True)


if __name__ == "__main__":
    main()
