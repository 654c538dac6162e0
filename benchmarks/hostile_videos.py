"""Hostile videos for `hostile_uploads.py`: damaged, lying, huge, endless, and no videos at all."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from _damage import Random, flipped, flipped_header, truncated, zeroed

SOUND = "sound"
CODECS = {".mp4": "libx264", ".webm": "libvpx-vp9", ".mkv": "libx264", ".avi": "mjpeg"}
HUGE = 60_000


def encoded(path: Path, random: Random, times: list[float]) -> bytes:
    """Return the bytes of a video with a picture at each of these times, and write it to `path`."""
    codec = CODECS[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 160, 120
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        small = random.integers(0, 255, (15, 20, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        for n, at in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.roll(small, n * 2, 1).copy(), "bgr24")
            frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def sound_alone(path: Path) -> bytes:
    """Return the bytes of a file with a sound track and no pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for n in range(16):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 8000, n * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def huge(data: bytes) -> bytes:
    """Return a Motion JPEG in AVI whose headers all say 60,000 x 60,000 pixels."""
    changed = bytearray(data)
    at = changed.index(b"strf") + 12
    changed[at : at + 8] = HUGE.to_bytes(4, "little") * 2
    at = -1
    while (at := changed.find(b"\xff\xc0\0\x11\x08", at + 1)) >= 0:
        changed[at + 5 : at + 9] = HUGE.to_bytes(2, "big") * 2
    return bytes(changed)


def lay_out(folder: Path, count: int, random: Random) -> dict[str, str]:
    """Write `count` videos into `folder`, one in ten sound; return the kind of each by name."""
    folder.mkdir(parents=True)
    work = folder.parent / "work"
    work.mkdir(exist_ok=True)
    even = [n / 25 for n in range(20)]
    suffixes = list(CODECS)
    sound = {each: encoded(work / f"sound{each}", random, even) for each in suffixes}

    def damaged(how: Callable[[bytes, Random], bytes]) -> Callable[[str], bytes]:
        return lambda suffix: how(sound[suffix], random)

    makers: dict[str, Callable[[str], bytes]] = {
        SOUND: lambda suffix: sound[suffix],
        "cut off": damaged(truncated),
        "flipped": damaged(flipped),
        "flipped header": damaged(flipped_header),
        "zeroed": damaged(zeroed),
        "sound alone": lambda _: sound_alone(work / "alone.mp4"),
        "wrong name": lambda _: random.bytes(20_000),
        "text": lambda _: b"no video\n" * 500,
        "huge by its header": lambda _: huge(sound[".avi"]),
        "endless by its header": lambda _: encoded(work / "long.mkv", random, [0.0, 1.0, 4e6]),
        "many frames": lambda _: encoded(work / "many.mkv", random, [n / 999 for n in range(400)]),
        "archive before it": lambda suffix: b"PK\3\4" + bytes(26) + sound[suffix],
        "page before it": lambda suffix: b"<html><script>alert(1)</script>" + sound[suffix],
        "archive behind it": lambda suffix: sound[suffix] + b"PK\3\4" + random.bytes(5000),
        "playlist": lambda _: f"#EXTM3U\n#EXTINF:1,\n{work}/sound.mp4\n".encode(),
        "list of files": lambda _: f"ffconcat version 1.0\nfile {work}/sound.mp4\n".encode(),
    }
    names = [SOUND if n % 10 == 0 else str(random.choice(list(makers)[1:])) for n in range(count)]
    kinds = {}
    for n, kind in enumerate(names):
        suffix = suffixes[n % len(suffixes)]
        name = f"{n:04}{suffix}"
        (folder / name).write_bytes(makers[kind](suffix))
        kinds[name] = kind
    return kinds
