"""The sources of a report, from a dataset, a run's folder or a file of tracks: all that it says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.archive.dataset.reader import Dataset, open_dataset
from pipeline.archive.ground.speeds import SpeedOptions, ground_speeds
from pipeline.archive.ground.summary import TrackSummary, summarize
from pipeline.archive.report.counting import (
    Chain,
    Counted,
    recount_chains,
    recount_file,
    stored_in_dataset,
    stored_in_run,
)
from pipeline.archive.report.picture import Picture, picture_of
from pipeline.archive.report.summary import SHORT_S, Facts, SourceSummary, Span, times_of
from pipeline.archive.tracks import TrackInput, load_tracks, open_tracks
from pipeline.archive.videos import assigned_videos
from pipeline.core.dataset_folder import dataset_at
from pipeline.core.errors import UsageError
from pipeline.core.homography import Homography, read_homography
from pipeline.core.paths import home_path
from pipeline.core.sequences import RecordedSequence
from pipeline.events.zones.replay import zones_of_sources
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.zones_file import load_zones

_MAX_NAMED = 5
_MANY_SHORT = 0.2
_GAP_S = 3.0
_OVERLAP_S = 1.5


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """What a report is made of; all but `tracks` may be missing."""

    tracks: Path
    zones: Path | None = None
    video: Path | None = None
    homography: Path | None = None


@dataclass(frozen=True, slots=True)
class SourceReport:
    """Everything a report says of one source; `speeds` is None without a homography."""

    summary: SourceSummary
    facts: Facts
    counted: Counted | None
    speeds: Sequence[TrackSummary] | None
    picture: Picture


def collect(inputs: ReportInputs) -> Iterator[SourceReport]:
    """Yield each source's report; raises UsageError and ConfigError, as `trackline count` does."""
    path = home_path(inputs.tracks)
    if (dataset := dataset_at(path)) is not None:
        return _of_dataset(dataset, inputs)
    return _of_file(path, inputs)


def _of_file(path: Path, inputs: ReportInputs) -> Iterator[SourceReport]:
    found = load_tracks(path)
    if not found:
        raise UsageError(f"{path}: has no tracks")
    zones, videos, homography = _extras(inputs, list(found))
    utc = {name for name, each in found.items() if _has_utc(each)}
    folders = {each.path.parent for each in found.values()}
    stored = {} if zones else _merged(stored_in_run(one, utc_sources=utc) for one in folders)
    for name, sequence in found.items():
        is_utc = name in utc
        summary = SourceSummary(name, _span_of(sequence, is_utc), _size_of(sequence))
        summary.add(sequence, 0.0)
        facts = _facts_of_run(sequence)
        _judge(summary, facts)
        counted = stored.get(name)
        if name in zones:
            counted = recount_file(sequence, zones[name], is_utc=is_utc)
        speeds = _speeds([sequence], homography)
        media = next(iter(sequence.media.values()), None)
        picture = picture_of(summary, counted, videos.get(name), [media] if media else [])
        yield SourceReport(summary, facts, counted, speeds, picture)


def _of_dataset(path: Path, inputs: ReportInputs) -> Iterator[SourceReport]:
    dataset = open_dataset(path)
    given = open_tracks(path)
    if not (cameras := dataset.cameras()):
        raise UsageError(f"{path}: has no recordings yet")
    zones, videos, homography = _extras(inputs, cameras)
    for camera in cameras:
        recordings = _Recordings(dataset, given, camera)
        summary = SourceSummary(camera, recordings.span, recordings.size)
        speeds: list[TrackSummary] = []
        for sequence, video in recordings.load():
            summary.add(sequence, recordings.offsets[video["segment"]])
            speeds += _speeds([sequence], homography) or ()
        facts = recordings.facts()
        _judge(summary, facts)
        is_utc = recordings.span.is_utc
        if camera in zones:
            chains = recordings.chains()
            counted = recount_chains(camera, chains, zones[camera], is_utc=is_utc)
        else:
            offsets = None if is_utc else recordings.offsets
            counted = stored_in_dataset(dataset, camera, offsets)
        media = [str(video["path"]) for video in recordings.videos if video["status"] != "failed"]
        picture = picture_of(summary, counted, videos.get(camera), media)
        shown = speeds if homography is not None else None
        yield SourceReport(summary, facts, counted, shown, picture)


