"""Finds recordings below paths, groups them by camera and sorts them.

A folder holds the recordings of one camera, or of several with distinct names. They are ordered by
the time in their names, else by the container's creation time, else by the numbers in their names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from pipeline.archive.batch.content import SeenFile
from pipeline.archive.batch.names import Chapter, RecordingName, camera_name, read_name
from pipeline.archive.batch.remote_files import RemotePath, list_remote, probe_remote
from pipeline.archive.remote import is_address, is_remote
from pipeline.core.errors import ConfigError, SourceError, UsageError
from pipeline.core.paths import home_path
from pipeline.core.secret_masking import masked_address
from pipeline.sources._file.listing import list_files, natural
from pipeline.sources._file.probe import FileProbe, probe
from pipeline.sources._file.recording_start import named_time

SURE_OVERLAP_S = 5.0
"""Longer overlaps of one camera's recordings are reported; cameras repeat up to some seconds."""
UNMATCHED = "unmatched"
"""Camera of files that the pattern of `--group-by` does not match; all of them are set aside."""
_PROBES_AT_ONCE = 8
_REMOTE_PROBES_AT_ONCE = 32
_TIME_FORMATS = ("%Y%m%d%H%M%S", "%Y%m%d%H%M", "%y%m%d%H%M%S")
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Recording:
    """A video file of one camera; `problem` is why it cannot be read, "" if it can.

    `start_utc` is the Unix time of its first picture, None if unknown; `continues`: it continues
    the previous recording of the group, by chapter or number, regardless of the times. `place` is
    the file's resolved path, `sample` that of its content ("" if none was taken), `segment` the
    name of the dataset's segment that holds, or will hold, the recording.
    """

    path: Path
    camera: str
    probe: FileProbe | None = None
    problem: str = ""
    start_utc: float | None = None
    continues: bool = False
    place: str = ""
    sample: str = ""
    segment: str = ""

    @property
    def duration_s(self) -> float:
        """Return the duration in the file's header, 0 if it cannot be read."""
        return 0.0 if self.probe is None else self.probe.duration_s

    @property
    def end_utc(self) -> float | None:
        """Return the Unix time of its end according to the header."""
        return None if self.start_utc is None else self.start_utc + self.duration_s

    def sort_key(self) -> tuple[bool, float, list[tuple[int, int | str]]]:
        """Return the sort key of a camera's recordings: time (unknown last), then name."""
        return self.start_utc is None, self.start_utc or 0.0, natural(self.path)


def reason_of(error: Exception, path: Path) -> str:
    """Return an error's text in one line, without the recording's path in front."""
    text, name = (" ".join(each.split()) for each in (str(error), f"{path.name}:"))
    head, found, reason = text.partition(name)
    is_path = found and (not head or head.endswith(("/", "\\")))
    return reason.strip() if is_path else text


@dataclass(frozen=True, slots=True)
class Grouping:
    """Cameras with their recordings in order, and messages about anything unusual."""

    cameras: dict[str, list[Recording]]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class GroupRule:
    """How recordings are grouped: by folder and name, or by a pattern with a group `camera`.

    The pattern is searched in the path as given, with `/` between folders; a group `time` replaces
    the time in the name.
    """

    pattern: re.Pattern[str] | None = None

    @classmethod
    def of(cls, text: str) -> GroupRule:
        """Return the rule for `--group-by`; raises ConfigError for an unusable pattern."""
        if text == "folder":
            return cls()
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise ConfigError(f"--group-by: not a regular expression: {error}: '{text}'") from None
        if "camera" not in pattern.groupindex:
            raise ConfigError(
                f"--group-by: want folder, or a pattern with (?P<camera>...), got '{text}'"
            )
        return cls(pattern)


def group_recordings(
    paths: Sequence[str],
    rule: GroupRule,
    *,
    leave_out: Path,
    zone: tzinfo | None = None,
    seen: Mapping[str, SeenFile] | None = None,
) -> Grouping:
    """Return the recordings below `paths` by camera; raises SourceError if there are none.

    The folder `leave_out` is skipped. `zone` is the time zone of times in names. Files that an
    earlier job has `seen`, by resolved path, are not opened by FFmpeg again.
    """
    notes: list[str] = []
    found = _found(paths, leave_out, notes)
    named = [_named(each, rule) for each in found]
    before = seen or {}
    is_far = any(isinstance(each.path, RemotePath) for each in found)
    with ThreadPoolExecutor(_REMOTE_PROBES_AT_ONCE if is_far else _PROBES_AT_ONCE) as pool:
        probed = list(pool.map(lambda one: _probed(one, zone, before.get(one.place)), named))
    by_camera: dict[str, list[Recording]] = {}
    for recording in probed:
        by_camera.setdefault(recording.camera, []).append(recording)
    roots: dict[str, set[Path]] = {}
    for each, recording in zip(found, probed, strict=True):
        roots.setdefault(recording.camera, set()).add(each.root)
    _refuse_ambiguous(roots, rule)
    cameras = {name: _ordered(group) for name, group in sorted(by_camera.items())}
    for name, group in cameras.items():
        notes += _overlaps(name, group)
    return Grouping(cameras, notes)


