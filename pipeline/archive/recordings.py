"""Recordings of one dataset camera in order, and their offsets on the camera's time axis.

The axis is in seconds: chains of recordings with continuous tracks, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.archive.counting import Chain
from pipeline.archive.dataset.reader import Dataset
from pipeline.archive.tracks import TrackInput
from pipeline.core.sequences import DEFAULT_SIZE, RecordedSequence


class CameraRecordings:
    """Rows of `videos` of one camera in order, and its tracks by recording.

    `offsets` is {segment: its start in seconds on the camera's axis}, which ends at `end_s`; `size`
    is the picture's width and height. `read` leaves out unreadable recordings.
    """

    def __init__(self, dataset: Dataset, given: TrackInput, camera: str) -> None:
        self._given = given
        self.videos = _in_order(dataset.videos(camera))
        self.read = [video for video in self.videos if video["status"] != "failed"]
        self.offsets: dict[str, float] = {}
        self._bases: dict[str, tuple[float, int]] = {}
        base = (0.0, 0)
        self.end_s, frames = 0.0, 0
        for video in self.videos:
            if not video["continues"]:
                base = self.end_s, frames
            self._bases[video["segment"]] = base
            begin_s = base[0] + (video["offset_s"] or 0.0 if video["continues"] else 0.0)
            self.offsets[video["segment"]] = begin_s
            self.end_s = max(self.end_s, begin_s + (video["duration_s"] or 0.0))
            frames += video["frames"] or 0
        sizes = [(v["width"], v["height"]) for v in self.read if v["width"] and v["height"]]
        self.size: tuple[int, int] = sizes[0] if sizes else DEFAULT_SIZE

    @property
    def is_utc(self) -> bool:
        """Return whether the start times of all recordings are known."""
        return bool(self.read) and all(video["utc"] is not None for video in self.read)

    def load(self) -> Iterator[tuple[RecordedSequence, Mapping[str, Any]]]:
        """Yield (tracks, row of `videos`) of each recording in order, one in memory at a time."""
        for video in self.read:
            yield self._load(video), video

    def chains(self) -> Iterator[Chain]:
        """Yield the chains of recordings with continuous tracks."""
        chain: list[Mapping[str, Any]] = []
        for video in [*self.read, None]:
            if chain and (video is None or not video["continues"]):
                yield Chain(*self._bases[chain[0]["segment"]], _Parts(self, chain))
                chain = []
            if video is not None:
                chain.append(video)

    def part(self, video: Mapping[str, Any]) -> tuple[RecordedSequence, float, float]:
        """Return a recording as a part of its chain."""
        return self._load(video), video["offset_s"] or 0.0, video["duration_s"] or 0.0

    def _load(self, video: Mapping[str, Any]) -> RecordedSequence:
        stem = Path(str(video["path"])).stem
        named = stem if stem in self._given.names else str(video["segment"])
        return next(iter(self._given.load([named])))


@dataclass(frozen=True, slots=True)
class _Parts(Sequence[tuple[RecordedSequence, float, float]]):
    """Parts of a chain, each loaded on access."""

    recordings: CameraRecordings
    videos: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, number: Any) -> Any:
        return self.recordings.part(self.videos[number])


def _in_order(videos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows by time; a continuation directly follows what it continues."""
    after = {video["continues"]: video for video in videos if video["continues"]}
    heads = [video for video in videos if not video["continues"]]
    heads.sort(key=lambda v: (v["utc"] is None, start_of(v), str(v["path"])))
    found = []
    for head in heads:
        link: dict[str, Any] | None = head
        while link is not None:
            found.append(link)
            link = after.pop(link["segment"], None)
    return found


def start_of(video: Mapping[str, Any]) -> float:
    """Return the start time (Unix) in a row of `videos`, 0 if it is unknown."""
    return float(video["utc"].timestamp()) if video["utc"] is not None else 0.0
