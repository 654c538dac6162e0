"""Hostile pictures through `trackline detect`: no crash, bounded memory, one clear line for each.

    python benchmarks/hostile_pictures.py [--pictures 300] [--seed 1] [--limit-mb 4096]
        [--limit-s 300] [--at-once 20] [--keep FOLDER]

Sound pictures of nine formats are cut off, flipped and given absurd sizes by a seeded generator;
besides them there are decompression bombs (PNG, WebP, GIF, TIFF, JPEG of thousands of scans, text
and colour profiles that unpack to gigabytes), polyglots, EXIF and directories in circles, and one
sound picture in ten. `--at-once` pictures go through one run of the command, which may have
`--limit-mb` of memory (its data segment) and `--limit-s` seconds. Every picture must be detected on
(a line of JSON) or refused (a line on stderr). Prints what became of them by kind, the reasons, the
most memory, and what is wrong; exit code 1 where something is.

`lay_out` makes the same pictures for other doors: `--keep` leaves them in a folder.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from _damage import Random, flipped, flipped_header, truncated, zeroed

SOUND = "sound"
SUFFIXES = (".jpg", ".png", ".webp", ".tiff", ".gif", ".bmp", ".avif", ".jp2", ".ppm")


def picture(random: Random, height: int = 120, width: int = 160) -> np.ndarray:
    """Return squares over coarse noise."""
    small = random.integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    return np.ascontiguousarray(small.repeat(8, 0).repeat(8, 1))


def encoded(suffix: str, random: Random) -> bytes:
    """Return the bytes of a sound picture."""
    good, data = cv2.imencode(suffix, picture(random))
    if not good:
        raise SystemExit(f"OpenCV cannot write {suffix}")
    return bytes(data)


# -- damage to a sound picture --------------------------------------------------------------------


def absurd(data: bytes, _random: Random) -> bytes:
    """Write 60,000 for its width and height wherever the header may hold one of them."""
    array = bytearray(data)
    for number in (120, 160):
        for order in ("big", "little"):
            for size in (2, 4):
                at = data.find(number.to_bytes(size, order), 4, 1024)
                if at >= 0:
                    array[at : at + size] = (60_000).to_bytes(size, order)
    return bytes(array).replace(b"160 120", b"60000 60000")


DAMAGE: dict[str, Callable[[bytes, Random], bytes]] = {
    "truncated": truncated, "bits flipped": flipped, "header flipped": flipped_header,
    "zeroed": zeroed, "60,000 x 60,000": absurd,
    "noise": lambda data, random: random.bytes(len(data)),
    "noise with a head": lambda data, random: data[:64] + random.bytes(len(data)),
}  # fmt: skip


# -- bombs, polyglots and circles -----------------------------------------------------------------


def zeros(count: int) -> bytes:
    """Return `count` zeros, deflated without ever holding them."""
    packer, parts = zlib.compressobj(9), []
    block = bytes(1 << 20)
    while count > 0:
        parts.append(packer.compress(block[:count]))
        count -= len(block)
    return b"".join(parts) + packer.flush()


def png(width: int, height: int, *chunks: bytes, bits: int = 8, colour: int = 2) -> bytes:
    """Return a PNG of one colour."""
    row = 1 + width * {0: 1, 2: 3, 6: 4}[colour] * bits // 8
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    body = png_chunk(b"IDAT", zeros(row * height)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff(width: int, height: int, *more: tuple[int, int, int], following: int = 0) -> bytes:
    """Return a deflated TIFF of one colour in one strip; `following` is where the next one is."""
    strip = zeros(width * height)
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 8), (262, 3, 1), (273, 4, 8),
        (277, 3, 1), (278, 4, height), (279, 4, len(strip)), *more,
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    place = 8 + len(strip)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", following or 0)
    return b"II*\0" + struct.pack("<I", place) + strip + directory


def tiff_circle(_random: Random) -> bytes:
    """Return a TIFF whose directory is followed by itself."""
    data = tiff(64, 48)
    place = struct.unpack_from("<I", data, 4)[0]
    return tiff(64, 48, following=place)


def tiff_of_entries(_random: Random) -> bytes:
    """Return a TIFF of 65,000 entries in a circle of directories."""
    entries = struct.pack("<HHII", 256, 4, 1, 2) * 65_000
    return b"II*\0" + struct.pack("<IH", 8, 65_000) + entries + struct.pack("<I", 8)


def gif(width: int, height: int, frames: int = 1) -> bytes:
    """Return a GIF whose pictures have the size of its screen and no more than a few codes."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    # LZW of 2 bits: clear, then zeros in codes that grow; the decoder stops at the end code.
    one = b"!\xf9\x04\0\1\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return head + (one + b"\x02\x02\x44\x01\0") * frames + b";"