class _Found(NamedTuple):
    """A file, the folder that names are relative to, and its resolved path."""

    path: Path
    root: Path
    place: str


def _found(paths: Sequence[str], leave_out: Path, notes: list[str]) -> list[_Found]:
    """Return the videos in a place, each file once, in natural order."""
    found: dict[Path, _Found] = {}
    kept_out = leave_out if is_remote(leave_out) else leave_out.resolve()
    for text in paths:
        if is_address(text):
            for each in _found_remote(text, leave_out, notes):
                found.setdefault(each.path, each)
            continue
        path = home_path(text)
        try:
            listing = list_files(path, recursive=True)
        except OSError as error:
            raise SourceError(f"{text}: cannot be read: {error.strerror}") from None
        if listing is None:
            if not path.exists():
                raise SourceError(f"{text}: no such file or folder")
            videos, root = [path], path.parent
        else:
            videos, root = [*listing.videos], path
            if listing.left_out or listing.pictures:
                pictures = f"{len(listing.pictures)} pictures" if listing.pictures else ""
                what = ", ".join(filter(None, (pictures, listing.left_out_text)))
                notes.append(f"left out of {text}: {what}")
        for video in videos:
            real = video.resolve()
            if real != kept_out and kept_out not in real.parents:
                # Files found by a pattern are named relative to their own folder.
                inside = root if root in video.parents else video.parent
                found.setdefault(real, _Found(video, inside, str(real)))
    if not found:
        there = "".join(f"; {note}" for note in notes)
        raise SourceError(f"{', '.join(map(masked_address, paths))}: no videos there{there}")
    return sorted(found.values(), key=lambda one: natural(one.path))


def _found_remote(address: str, leave_out: Path, notes: list[str]) -> Iterator[_Found]:
    """Yield the videos below an address of a store."""
    listing = list_remote(address)
    if listing.left_out:
        notes.append(f"left out of {masked_address(address)}: {listing.left_out} other files")
    for video in listing.videos:
        if not str(video).startswith(f"{leave_out}/"):
            yield _Found(video, listing.root, str(video))


class _Named(NamedTuple):
    """A file, its camera ("" if a pattern does not match it) and the time text of the pattern."""

    path: Path
    place: str
    camera: str
    when: str = ""


def _named(found: _Found, rule: GroupRule) -> _Named:
    path, root, place = found
    if rule.pattern is None:
        return _Named(path, place, _clean(camera_name(path, root)))
    match = rule.pattern.search(path.as_posix())
    if match is None or not match["camera"]:
        return _Named(path, place, "")
    when = match["time"] if "time" in rule.pattern.groupindex else None
    return _Named(path, place, _clean(match["camera"]), when or "")


def _clean(name: str) -> str:
    printable = "".join(letter if letter.isprintable() else "_" for letter in name.strip())
    return printable[:_MAX_NAME] or "camera"


def _probed(named: _Named, zone: tzinfo | None, seen: SeenFile | None) -> Recording:
    path, place, camera, when = named
    new = partial(Recording, path, camera or UNMATCHED, place=place)
    if not camera:
        return new(problem="does not match --group-by")
    if seen is not None and seen.is_at(path):
        return new(seen.probe, start_utc=seen.probe.start_utc, sample=seen.sample)
    try:
        facts = probe_remote(path, zone) if isinstance(path, RemotePath) else probe(path, zone)
    except SourceError as error:
        start = named_time(path)
        begun = None if start is None else _unix_s(start.moment, zone)
        return new(problem=reason_of(error, path), start_utc=begun)
    if not when:
        return new(facts, start_utc=facts.start_utc)
    moment = _time_of(path, when)
    if moment is None:
        return new(facts, f"the time by --group-by is none: '{when}'")
    start_utc = _unix_s(moment, zone)
    facts = replace(facts, start_utc=start_utc, start_exact=False, start_from="--group-by")
    return new(facts, start_utc=start_utc)


def _time_of(path: Path, text: str) -> datetime | None:
    """Return the time in the text a pattern found: in a form used in names, or just digits."""
    if named := named_time(path.with_name(f"{text}.mp4")):
        return named.moment
    digits = "".join(letter for letter in text if letter.isdecimal())
    for form in _TIME_FORMATS:
        try:
            return datetime.strptime(digits, form)
        except ValueError:
            continue
    return None


def _unix_s(moment: datetime, zone: tzinfo | None) -> float:
    if moment.tzinfo is None and zone is not None:
        moment = moment.replace(tzinfo=zone)
    return moment.timestamp()


def _refuse_ambiguous(roots: dict[str, set[Path]], rule: GroupRule) -> None:
    """Raise UsageError if two of the given folders would be the same camera."""
    for camera, folders in roots.items():
        if rule.pattern is None and len(folders) > 1:
            first, second = sorted(map(str, folders))[:2]
            raise UsageError(
                f"{first} and {second} both give the camera '{camera}': give the folder around "
                "them, or tell them apart with --group-by"
            )


