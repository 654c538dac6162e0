"""Export of tracks to other tools' formats: selects, checks, and writes them in one step."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.archive.annotations import check_identities
from pipeline.archive.formats._format import TakesShapes, TrackFormat, with_file_names
from pipeline.archive.remote import is_remote
from pipeline.archive.tracks import open_tracks
from pipeline.archive.videos import assigned_videos, at_one_size, at_true_rate, with_video
from pipeline.config.plugins import FORMATS, plugin
from pipeline.core.atomic_file import replacing
from pipeline.core.errors import OutputError, UsageError
from pipeline.core.options import unknown, validated
from pipeline.core.paths import home_path
from pipeline.core.sequences import RecordedSequence

log = logging.getLogger("trackline")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tracks are exported, and facts about their videos.

    `sources` and `classes` name those to export, empty for all. `coasting`: include predicted
    boxes. `videos` are the files the tracks come from; `fps` and `size` (width, height) are used if
    no video is given.
    """

    sources: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    coasting: bool = False
    videos: tuple[Path, ...] = ()
    fps: float | None = None
    size: tuple[int, int] | None = None


@dataclass(slots=True)
class Converted:
    """The files or the folder written, and counts of their content."""

    paths: list[Path] = field(default_factory=list)
    sources: int = 0
    tracks: int = 0
    boxes: int = 0


def make_format(
    kind: str, options: Mapping[str, Any], homography: Path | None = None
) -> TrackFormat:
    """Return the format; raises ConfigError for an unknown one or a wrong option."""
    module = plugin(FORMATS, kind, "--to")
    given, place = dict(options), module.Options.model_fields.get("homography")
    if homography is None and place is not None and place.is_required():
        raise UsageError(f"--to {kind}: positions on the ground need --homography FILE")
    if homography is not None:
        if place is None:
            raise UsageError(f"--homography: the format {kind} has no positions on the ground")
        given["homography"] = home_path(homography)
    made: TrackFormat = module.build(validated(module.Options, given, kind))
    return made


def convert(
    tracks: Path, form: TrackFormat, output: Path, selection: Selection | None = None
) -> Converted:
    """Read `tracks`, write them in a format to `output` and return what was written.

    `output` is a file with the format's suffix, or a folder, whose other content is kept. A file is
    written in one step. Raises UsageError and OutputError.
    """
    selection = selection or Selection()
    given = open_tracks(tracks, shapes=isinstance(form, TakesShapes))
    output = home_path(output)
    names = given.named(selection.sources)
    if form.layout == "file per source" and len(names) > 1 and _is_file(form, output):
        raise OutputError(
            f"{output}: holds one source, and there are {len(names)} ({', '.join(names)}): give a "
            "folder, or choose with --source"
        )
    videos = assigned_videos(names, selection.videos)
    sequences = (_with_facts(each, videos, selection) for each in given.load(names))
    done = Converted()
    try:
        if not is_remote(tracks) and output.is_file() and output.samefile(home_path(tracks)):
            raise UsageError(f"{output}: is the input; choose another output with -o")
        _write(form, _prepared(sequences, form, selection, done), output, done)
    except OSError as error:
        raise OutputError(f"{output}: cannot be written: {error.strerror or error}") from None
    return done


def _prepared(
    sequences: Iterable[RecordedSequence],
    form: TrackFormat,
    selection: Selection,
    done: Converted,
) -> Iterator[RecordedSequence]:
    """Yield the sequences one at a time as the format needs them; raises UsageError."""
    labels: set[str] = set()
    for each in sequences:
        labels |= {label.casefold() for label in each.class_names.values()}
        yield _as_wanted(each, form, selection, done)
    if missing := [name for name in selection.classes if name.casefold() not in labels]:
        raise UsageError(f"--classes: {unknown('class', missing[0], sorted(labels))}")


def _as_wanted(
    each: RecordedSequence, form: TrackFormat, selection: Selection, done: Converted
) -> RecordedSequence:
    if form.needs_size and not each.video.has_known_size:
        raise UsageError(
            f"{each.path}: {each.name}: the picture size is not in there: give --video FILE or "
            "--size WxH"
        )
    each = replace(each, table=each.table[_kept(each, selection)])
    check_identities(each)
    if form.one_size:
        each, others = at_one_size(each)
        if others:
            log.warning(
                "%s: pictures of %s too; their boxes are scaled to %dx%d, for the format holds one "
                "size", each.name, ", ".join(others), each.video.width, each.video.height,
            )  # fmt: skip
    done.sources += 1
    done.boxes += len(each.table)
    done.tracks += len(np.unique(each.table.track_id[each.table.track_id > 0]))
    return each


def _with_facts(
    each: RecordedSequence, videos: Mapping[str, Path], selection: Selection
) -> RecordedSequence:
    """Return the sequence with the facts of its video, or those given instead."""
    if each.name in videos:
        each = with_video(each, videos[each.name])
    if selection.fps is not None:
        each = replace(each, video=replace(each.video, fps=selection.fps))
    else:
        each, nominal = at_true_rate(each)
        if nominal is not None:
            log.warning(
                "%s: its rate varies: %.6g frames per second by the times of the tracks, %.6g by "
                "the video; the former is taken", each.name, each.video.fps, nominal,
            )  # fmt: skip
    video = each.video
    if selection.size is not None and each.name not in videos:
        width, height = selection.size
        video = replace(video, width=width, height=height, has_known_size=True)
    return replace(each, video=video)


def _kept(each: RecordedSequence, selection: Selection) -> Any:
    """Return bool[N]: which rows are exported."""
    table = each.table
    keep = np.ones(len(table), bool) if selection.coasting else table.state != "coasting"
    if selection.classes:
        wanted = {name.casefold() for name in selection.classes}
        ids = [number for number, name in each.class_names.items() if name.casefold() in wanted]
        keep &= np.isin(table.class_id, ids)
    return keep


def _write(
    form: TrackFormat, sequences: Iterator[RecordedSequence], output: Path, done: Converted
) -> None:
    """Write to a file or a folder, depending on `output` and the format's layout."""
    is_file = _is_file(form, output)
    if form.layout == "file per source" and not is_file:
        for name, each in with_file_names(sequences, form.suffix):
            _write_file(form, [each], output / name, done)
        return
    if form.layout == "tree" and not is_file:
        if output.exists() and not output.is_dir():
            raise OutputError(f"{output}: want a folder or a {form.suffix} file")
        output.mkdir(parents=True, exist_ok=True)
        form.write(sequences, output)
        done.paths.append(output)
        return
    if output.is_dir():
        raise OutputError(f"{output}: is a folder; want a file, {output / f'tracks{form.suffix}'}")
    _write_file(form, sequences, output, done)


def _write_file(
    form: TrackFormat, sequences: Iterable[RecordedSequence], path: Path, done: Converted
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        form.write(sequences, partial)
    done.paths.append(path)


def _is_file(form: TrackFormat, output: Path) -> bool:
    return output.suffix.lower() == form.suffix and not output.is_dir()