def jpeg_scans(_random: Random) -> bytes:
    """Return a progressive JPEG of thousands of scans over a large picture."""
    grey = np.zeros((4096, 4096), np.uint8)
    data = bytes(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])
    at = data.rfind(b"\xff\xda")
    scan = data[at:-2]
    return data[:at] + scan * min(20_000, 4_000_000 // len(scan)) + b"\xff\xd9"


def exif_circle(random: Random) -> bytes:
    """Return a JPEG whose EXIF refers to itself, in its directories and within them."""
    tags = [(0x112, 3, 6), (0x8769, 4, 8), (0x8825, 4, 8), (0xA005, 4, 8)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    block = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 8)
    body = b"Exif\0\0" + block
    data = encoded(".jpg", random)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def exif_beyond(random: Random) -> bytes:
    """Return a PNG whose EXIF says it has 65,535 entries, each far outside of it."""
    entry = struct.pack("<HHII", 0x112, 3, 2**31, 2**32 - 16)
    body = b"II*\0" + struct.pack("<IH", 8, 65_535) + entry * 20
    data = encoded(".png", random)
    return data[:33] + png_chunk(b"eXIf", body) + data[33:]


def with_zip(random: Random) -> bytes:
    """Return a JPEG that is a ZIP archive as well."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "text")
    return encoded(".jpg", random) + buffer.getvalue()


def gif_script(random: Random) -> bytes:
    """Return a GIF that is a script as well: its size is the beginning of a comment."""
    data = encoded(".gif", random)
    return data[:6] + b"/*" + data[8:] + b"*/=1;alert(1)"


def hidden_jpeg(random: Random) -> bytes:
    """Return a JPEG of 60,000 x 60,000 with a small one's header before its own."""
    data = bytearray(encoded(".jpg", random))
    at = data.find(b"\xff\xc0")
    small = bytes(data[at : at + 2 + struct.unpack_from(">H", data, at + 2)[0]])
    struct.pack_into(">HH", data, at + 5, 60_000, 60_000)
    return bytes(data[:at] + small + data[at:])


def huge_text(kind: bytes, name: bytes, size: int) -> bytes:
    """Return a PNG with a compressed text or profile that unpacks to `size` bytes."""
    return png(64, 48, png_chunk(kind, name + zeros(size)))


def webp(width: int, height: int) -> bytes:
    """Return a lossless WebP of one colour: five codes of one symbol, and no pixel has a bit."""
    bits, place = 0, 0

    def put(value: int, count: int) -> None:
        nonlocal bits, place
        bits |= value << place
        place += count

    put(0x2F, 8)
    put(width - 1, 14)
    put(height - 1, 14)
    put(0, 1)  # no alpha
    put(0, 3)  # version
    put(0, 1)  # no transform
    put(0, 1)  # no colour cache
    put(0, 1)  # one group of codes
    for _ in range(5):
        put(1, 1)  # a simple code
        put(0, 1)  # of one symbol
        put(0, 1)  # of one bit
        put(0, 1)
    body = bits.to_bytes((place + 7) // 8 + 8, "little")
    body += bytes(len(body) % 2)
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


SPECIAL: dict[str, tuple[str, Callable[[Random], bytes]]] = {
    "PNG bomb": (".png", lambda _random: png(30_000, 30_000)),
    "PNG bomb below the limit": (".png", lambda _random: png(19_000, 19_000)),
    "PNG bomb of 16-bit RGBA": (".png", lambda _random: png(15_000, 15_000, bits=16, colour=6)),
    "PNG text bomb": (".png", lambda _random: huge_text(b"zTXt", b"a\0\0", 2_000_000_000)),
    "PNG profile bomb": (".png", lambda _random: huge_text(b"iCCP", b"a\0\0", 2_000_000_000)),
    "PNG 60,000 x 60,000": (".png", lambda _random: png_sized(60_000, 60_000)),
    "WebP bomb": (".webp", lambda _random: webp(16_383, 16_383)),
    "GIF bomb": (".gif", lambda _random: gif(65_535, 65_535)),
    "GIF bomb below the limit": (".gif", lambda _random: gif(19_000, 19_000)),
    "GIF of 20,000 pictures": (".gif", lambda _random: gif(4_000, 4_000, 20_000)),
    "TIFF bomb": (".tif", lambda _random: tiff(40_000, 40_000)),
    "TIFF bomb below the limit": (".tif", lambda _random: tiff(19_000, 19_000)),
    "TIFF that says two widths": (".tif", lambda _random: tiff(60_000, 2, (256, 4, 10))),
    "TIFF of absurd tiles": (
        ".tif", lambda _random: tiff(64, 48, (322, 4, 2**31 - 16), (323, 4, 2**31 - 16))
    ),
    "TIFF in a circle": (".tif", tiff_circle),
    "TIFF of 65,000 entries": (".tif", tiff_of_entries),
    "JPEG of thousands of scans": (".jpg", jpeg_scans),
    "JPEG of two sizes": (".jpg", hidden_jpeg),
    "EXIF in a circle": (".jpg", exif_circle),
    "EXIF beyond its end": (".png", exif_beyond),
    "JPEG and ZIP": (".jpg", with_zip),
    "GIF and script": (".gif", gif_script),
    "web page": (".jpg", lambda _random: b"<!DOCTYPE html><html><img src=x onerror=alert(1)>"),
    "SVG of entities": (".png", lambda _random: b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">'
                        b"]><svg>&b;</svg>"),
    "PDF": (".jpg", lambda random: b"%PDF-1.7\n" + encoded(".jpg", random)),
    "empty": (".jpg", lambda _random: b""),
}  # fmt: skip
"""Pictures of their own, with the suffix of their file."""


def png_sized(width: int, height: int) -> bytes:
    """Return a PNG that says its size and holds nothing."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    end = png_chunk(b"IDAT", zeros(100)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + end


def lay_out(folder: Path, count: int, random: Random) -> dict[str, str]:
    """Write `count` pictures and return the kind of each by its file's name, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, str] = {}
    special, damage = [*SPECIAL], [*DAMAGE]
    for number in range(count):
        kind, suffix = SOUND, SUFFIXES[number // 10 % len(SUFFIXES)]
        if number % 10 == 1 + number // 10 % 3 and special:
            kind = special.pop(0)
            suffix, make = SPECIAL[kind]
            data = make(random)
        else:
            data = encoded(suffix, random)
            if number % 10 != 9:
                suffix = SUFFIXES[number % len(SUFFIXES)]
                kind = damage[number // len(SUFFIXES) % len(damage)]
                data = DAMAGE[kind](encoded(suffix, random), random)
        name = f"{number:03d}{suffix}"
        (folder / name).write_bytes(data)
        kinds[name] = kind
    return kinds


# -- the command ----------------------------------------------------------------------------------


class Run(NamedTuple):
    """One run of the command: exit code (None: it hung), what it printed, seconds and megabytes."""

    code: int | None
    out: list[str]
    err: list[str]
    seconds: float
    peak_mb: float


def run(paths: list[Path], limit_mb: int, limit_s: float) -> Run:
    """Detect on pictures in one run of the command, under limits."""
    import resource  # not on Windows

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit_mb << 20, limit_mb << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    command = [sys.executable, "-m", "pipeline", "detect", "--json", *map(str, paths)]
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, preexec_fn=limit)
        code: int | None = None
        while time.monotonic() - began < limit_s:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                break
            time.sleep(0.05)
        else:
            process.kill()
            _, _, usage = os.wait4(process.pid, 0)
        process.returncode = code if code is not None else -9
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read().decode("utf-8", "replace").splitlines())
    return Run(code, *printed, time.monotonic() - began, usage.ru_maxrss / 1024)


def outcomes(
    done: Run, names: list[str], kinds: dict[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Return what became of each picture, and what is wrong."""
    found = {Path(json.loads(line)["file"]).name: "read" for line in done.out}
    wrong = []
    for line in done.err:
        named = [name for name in names if f"/{name}: " in line]
        if len(named) == 1 and named[0] not in found and line.startswith("trackline: "):
            found[named[0]] = line.split(f"/{named[0]}: ", 1)[1]
        else:
            wrong.append(f"a line about no picture, or about one twice: {line[:300]}")
    for name in names:
        if name not in found:
            wrong.append(f"{name} ({kinds[name]}): neither read nor refused")
        elif kinds[name] == SOUND and found[name] != "read":
            wrong.append(f"{name}: sound, and yet {found[name]}")
    refused = any(what != "read" for what in found.values())
    if done.code is None:
        wrong.append(f"hung: {names}")
    elif done.code != int(refused):
        wrong.append(f"exit code {done.code}: {names[0]} to {names[-1]}")
    return found, wrong


def main() -> None:
    """Print the table of outcomes, the reasons and what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-mb", type=int, default=4096, help="memory of one run")
    parser.add_argument("--limit-s", type=float, default=300, help="a longer run hangs")
    parser.add_argument("--at-once", type=int, default=20, help="pictures in one run")
    parser.add_argument("--keep", type=Path, help="new folder to keep the pictures in")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = args.keep or Path(text, "pictures")
        kinds = lay_out(folder, args.pictures, np.random.default_rng(args.seed))
        names, found, wrong, runs = [*kinds], dict[str, str](), list[str](), list[Run]()
        for first in range(0, len(names), args.at_once):
            some = names[first : first + args.at_once]
            runs.append(run([folder / name for name in some], args.limit_mb, args.limit_s))
            each, lines = outcomes(runs[-1], some, kinds)
            found |= each
            wrong += lines
    print(
        f"{len(kinds)} pictures, {len(runs)} runs, {sum(each.seconds for each in runs):.0f} s "
        f"(longest {max(each.seconds for each in runs):.0f} s), most memory "
        f"{max(each.peak_mb for each in runs):.0f} MB of {args.limit_mb}"
    )
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for name, kind in kinds.items():
        what = found.get(name, "nothing")
        table[kind][what if what in ("read", "nothing") else "refused"] += 1
    print(f"{'kind':30}{'read':>8}{'refused':>9}{'nothing':>9}")
    for kind, counts in table.items():
        print(f"{kind:30}{counts['read']:8}{counts['refused']:9}{counts['nothing']:9}")
    reasons = Counter(what for what in found.values() if what != "read")
    for reason, times in reasons.most_common():
        print(f"{times:5}  {reason}")
    print(f"wrong: {len(wrong)}", *wrong, sep="\n  ")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
