"""Pictures that are missing, and files that look as if: damage is named, what is meant is not."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.tiny_videos import even_times, noise_picture

from pipeline.core.errors import SourceBrokenError
from pipeline.sources.file import Options, build

COUNT = 40
PACKET = 188


def read(path: Path) -> tuple[list[float], str, list[str]]:
    """Return the times of a file's frames, why it is damaged ("": it is not), and its doubts."""
    source = build(Options(path=path))
    times = []
    source.open()
    try:
        while (frame := source.read()) is not None:
            times.append(frame.pts_s)
    except SourceBrokenError as error:
        return times, str(error), source.doubts
    finally:
        source.close()
    return times, "", source.doubts


def film(
    path: Path, times: list[float] | None = None, sound_s: float = 0.0, title: str = ""
) -> Path:
    """Write noise with these times in groups of ten pictures, and a tone of that length."""
    times = even_times(COUNT) if times is None else times
    codec = "mpeg4" if path.suffix == ".avi" else "libx264"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=25, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        base = Fraction(1, 25 if path.suffix == ".avi" else 1000)
        stream.codec_context.time_base = base
        sound = container.add_stream("aac", rate=48000) if sound_s else None
        for n, at_s in enumerate(times):
            frame = av.VideoFrame.from_ndarray(noise_picture(n), "bgr24")
            frame.pts, frame.time_base = round(at_s / base), base
            container.mux(stream.encode(frame))
        for first in range(0, round(48000 * sound_s), 1024):
            heard = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            heard.rate, heard.pts = 48000, first
            container.mux(sound.encode(heard))
        container.mux(stream.encode(None))
        if sound is not None:
            container.mux(sound.encode(None))
    return path


def paused(*pauses: float) -> list[float]:
    """Return even times with pauses between ten pictures and the next ten."""
    steps = [0.04] * COUNT
    for number, pause_s in enumerate(pauses, 1):
        steps[10 * number] = pause_s
    return np.cumsum([0.0, *steps[1:]]).round(3).tolist()


def of_steps(*steps: float) -> list[float]:
    """Return the times that these steps give, over and over."""
    return np.cumsum([0.0, *np.resize(steps, COUNT - 1)]).round(3).tolist()


VARIABLE = {
    "screen recording": of_steps(0.016, 0.016, 0.033, 0.4, 0.016, 1.7, 0.25, 0.05, 3.1),
    "timelapse": of_steps(10.0),
    "phone in the dark": of_steps(0.033, 0.034, 0.033, 0.067, 0.033, 0.05),
    "a camera that drops single pictures": of_steps(*[0.04] * 9, 0.08, *[0.04] * 9, 0.16),
    "a few pictures a minute": of_steps(12.0, 11.0, 30.0, 14.0),
}
PAUSED = {
    "motion-triggered dashcam": (paused(5.0, 12.0, 7.0), "times jump 3 times"),
    "one pause": (paused(8.0), "times jump by 8.000 s after frame 9 at 0.360 s"),
    "a short one": (paused(0.5), "times jump by 0.500 s"),
}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("name", VARIABLE)
def test_a_variable_rate_is_nothing_to_speak_of(name, suffix, tmp_path):
    times, why, doubts = read(film(tmp_path / f"a.{suffix}", VARIABLE[name]))
    assert (len(times), why, doubts) == (COUNT, "", [])


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("name", PAUSED)
def test_a_pause_is_said_and_is_no_damage(name, suffix, tmp_path):
    """Times alone do not tell a pause from pictures that a disk lost: what was seen is said."""
    times, says = PAUSED[name]
    found, why, doubts = read(film(tmp_path / f"a.{suffix}", times))
    assert (len(found), why, len(doubts)) == (COUNT, "", 1)
    assert says in doubts[0]


