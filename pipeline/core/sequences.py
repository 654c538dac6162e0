"""Recorded boxes by sequence, from files and folders, with the video's frame rate and size."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.dataset_folder import holds_dataset
from pipeline.core.errors import UsageError, reading
from pipeline.core.paths import home_path
from pipeline.core.track_files import SUFFIXES, BoxTable, Recording, read_recording

DEFAULT_FPS = 30.0
DEFAULT_SIZE = (1920, 1080)
# The cameras of KITTI's car (Geiger et al. 2013) after rectification.
KITTI_FPS = 10.0
KITTI_SIZE = (1242, 375)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The video that boxes belong to: frames per second, frame count, width and height in pixels.

    If the size is not known, `width` and `height` hold a default.
    """

    fps: float
    length: int
    width: int
    height: int
    has_known_size: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class RecordedSequence:
    """The boxes of one sequence and the file they are from.

    `media` is {first frame: path of the video or picture}, empty where nothing names it.
    """

    name: str
    table: BoxTable
    class_names: Mapping[int, str]
    path: Path
    video: VideoInfo
    media: Mapping[int, str] = field(default_factory=dict)


def find_files(path: Path, inner: str) -> list[Path]:
    """Return the files of boxes at `path`: itself, or those in a folder; raises UsageError.

    In a folder these are tracks.csv, else tracks.jsonl, else `inner` ("det/det.txt"), else the
    `inner` of each subfolder, else all *.txt.
    """
    if not path.is_dir():
        return [path]
    if holds_dataset(path):
        raise UsageError(
            f"{path}: is a dataset, which this does not read: trackline convert {path} --to mot "
            "-o FOLDER makes files of it"
        )
    patterns = [*dict.fromkeys(("tracks.csv", "tracks.jsonl", inner, f"*/{inner}", "*.txt"))]
    for pattern in patterns:
        if found := sorted(path.glob(pattern)):
            return found
    if above := next(filter(holds_dataset, path.absolute().parents), None):
        raise UsageError(f"{path}: is a part of the dataset {above}: give that (and --source NAME)")
    raise UsageError(f"{path}: no {', '.join(patterns[:-1])} or {patterns[-1]} in there")


def load_sequences(paths: Iterable[Path], inner: str) -> dict[str, RecordedSequence]:
    """Return {name: sequence} of files and folders.

    Raises UsageError for a name that occurs twice.
    """
    found: dict[str, RecordedSequence] = {}
    for path in (each for given in paths for each in find_files(home_path(given), inner)):
        recording = read_recording(path, keep_records=False)
        for name, table in recording.tables.items():
            if name in found:
                raise UsageError(f"{path}: sequence '{name}' is in {found[name].path} already")
            video = video_of(recording, name)
            found[name] = RecordedSequence(
                name, table, recording.class_names, path, video, recording.files.get(name, {})
            )
    return found


def looks_like_boxes(text: str) -> bool:
    """Return whether a path can be detections: a folder, or a file of a known type."""
    path = home_path(text)
    return path.is_dir() or path.suffix.lower() in SUFFIXES


def in_one_line(name: str) -> str:
    """Return a sequence's name as `seqinfo.ini` can hold it: a space for line feeds and tabs."""
    return re.sub(r"[^\S ]+", " ", name).strip()


def read_seqinfo(folder: Path) -> VideoInfo | None:
    """Read MOTChallenge's `seqinfo.ini` in a folder, None if there is none."""
    path = folder / "seqinfo.ini"
    if not path.is_file():
        return None
    with reading(path):
        text = path.read_text("utf-8")
    return parse_seqinfo(text, str(path))[1]


def parse_seqinfo(text: str, where: str) -> tuple[str, VideoInfo]:
    """Return (name, "" where there is none, video) of a `seqinfo.ini`; raises UsageError."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
        section = parser["Sequence"]
        info = VideoInfo(
            fps=float(section["frameRate"]),
            length=int(section["seqLength"]),
            width=int(section.get("imWidth", str(DEFAULT_SIZE[0]))),
            height=int(section.get("imHeight", str(DEFAULT_SIZE[1]))),
            has_known_size="imWidth" in section and "imHeight" in section,
        )
    except (configparser.Error, KeyError, ValueError) as error:
        shown = " ".join(str(error).split())
        raise UsageError(f"{where}: want [Sequence] with frameRate, seqLength: {shown}") from None
    if not (np.isfinite(info.fps) and info.fps > 0 and info.length >= 0):
        raise UsageError(f"{where}: want frameRate above 0, got {info.fps}")
    return section.get("name", ""), info


def video_of(recording: Recording, name: str) -> VideoInfo:
    """Return the video's facts from its metadata, else from the boxes, else the defaults."""
    table = recording.tables[name]
    last = int(table.frame.max(initial=-1)) + 1
    path = recording.path
    if path.parent.name in ("det", "gt") and (info := read_seqinfo(path.parent.parent)):
        return replace(info, length=max(info.length, last))
    if recording.kind == "kitti":
        return VideoInfo(KITTI_FPS, last, *KITTI_SIZE, has_known_size=False)
    known: Mapping[str, Any] = dict(recording.header.get("sources") or {}).get(name) or {}
    video = video_of_table(table)
    return VideoInfo(
        fps=float(known.get("fps") or video.fps),
        length=max(int(known.get("frame_count") or 0), last),
        width=int(known.get("width") or video.width),
        height=int(known.get("height") or video.height),
        has_known_size=bool(known.get("width")) or video.has_known_size,
    )


def video_of_table(table: BoxTable) -> VideoInfo:
    """Return the video's facts that the rows hold, completed by defaults."""
    width, height = _size_of(table)
    return VideoInfo(
        fps=mean_fps(table) or DEFAULT_FPS,
        length=int(table.frame.max(initial=-1)) + 1,
        width=width or DEFAULT_SIZE[0],
        height=height or DEFAULT_SIZE[1],
        has_known_size=bool(width),
    )


def _size_of(table: BoxTable) -> tuple[int, int]:
    """Return the picture size of most rows, (0, 0) if none has one."""
    sizes, count = np.unique(table.size[(table.size > 0).all(axis=1)], axis=0, return_counts=True)
    if not len(sizes):
        return 0, 0
    width, height = sizes[count.argmax()].tolist()
    return width, height


def mean_fps(table: BoxTable) -> float | None:
    """Return the frames per second by the first and last rows' times, None if they have none."""
    timed = np.isfinite(table.pts_s)
    frame, pts_s = table.frame[timed], table.pts_s[timed]
    if not len(frame):
        return None
    first, last = frame.argmin(), frame.argmax()
    frames, seconds = int(frame[last] - frame[first]), float(pts_s[last] - pts_s[first])
    return frames / seconds if frames > 0 and seconds > 0 else None
