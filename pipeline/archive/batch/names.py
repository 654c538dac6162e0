"""Information in the names of recordings besides the time: view, chapters and counters.

Dashcams and recorders put the time into the name (`sources/_file/recording_start.py` reads it), a
counter, the kind of recording (normal, event, parking) and a letter or word for the view: Viofo
`2024_0102_030405_0001F`, 70mai `NO20240102-030405-0001F`, BlackVue `20240102_030405_NF`, Thinkware
`REC_2024_01_02_03_04_05_F`, Nextbase `240102_030405_001_FH`, Tesla `2024-01-02_03-04-05-front`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from pipeline.sources._file.recording_start import named_time

_SEPARATORS = re.compile(r"[\s_.@()\[\]-]+")
_COUNTER_AND_CODE = re.compile(r"\d*([A-Z]{0,3})")
_IDENTIFIER = re.compile(r"(?=.*\d)[\dA-Za-z]{5,}|[0-9a-f]{6,}")
"""A random part of a name, as Frigate adds: it does not identify the camera."""
_KINDS = frozenset(
    (
        "no", "ev", "pa", "rec", "evt", "emr", "ro", "mot", "park", "event", "normal", "lock",
        "locked", "file", "vid", "video", "mov", "movi", "pxl", "dji", "win", "record",
        "recording", "clip",
    )
)  # fmt: skip
"""Prefixes before the time that give the kind of recording or device, not the camera."""
_VIEWS = {
    "F": "front", "A": "front", "R": "rear", "B": "rear", "I": "inside", "O": "option", "T": "tele",
}  # fmt: skip
_QUALITIES = "HLSM"
_GOPRO = (
    re.compile(r"(?i)G[HXLS](?P<chapter>\d\d)(?P<recording>\d{4})"),
    re.compile(r"(?i)GP(?P<chapter>\d\d)(?P<recording>\d{4})"),
    re.compile(r"(?i)GOPR(?P<recording>\d{4})"),
)
_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d{1,9})")


class Chapter(NamedTuple):
    """One file of a recording that a camera (GoPro) splits into chapters."""

    recording: int
    chapter: int


class RecordingName(NamedTuple):
    """Information in a file's name: the view ("" if none), its chapter, its number.

    `number` is for names without a time that end in digits, `series` the part before them.
    """

    view: str = ""
    chapter: Chapter | None = None
    series: str = ""
    number: int | None = None


def read_name(path: Path) -> RecordingName:
    """Return the information in a recording's name besides its time."""
    stem = path.stem
    for pattern in _GOPRO:
        if match := pattern.fullmatch(stem):
            parts = match.groupdict()
            return RecordingName(
                chapter=Chapter(int(parts["recording"]), int(parts.get("chapter") or 0))
            )
    named = named_time(path)
    if named is None:
        counted = _NUMBERED.fullmatch(stem)
        if counted is None:
            return RecordingName()
        return RecordingName(series=counted["before"], number=int(counted["number"]))
    if named.span is None:  # then the folders give the camera
        return RecordingName()
    start, end = named.span
    words = [word for word in _words(stem[:start]) if word.casefold() not in _KINDS]
    words += filter(None, map(_view, _words(stem[end:])))
    return RecordingName(view="-".join(words))


def _words(text: str) -> list[str]:
    return [word for word in _SEPARATORS.split(text) if word]


def _view(word: str) -> str:
    """Return the camera's view from a word after the time, "" for counters and codes."""
    if match := _COUNTER_AND_CODE.fullmatch(word):
        code = match[1]
        if len(code) > 1 and code[-1] in _QUALITIES and code[0] in _VIEWS:
            code = code[0]
        return _VIEWS.get(code[-1:], "")
    return "" if _IDENTIFIER.fullmatch(word) else word


_DATE = re.compile(
    r"(?:19|20)\d\d(?:[-_.]?[01]\d(?:[-_.]?[0-3]\d)?)?"
    r"(?:[-_T ]?[0-2]\d[-_.:h]?[0-5]\d[-_.:m]?[0-5]\d)?"
)
"""Folders such as 2024, 2024-01, 2024-01-02 and 2024-01-02_03-04-05."""
_TWO_DIGITS = re.compile(r"\d\d")
_DCF_FOLDER = re.compile(r"\d{3}(?=[A-Z_0-9]{5}$)")
"""The number of a folder by the rule of digital cameras, as in 100GOPRO, 101GOPRO."""


def camera_name(path: Path, root: Path) -> str:
    """Return the camera's name from a recording's folder and name, without repeating a word.

    `front/20240102_030405F.mp4` belongs to camera `front`, and in `dash-front` to `dash-front`.
    """
    folder, view = folder_name(path.parent, root), read_name(path).view
    last = "-".join(_words(folder.rpartition("/")[2])).casefold()
    is_said = f"-{last}".endswith(f"-{view.casefold()}")
    return f"{folder}-{view}" if view and not is_said else folder


def folder_name(folder: Path, root: Path) -> str:
    """Return the camera's name from its folder: the part below `root` without dates, else `root`'s.

    Folders 100GOPRO and 101GOPRO belong to one camera.
    """
    parts: list[str] = []
    in_date = False
    for part in folder.relative_to(root).parts:
        # Two digits are a month, day or hour after a year, and a camera elsewhere.
        in_date = bool(_DATE.fullmatch(part)) or (in_date and bool(_TWO_DIGITS.fullmatch(part)))
        parts += [] if in_date else [part]
    parts = parts or [root.resolve().name or "camera"]
    return "/".join(_DCF_FOLDER.sub("", part) for part in parts)