def _extras(
    inputs: ReportInputs, names: list[str]
) -> tuple[dict[str, CameraZones], dict[str, Path], Homography | None]:
    """Return the zones and the video of each source that has some, and the homography."""
    zones: dict[str, CameraZones] = {}
    if inputs.zones is not None:
        file = load_zones(inputs.zones)
        of_source = zones_of_sources(names, file, None, inputs.tracks)
        if not of_source:
            known = ", ".join(sorted(file.cameras))
            raise UsageError(
                f"{inputs.zones}: has no camera '{', '.join(names)}' of {inputs.tracks} "
                f"(known: {known})"
            )
        zones = {name: file.cameras[camera] for name, camera in of_source.items()}
    videos = assigned_videos(names, [inputs.video]) if inputs.video is not None else {}
    if inputs.homography is None:
        return zones, videos, None
    if len(names) > 1:
        raise UsageError(
            f"--homography: is of one camera, and there are more sources ({', '.join(names)})"
        )
    return zones, videos, read_homography(inputs.homography)


def _speeds(
    sequences: Sequence[RecordedSequence], homography: Homography | None
) -> list[TrackSummary] | None:
    if homography is None:
        return None
    return [
        one
        for sequence in sequences
        if len(sequence.table)
        for one in summarize(ground_speeds(sequence, homography, SpeedOptions()), homography)
    ]


# -- a dataset's camera ---------------------------------------------------------------------------


class _Recordings:
    """The recordings of one camera in order, and where each begins on the camera's axis."""

    def __init__(self, dataset: Dataset, given: TrackInput, camera: str) -> None:
        self._given = given
        videos = [video for video in dataset.videos() if video["camera"] == camera]
        self.videos = _in_order(videos)
        read = [video for video in self.videos if video["status"] != "failed"]
        is_utc = bool(read) and all(video["utc"] is not None for video in read)
        self.offsets: dict[str, float] = {}
        self._bases: dict[str, float] = {}
        base_s = end_s = 0.0
        for video in self.videos:
            if not video["continues"]:
                base_s = end_s
            self._bases[video["segment"]] = base_s
            begin_s = base_s + (video["offset_s"] or 0.0 if video["continues"] else 0.0)
            self.offsets[video["segment"]] = begin_s
            end_s = max(end_s, begin_s + (video["duration_s"] or 0.0))
        if is_utc:
            starts = [video["utc"].timestamp() for video in read]
            ends = [_start(video) + (video["duration_s"] or 0.0) for video in read]
            self.span = Span(min(starts), max(ends), is_utc=True)
        else:
            self.span = Span(0.0, end_s, is_utc=False)
        sizes = [(v["width"], v["height"]) for v in read if v["width"] and v["height"]]
        self.size: tuple[int, int] = sizes[0] if sizes else (1920, 1080)

    def load(self) -> Iterator[tuple[RecordedSequence, Mapping[str, Any]]]:
        """Yield (tracks, row of `videos`) of each recording in order, one in memory at a time."""
        for video in self.videos:
            yield self._load(video), video

    def chains(self) -> Iterator[Chain]:
        """Yield the recordings over whose seams tracks go on."""
        chain: list[Mapping[str, Any]] = []
        for video in [*(v for v in self.videos if v["status"] != "failed"), None]:
            if chain and (video is None or not video["continues"]):
                yield Chain(self._bases[chain[0]["segment"]], _Parts(self, chain))
                chain = []
            if video is not None:
                chain.append(video)

    def part(self, video: Mapping[str, Any]) -> tuple[RecordedSequence, float, float]:
        """Return a recording as a part of its chain."""
        return self._load(video), video["offset_s"] or 0.0, video["duration_s"] or 0.0

    def facts(self) -> Facts:
        """Return what the table `videos` says, with warnings about it."""
        facts = Facts(len(self.videos))
        for video in self.videos:
            facts.video_s += video["duration_s"] or 0.0
            facts.frames += video["frames"] or 0
            facts.dropped += video["dropped"] or 0
        kinds = {"failed": "could not be read", "partial": "break off", "ok": "may lack pictures"}
        for status, text in kinds.items():
            of_status = [v for v in self.videos if v["status"] == status and v["reason"]]
            shown = [f"{Path(v['path']).name} ({v['reason']})" for v in of_status[:_MAX_NAMED]]
            if of_status:
                facts.warnings.append(
                    f"{len(of_status)} of {len(self.videos)} recordings {text}: {'; '.join(shown)}"
                )
        facts.warnings += self._gaps()
        return facts

    def _gaps(self) -> list[str]:
        timed = [v for v in self.videos if v["utc"] is not None and v["status"] != "failed"]
        gaps, overlaps = [], 0
        for before, after in pairwise(timed):
            gap_s = _start(after) - _start(before) - (before["duration_s"] or 0.0)
            if gap_s > _GAP_S:
                gaps.append((gap_s, Path(after["path"]).name))
            overlaps += gap_s < -_OVERLAP_S
        found = []
        if gaps:
            longest = sorted(gaps, reverse=True)[:_MAX_NAMED]
            shown = "; ".join(f"{gap_s:.0f} s before {name}" for gap_s, name in longest)
            found.append(f"gaps between recordings: {len(gaps)}, the longest: {shown}")
        if overlaps:
            found.append(f"recordings that overlap with the one before: {overlaps}")
        return found

    def _load(self, video: Mapping[str, Any]) -> RecordedSequence:
        stem = Path(str(video["path"])).stem
        named = stem if stem in self._given.names else str(video["segment"])
        return next(iter(self._given.load([named])))