def joined_midway(path: Path) -> Path:
    data = film(path).read_bytes()
    return written(path, data[: 3 * PACKET] + data[len(data) // 3 // PACKET * PACKET :])


def twice(path: Path) -> Path:
    return written(path, film(path).read_bytes() * 2)


def sound_later(path: Path) -> Path:
    silent = film(path).read_bytes()
    return written(path, silent * 30 + film(path, sound_s=1.0).read_bytes())


def latin_title(path: Path) -> Path:
    data = film(path, title="Zuerich, Bruecke").read_bytes()
    assert b"Zuerich" in data
    return written(path, data.replace(b"Zuerich", b"Z\xfcerich"))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


HEALTHY: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "sound longer, mp4": ("mp4", lambda path: film(path, sound_s=6.0)),
    "sound longer, mkv": ("mkv", lambda path: film(path, sound_s=6.0)),
    "sound longer, ts": ("ts", lambda path: film(path, sound_s=6.0)),
    "a stream joined midway": ("ts", joined_midway),
    "two files joined": ("ts", twice),
    "sound that begins later": ("ts", sound_later),
    "a title that is no UTF-8": ("avi", latin_title),
    "begins late": ("mkv", lambda path: film(path, [9 + t for t in even_times(COUNT)])),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_what_only_looks_unusual_is_read_without_a_word_of_damage(name, tmp_path):
    """PyAV raised IndexError where sound begins late, UnicodeDecodeError on a Latin-1 title."""
    suffix, make = HEALTHY[name]
    times, why, _ = read(make(tmp_path / f"a.{suffix}"))
    assert why == ""
    assert len(times) >= COUNT // 2


def zeroed(path: Path, first: float, last: float, unit: int = 1) -> Path:
    data = bytearray(film(path).read_bytes())
    a, b = (int(len(data) * share) // unit * unit for share in (first, last))
    data[a:b] = bytes(b - a)
    return written(path, bytes(data))


def cut_out(path: Path, first: float, last: float) -> Path:
    data = film(path).read_bytes()
    a, b = (int(len(data) * share) // PACKET * PACKET for share in (first, last))
    return written(path, data[:a] + data[b:])


def swapped(path: Path, first: float, last: float) -> Path:
    data = film(path).read_bytes()
    a, b = (int(len(data) * share) for share in (first, last))
    return written(path, data[:a] + data[b:] + data[a:b])


DAMAGED: dict[str, tuple[str, Callable[[Path], Path]]] = {
    f"{what} {first:g} to {last:g}, {suffix}": (
        suffix,
        lambda path, change=change, first=first, last=last: change(path, first, last),
    )
    for what, change, suffixes in (
        ("zeroed", zeroed, ("ts", "mkv", "avi")),
        ("packets missing", cut_out, ("ts",)),
        ("end and middle swapped", swapped, ("ts", "mkv", "avi")),
    )
    for suffix in suffixes
    for first, last in ((0.03, 0.3), (0.05, 0.85), (0.4, 0.45), (0.6, 0.8))
}


@pytest.mark.parametrize("name", DAMAGED)
def test_no_damage_that_leaves_pictures_out_is_passed_over(name, tmp_path):
    """Of 200 damaged files seven had fewer frames, as many seconds, and were called sound."""
    suffix, make = DAMAGED[name]
    path = make(tmp_path / f"a.{suffix}")
    times, why, doubts = read(path)
    # Where one frame of an AVI's count is missing, that is said, and damage is not certain.
    assert why or (suffix == "avi" and len(times) == COUNT - 1 and doubts)
    assert "\n" not in why


def test_an_avi_that_counts_more_pictures_than_it_has(tmp_path):
    """Its times stay even, whatever is missing: AVI has none of its own."""
    path = film(tmp_path / "a.avi")
    data = bytearray(path.read_bytes())
    at = data.index(b"strh") + 8 + 32  # dwLength of the stream's header
    assert int.from_bytes(data[at : at + 4], "little") == COUNT
    data[at : at + 4] = (COUNT + 1).to_bytes(4, "little")
    path.write_bytes(data)
    times, why, doubts = read(path)
    assert len(times) == COUNT
    assert (why, doubts) == ("", [f"says that it has {COUNT + 1} frames, {COUNT} are in it"])
