"""Collects the data of a report, from a dataset, a run's folder or a file of tracks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.archive.counting import (
    Counted,
    counted,
    recount_chains,
    recount_file,
    stored_in_dataset,
    stored_in_run,
)
from pipeline.archive.dataset.reader import dataset_named, open_dataset
from pipeline.archive.ground.speeds import SpeedOptions, ground_speeds
from pipeline.archive.ground.summary import TrackSummary, summarize
from pipeline.archive.recordings import CameraRecordings, start_of
from pipeline.archive.report.picture import Picture, picture_of
from pipeline.archive.report.summary import SHORT_S, Facts, SourceSummary, Span, times_of
from pipeline.archive.tracks import load_tracks, open_tracks
from pipeline.archive.videos import assigned_videos
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
    """Inputs of a report; all but `tracks` may be missing."""

    tracks: Path
    zones: Path | None = None
    video: Path | None = None
    homography: Path | None = None


@dataclass(frozen=True, slots=True)
class SourceReport:
    """All content of a report about one source; `speeds` is None without a homography."""

    summary: SourceSummary
    facts: Facts
    counted: Counted | None
    speeds: Sequence[TrackSummary] | None
    picture: Picture


def collect(inputs: ReportInputs) -> Iterator[SourceReport]:
    """Yield each source's report; raises UsageError and ConfigError, as `trackline count` does."""
    if (dataset := dataset_named(inputs.tracks)) is not None:
        return _of_dataset(dataset, inputs)
    return _of_file(home_path(inputs.tracks), inputs)


def _of_file(path: Path, inputs: ReportInputs) -> Iterator[SourceReport]:
    found = load_tracks(path)
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
        counts = stored.get(name)
        if name in zones:
            counts = recount_file(sequence, zones[name], is_utc=is_utc)
        speeds = _speeds([sequence], homography)
        media = next(iter(sequence.media.values()), None)
        picture = picture_of(summary, counts, videos.get(name), [media] if media else [])
        yield SourceReport(summary, facts, counts, speeds, picture)


def _of_dataset(path: Path, inputs: ReportInputs) -> Iterator[SourceReport]:
    dataset = open_dataset(path)
    given = open_tracks(path)
    if not (cameras := dataset.cameras()):
        raise UsageError(f"{path}: has no recordings yet")
    zones, videos, homography = _extras(inputs, cameras)
    for camera in cameras:
        recordings = CameraRecordings(dataset, given, camera)
        span = _span_of_camera(recordings)
        summary = SourceSummary(camera, span, recordings.size)
        speeds: list[TrackSummary] = []
        for sequence, video in recordings.load():
            summary.add(sequence, recordings.offsets[video["segment"]])
            speeds += _speeds([sequence], homography) or ()
        facts = _facts_of_camera(recordings)
        _judge(summary, facts)
        if camera in zones:
            found = recount_chains(camera, recordings.chains(), zones[camera])
            counts = counted(found, zones[camera], is_utc=span.is_utc)
        else:
            offsets = None if span.is_utc else recordings.offsets
            counts = stored_in_dataset(dataset, camera, offsets)
        media = [str(video["path"]) for video in recordings.read]
        picture = picture_of(summary, counts, videos.get(camera), media)
        shown = speeds if homography is not None else None
        yield SourceReport(summary, facts, counts, shown, picture)


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


def _span_of_camera(recordings: CameraRecordings) -> Span:
    if not recordings.is_utc:
        return Span(0.0, recordings.end_s, is_utc=False)
    starts = [start_of(video) for video in recordings.read]
    ends = [start_of(video) + (video["duration_s"] or 0.0) for video in recordings.read]
    return Span(min(starts), max(ends), is_utc=True)


def _facts_of_camera(recordings: CameraRecordings) -> Facts:
    """Return the facts in the table `videos`, with warnings about them."""
    videos = recordings.videos
    facts = Facts(len(videos))
    for video in videos:
        facts.video_s += video["duration_s"] or 0.0
        facts.frames += video["frames"] or 0
        facts.dropped += video["dropped"] or 0
    kinds = {"failed": "could not be read", "partial": "break off", "ok": "may lack pictures"}
    for status, text in kinds.items():
        of_status = [v for v in videos if v["status"] == status and v["reason"]]
        shown = [f"{Path(v['path']).name} ({v['reason']})" for v in of_status[:_MAX_NAMED]]
        if of_status:
            facts.warnings.append(
                f"{len(of_status)} of {len(videos)} recordings {text}: {'; '.join(shown)}"
            )
    facts.warnings += _gaps([video for video in recordings.read if video["utc"] is not None])
    return facts


def _gaps(timed: Sequence[Mapping[str, Any]]) -> list[str]:
    gaps, overlaps = [], 0
    for before, after in pairwise(timed):
        gap_s = start_of(after) - start_of(before) - (before["duration_s"] or 0.0)
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
    """Return the facts about a source in the run's report.json, if there is one."""
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
        facts.dropped -= about.get("dropped_by_cause", {}).get("unwanted", 0)  # not asked for
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
    """Add the quality measures derived from the tracks themselves."""
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