@dataclass(frozen=True, slots=True)
class _Parts(Sequence[tuple[RecordedSequence, float, float]]):
    """The parts of a chain, each loaded when it is asked for."""

    recordings: _Recordings
    videos: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, number: Any) -> Any:
        return self.recordings.part(self.videos[number])


def _in_order(videos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows by time; one that goes on from another comes right behind it."""
    after = {video["continues"]: video for video in videos if video["continues"]}
    heads = [video for video in videos if not video["continues"]]
    heads.sort(key=lambda v: (v["utc"] is None, _start(v), str(v["path"])))
    found = []
    for head in heads:
        link: dict[str, Any] | None = head
        while link is not None:
            found.append(link)
            link = after.pop(link["segment"], None)
    return found


def _start(video: Mapping[str, Any]) -> float:
    return float(video["utc"].timestamp()) if video["utc"] is not None else 0.0


# -- a file ---------------------------------------------------------------------------------------


def _has_utc(sequence: RecordedSequence) -> bool:
    utc_s = sequence.table.utc_s
    return bool(len(utc_s)) and bool(np.isfinite(utc_s).all())


def _span_of(sequence: RecordedSequence, is_utc: bool) -> Span:
    times = times_of(sequence, 0.0, is_utc=is_utc)
    length_s = sequence.video.length / sequence.video.fps
    if not len(times):
        return Span(0.0, length_s, is_utc=False)
    if is_utc:
        return Span(float(times.min()), float(times.max()), is_utc=True)
    return Span(min(0.0, float(times.min())), max(length_s, float(times.max())), is_utc=False)


def _size_of(sequence: RecordedSequence) -> tuple[int, int]:
    video = sequence.video
    if video.has_known_size or not len(sequence.table):
        return video.width, video.height
    far = sequence.table.xyxy[:, 2:].max(axis=0)
    return max(int(far[0]), 2), max(int(far[1]), 2)


def _facts_of_run(sequence: RecordedSequence) -> Facts:
    """Return what the run's report.json, where there is one, says of a source."""
    video = sequence.video
    facts = Facts(1, video.length / video.fps, video.length)
    report: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        report = json.loads(sequence.path.with_name("report.json").read_text("utf-8"))
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        if report.get("error"):
            facts.warnings.append(f"the run failed: {report['error']}")
        about = report["sources"][sequence.name]
        facts.frames = int(about.get("delivered", facts.frames))
        dropped = about.get("dropped", 0)
        facts.dropped = sum(dropped.values()) if isinstance(dropped, dict) else int(dropped)
        if about.get("broken"):
            facts.warnings.append(f"the video breaks off: {about['broken']}")
        if about.get("reconnects"):
            facts.warnings.append(f"{about['reconnects']} reconnects; tracks end at each")
    if not video.has_known_size:
        facts.warnings.append("the picture's size is not known: the pictures below are cut to fit")
    return facts


def _merged(found: Iterator[dict[str, Counted]]) -> dict[str, Counted]:
    return {name: counted for each in found for name, counted in each.items()}


def _judge(summary: SourceSummary, facts: Facts) -> None:
    """Add what the tracks themselves tell about their quality."""
    warn = facts.warnings.append
    if facts.dropped:
        share = facts.dropped / max(facts.frames + facts.dropped, 1)
        warn(f"{facts.dropped} frames dropped ({share:.1%}): counts may miss what was quick")
    short = sum(one.last_s - one.first_s < SHORT_S for one in summary.tracks.values())
    if summary.tracks and short / len(summary.tracks) > _MANY_SHORT:
        share = short / len(summary.tracks)
        warn(
            f"{short} of {len(summary.tracks)} tracks ({share:.0%}) are shorter than {SHORT_S} s: "
            "ids may have broken, and numbers of tracks be too high"
        )
    if summary.rows_without_id:
        warn(f"{summary.rows_without_id} rows have no track: they are in no count")
    if summary.scaled:
        sizes = ", ".join(sorted(summary.scaled))
        warn(f"pictures of other sizes ({sizes}) are scaled to {summary.size[0]}x{summary.size[1]}")
    if not summary.rows:
        warn("nothing was found in it")