def _ordered(group: Iterable[Recording]) -> list[Recording]:
    """Return the recordings in order of time, those of unknown time last, by name."""
    recordings = sorted(group, key=lambda one: natural(one.path))
    names = {one.path: read_name(one.path) for one in recordings}
    recordings = _with_chapter_times(recordings, names)
    recordings.sort(key=_by_time)
    ordered = recordings[:1]
    for before, after in pairwise(recordings):
        follows = _is_next(before, after, names)
        ordered.append(replace(after, continues=follows) if follows else after)
    return ordered


def _by_time(recording: Recording) -> tuple[bool, float]:
    return recording.start_utc is None, recording.start_utc or 0.0


def _with_chapter_times(
    recordings: list[Recording], names: dict[Path, RecordingName]
) -> list[Recording]:
    """Return them with the times of later chapters computed from the durations of earlier ones.

    Cameras write the start of the whole recording, or that of the chapter, into each chapter.
    """
    last: dict[tuple[Path, int], Recording] = {}
    timed: dict[Path, Recording] = {}
    chaptered = [(chapter, one) for one in recordings if (chapter := names[one.path].chapter)]
    for chapter, one in sorted(chaptered, key=lambda each: each[0]):
        key = (one.path.parent, chapter.recording)
        before = last.get(key)
        begun = one.start_utc if before is None else before.end_utc
        timed[one.path] = last[key] = replace(one, start_utc=begun)
    return [timed.get(one.path, one) for one in recordings]


def _is_next(before: Recording, after: Recording, names: dict[Path, RecordingName]) -> bool:
    """Return whether a recording continues another one, judging by its name alone."""
    one, two = names[before.path], names[after.path]
    if before.path.parent != after.path.parent or before.problem or after.problem:
        return False
    if one.chapter and two.chapter:
        return two.chapter == Chapter(one.chapter.recording, one.chapter.chapter + 1) or (
            two.chapter == (one.chapter.recording, 1) and one.chapter.chapter == 0
        )
    if before.start_utc is not None or after.start_utc is not None:
        return False
    counted = one.number is not None and two.number == one.number + 1
    return counted and one.series == two.series


def _overlaps(camera: str, group: Sequence[Recording]) -> list[str]:
    """Return a message if a camera's recordings overlap by more than cameras do on purpose."""
    pairs = []
    longest: Recording | None = None
    for one in group:
        if one.start_utc is None or one.problem:
            continue
        if longest is not None and (overlap := (longest.end_utc or 0.0) - one.start_utc) > 0:
            pairs += [(overlap, longest, one)] if overlap > SURE_OVERLAP_S else []
        if longest is None or (one.end_utc or 0.0) > (longest.end_utc or 0.0):
            longest = one
    if not pairs:
        return []
    overlap, first, second = pairs[0]
    more = f", and {len(pairs) - 1} more" if len(pairs) > 1 else ""
    sizes = Counter((one.probe.width, one.probe.height) for one in group if one.probe)
    mixed = " of different picture sizes" if len(sizes) > 1 else ""
    return [
        f"camera {camera}: {first.path.name} and {second.path.name} overlap by {overlap:.0f} s"
        f"{more}: if two cameras{mixed} are mixed here, tell them apart with --group-by"
    ]


@dataclass(frozen=True, slots=True)
class Seam:
    """Seam between two recordings of a camera: whether tracks continue, and the gap in seconds.

    The gap is from the end of the first to the start of the second; 0 if there may be none.
    `reason` is why tracks end, "" if they continue.
    """

    gap_s: float = 0.0
    reason: str = ""

    @property
    def is_carried(self) -> bool:
        """Return whether tracks continue across it."""
        return not self.reason


def seam_between(before: Recording, after: Recording, max_seam_s: float) -> Seam:
    """Return the seam between a recording and the next one of its camera.

    Times in names and containers are mostly whole seconds, so a gap or overlap of less than one
    second is ignored.
    """
    first, second = before.probe, after.probe
    if first is None or second is None:
        return Seam(reason="a recording between could not be read")
    if (first.width, first.height) != (second.width, second.height):
        return Seam(reason="another picture size")
    if after.continues:
        return Seam()
    if before.end_utc is None or after.start_utc is None:
        return Seam(reason="the times are unknown")
    gap_s = after.start_utc - before.end_utc
    rounding_s = 0.0 if first.start_exact and second.start_exact else 1.0
    if gap_s < -max(SURE_OVERLAP_S, rounding_s):
        return Seam(reason=f"they overlap by {-gap_s:.1f} s")
    if gap_s > max_seam_s:
        shown = datetime.fromtimestamp(after.start_utc, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return Seam(gap_s, f"{gap_s:.1f} s are missing before {shown}")
    return Seam(0.0 if gap_s < rounding_s else gap_s)
