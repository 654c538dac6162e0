"""Tracks of any kind the program writes, as sequences with what is known of their videos."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.archive.annotations import looks_like_annotations, read_annotations
from pipeline.config.plugins import plugin
from pipeline.core.errors import UsageError
from pipeline.core.interfaces import SourceInfo
from pipeline.core.paths import home_path
from pipeline.core.sequences import (
    DEFAULT_FPS,
    DEFAULT_SIZE,
    RecordedSequence,
    VideoInfo,
    find_files,
    load_sequences,
)
from pipeline.core.track_files import SUFFIXES, BoxTable, meta_path

_INNER = "det/det.txt"


def load_tracks(path: Path) -> dict[str, RecordedSequence]:
    """Return {source: tracks} of tracks.csv, tracks.jsonl, MOTChallenge text, a run's folder, or
    annotations of another tool; raises UsageError.

    Sources of the run in which nothing was found are there too, with an empty table.
    """
    path = home_path(path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    if path.suffix.lower() not in SUFFIXES and looks_like_annotations(path):
        return read_annotations(path)
    found = load_sequences([path], _INNER)
    for file in find_files(path, _INNER):
        _complete(found, file)
    return found


def _complete(found: dict[str, RecordedSequence], file: Path) -> None:
    """Add what the run's report and metadata beside a table say of its sources."""
    report = _section(file.with_name("report.json"))
    meta = _section(meta_path(file))
    if file.suffix.lower() == ".txt":
        report = {name: about for name, about in report.items() if name in found}
        meta = {}
    for name in {**report, **meta}:
        about, more = report.get(name, {}), meta.get(name, {})
        there = found.get(name) or RecordedSequence(
            name,
            BoxTable.of((), (), ()),
            {},
            file,
            VideoInfo(DEFAULT_FPS, 0, *DEFAULT_SIZE, has_known_size=False),
        )
        if there.path.parent == file.parent:
            found[name] = _with_facts(there, about, more)


def _section(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return {source: facts} of a report.json or tracks.meta.json, {} where there is none."""
    with suppress(OSError, ValueError, AttributeError):
        sources = json.loads(path.read_text("utf-8")).get("sources", {})
        return {name: each for name, each in sources.items() if isinstance(each, dict)}
    return {}


def _with_facts(
    sequence: RecordedSequence, report: Mapping[str, Any], meta: Mapping[str, Any]
) -> RecordedSequence:
    video, media = sequence.video, sequence.media
    with suppress(KeyError, TypeError, ValueError):
        video = replace(video, length=max(video.length, int(report["last"]["frame"]) + 1))
    with suppress(KeyError, TypeError, ValueError):
        video = replace(video, length=max(video.length, int(meta["frame_count"])))
    with suppress(KeyError, TypeError, ValueError):
        video = replace(video, fps=float(meta["fps"]))
    if not video.has_known_size:
        with suppress(KeyError, TypeError, ValueError):
            width, height = report.get("size") or (meta["width"], meta["height"])
            video = replace(video, width=int(width), height=int(height), has_known_size=True)
    if not media and (file := report.get("file") or meta.get("file")):
        media = {0: str(file)}
    return replace(sequence, video=video, media=media)


def with_videos(
    sequences: Mapping[str, RecordedSequence], videos: Sequence[Path]
) -> dict[str, RecordedSequence]:
    """Return the sequences with size, frame rate, length and path of their videos.

    A video belongs to the source of its name without suffix; a single one to a single source.
    Raises UsageError where one belongs to none, SourceError where it cannot be read.
    """
    found = dict(sequences)
    for path in map(home_path, videos):
        name = path.stem
        if name not in found:
            if len(found) > 1 or len(videos) > 1:
                there = ", ".join(sorted(found))
                raise UsageError(
                    f"--video {path}: no source is called '{name}' (there are: {there})"
                )
            name = next(iter(found), "")
        if name:
            found[name] = _with_video(found[name], _probe(path), path)
    return found


def _probe(path: Path) -> SourceInfo:
    module = plugin("sources", "file", "--video")
    source = module.build(module.Options(path=path))
    try:
        info: SourceInfo = source.open()
    finally:
        source.close()
    return info


def _with_video(sequence: RecordedSequence, info: SourceInfo, path: Path) -> RecordedSequence:
    video = sequence.video
    last = int(sequence.table.frame.max(initial=-1)) + 1
    if info.frame_count and last > info.frame_count:
        raise UsageError(
            f"--video {path}: has {info.frame_count} frames, the tracks of {sequence.name} go on "
            f"to frame {last}"
        )
    return replace(
        sequence,
        video=VideoInfo(
            info.fps or video.fps, max(info.frame_count or 0, last), info.width, info.height
        ),
        media={0: str(path)},
    )


def at_one_size(sequence: RecordedSequence) -> tuple[RecordedSequence, list[str]]:
    """Return the sequence with all boxes in pixels of its video's size, and the other sizes.

    A camera may send another picture size after a reconnect, and a video may change in the middle.
    """
    table, video = sequence.table, sequence.video
    own = np.array((video.width, video.height))
    other = (table.size > 0).all(axis=1) & (table.size != own).any(axis=1)
    if not other.any():
        return sequence, []
    sizes = [f"{w}x{h}" for w, h in np.unique(table.size[other], axis=0).tolist()]
    factor = np.where(other[:, None], own / np.maximum(table.size, 1), 1.0)
    xyxy = table.xyxy * np.hstack([factor, factor])
    size = np.where(other[:, None], own, table.size).astype(np.int32)
    return replace(sequence, table=replace(table, xyxy=xyxy, size=size)), sizes
