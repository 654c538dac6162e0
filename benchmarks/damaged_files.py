"""A batch job over damaged recordings: no hang, no crash, each with its reason, sound ones whole.

    python benchmarks/damaged_files.py [--files 200] [--seed 1] [--limit-s 600] [--keep FOLDER]

Short clips in four containers are damaged in eleven ways by a seeded generator, with one sound clip
to nine damaged ones. Detections are replayed. Prints what became of them by kind of damage, the
reasons, and what is wrong; exit code 1 where something is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from _damage import Random, flipped, flipped_header, truncated, zeroed

from pipeline.archive.dataset.reader import open_dataset

FPS = 25
FRAMES = 40
SIZE = (192, 256)
CODECS = {"mp4": "libx264", "mkv": "libx264", "avi": "mpeg4", "ts": "mpeg2video"}
SOUND = "sound"


def clip(path: Path, codec: str, shade: int) -> bytes:
    """Write a clip of squares that move over noise, and return its bytes."""
    random = np.random.default_rng(shade)
    height, width = SIZE
    ground = random.integers(0, 200, (height // 4, width // 4, 3), np.uint8).repeat(4, 0)
    ground = ground.repeat(4, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(FRAMES):
            picture = ground.copy()
            picture[40:90, 3 * number : 3 * number + 40] = 255
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def audio(path: Path) -> bytes:
    """Write two seconds of a tone without pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        wave = (8000 * np.sin(np.arange(88200) / 20)).astype(np.int16)
        for first in range(0, 88200, 1024):
            part = wave[None, first : first + 1024]
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.rate, frame.pts = 44100, first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def header_only(data: bytes, random: Random) -> bytes:
    """Keep its first 16 to 1,024 bytes."""
    return data[: int(random.integers(16, 1024))]


def swapped(data: bytes, random: Random) -> bytes:
    """Exchange its end with its middle."""
    a, b = sorted(int(len(data) * share) for share in random.uniform(0.1, 0.9, 2))
    return data[:a] + data[b:] + data[a:b]


def absurd(data: bytes, random: Random) -> bytes:
    """Write an absurd picture size or box length wherever the header may hold one."""
    array = bytearray(data)
    height, width = SIZE
    for number in (width, height):
        for order in ("big", "little"):
            for size in (2, 4):
                huge = int(random.choice([0, 2 ** (8 * size - 1) - 1, 2 ** (8 * size) - 1]))
                old, new = number.to_bytes(size, order), huge.to_bytes(size, order)
                for start in (0, max(len(data) - 4096, 0)):
                    at = data.find(old, start, start + 4096)
                    if at >= 0:
                        array[at : at + size] = new
    return bytes(array)


def noise(data: bytes, random: Random) -> bytes:
    """Replace it by noise of its length."""
    return random.bytes(len(data))


DAMAGE: dict[str, Callable[[bytes, Random], bytes]] = {
    "truncated": truncated, "bits flipped": flipped, "header flipped": flipped_header,
    "zeroed": zeroed, "header only": header_only, "swapped": swapped, "absurd size": absurd,
    "noise": noise, "empty": lambda _data, _random: b"",
}  # fmt: skip
"""Kinds of damage that change a clip's bytes."""


