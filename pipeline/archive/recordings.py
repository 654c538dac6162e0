"""The recordings of one dataset camera in order, and their offsets on the camera's time axis.

The axis is in seconds: chains of recordings over whose seams tracks go on, one after the other.
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
    """The rows of `videos` of one camera in order, and its tracks by recording.

    `offsets` is {segment: seconds at which it begins on the camera's axis}, which ends at `end_s`;
    `size` is the picture's width and height. `read` leaves out what could not be read.
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
        """Return whether it is known of every recording when it was made."""
        return bool(self.read) and all(video["utc"] is not None for video in self.read)

    def load(self) -> Iterator[tuple[RecordedSequence, Mapping[str, Any]]]:
        """Yield (tracks, row of `videos`) of each recording in order, one in memory at a time."""
        for video in self.read:
            yield self._load(video), video

    def chains(self) -> Iterator[Chain]:
        """Yield the recordings over whose seams tracks go on."""
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
    """The parts of a chain, each loaded when it is asked for."""

    recordings: CameraRecordings
    videos: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, number: Any) -> Any:
        return self.recordings.part(self.videos[number])


def _in_order(videos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows by time; one that goes on from another comes right behind it."""
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
    """Return the Unix time at which a row of `videos` says it began, 0 where it does not say."""
    return float(video["utc"].timestamp()) if video["utc"] is not None else 0.0