def lay_out(root: Path, count: int, random: Random) -> dict[str, str]:
    """Write `count` recordings and their detections; return the kind of damage by file name."""
    videos, detections = root / "videos", root / "det"
    videos.mkdir(parents=True)
    detections.mkdir()
    kinds = [*DAMAGE, "audio only", "wrong suffix", "text"]
    found = {}
    for number in range(count):
        suffix = list(CODECS)[number % len(CODECS)]
        # Every clip is another one: the job leaves copies out.
        data = clip(root / f"clip.{suffix}", CODECS[suffix], number)
        kind = SOUND if number % 10 == 9 else kinds[(number - number // 10) % len(kinds)]
        if kind in DAMAGE:
            data = DAMAGE[kind](data, random)
        elif kind == "audio only":
            suffix, data = "mp4", audio(root / "audio.mp4") + bytes(number)
        elif kind == "wrong suffix":
            suffix = "avi" if suffix != "avi" else "mp4"
        elif kind == "text":
            data = f"recording {number}: not a video\n".encode() * 50
        # A camera to every file: what follows a damaged one is not to depend on it.
        name = f"cam{number:03d}_20240102_030405"
        (videos / f"{name}.{suffix}").write_bytes(data)
        (detections / f"{name}.txt").write_text(
            "".join(f"{n + 1},-1,{3 * n},40,40,50,0.9,-1,-1,-1\n" for n in range(FRAMES))
        )
        found[f"{name}.{suffix}"] = kind
    return found


def run(root: Path, limit_s: float) -> tuple[int | None, str, float]:
    """Run the job; return its exit code (None: it hung), what it said, and the seconds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pipeline", "batch", str(root / "videos")]
    command += ["-o", str(root / "dataset"), "--detections", str(root / "det")]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=limit_s
        )
    except subprocess.TimeoutExpired as hung:
        return None, str(hung.stderr), time.monotonic() - began
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began


def outcome(row: dict[str, Any] | None) -> str:
    """Return what became of a recording, in a word or two."""
    if row is None:
        return "no row"
    if row["status"] == "ok" and row["frames"] != FRAMES:
        return "ok, doubtful" if row["reason"] else "ok, fewer frames"
    return str(row["status"])


def wrong(kinds: dict[str, str], rows: dict[str, dict[str, Any]]) -> list[str]:
    """Return a line for each recording that was not treated as it must be."""
    lines = []
    for name, kind in kinds.items():
        row, what = rows.get(name), outcome(rows.get(name))
        if row is None:
            # Same content as another: all empty files are one.
            if kind != "empty":
                lines.append(f"{name} ({kind}): has no row")
        elif kind == SOUND and what != "ok":
            lines.append(f"{name}: sound, and yet {what}: {row['reason']}")
        elif row["status"] != "ok" and not row["reason"]:
            lines.append(f"{name} ({kind}): {what} without a reason")
        elif "\n" in (row["reason"] or ""):
            lines.append(f"{name} ({kind}): its reason has several lines")
        elif what == "ok, fewer frames":
            lines.append(f"{name} ({kind}): {row['frames']} of {FRAMES} frames, and not a word")
    return lines


def main() -> None:
    """Print the table of outcomes, the reasons and what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=600, help="a job longer than this hangs")
    parser.add_argument("--keep", type=Path, help="new folder to keep recordings and dataset in")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        root = args.keep or Path(text)
        kinds = lay_out(root, args.files, np.random.default_rng(args.seed))
        code, said, seconds = run(root, args.limit_s)
        rows = {}
        if code is not None and (root / "dataset").is_dir():
            found_rows = open_dataset(root / "dataset").videos()
            rows = {Path(row["path"]).name: row for row in found_rows}
    print(f"{len(kinds)} recordings in {seconds:.1f} s, exit code {code}")
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name, kind in kinds.items():
        found[kind][outcome(rows.get(name))] += 1
    columns = sorted({what for each in found.values() for what in each})
    print(f"{'damage':16}", *(f"{what:>18}" for what in columns))
    for kind, each in sorted(found.items()):
        print(f"{kind:16}", *(f"{each[what]:18}" for what in columns))
    reasons = Counter(str(row["reason"]).split(": ", 1)[-1] for row in rows.values())
    for reason, times in reasons.most_common(25):
        print(f"{times:5}  {reason}")
    lines = wrong(kinds, rows)
    if code != 1:
        lines.append(f"exit code {code} instead of 1" if code is not None else "the job hung")
    if "Traceback" in said:
        lines.append("a traceback:\n" + said[-3000:])
    print(f"wrong: {len(lines)}", *lines, sep="\n  ")
    raise SystemExit(bool(lines))


if __name__ == "__main__":
    main()
