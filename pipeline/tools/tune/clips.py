"""Labelled clips with their detections, and their split into tuning and held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from pipeline.core.errors import UsageError
from pipeline.core.interfaces import Tracker
from pipeline.tools.evaluate.scoring import combined_hota
from pipeline.tools.evaluate.tracking import Seen, follow
from pipeline.tools.evaluate.truth import Truth

_MIN_FRAMES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames with detections, and their ground truth."""

    truth: Truth
    seen: Seen


Clips = Mapping[str, Clip]


def clips_of(truths: Mapping[str, Truth], frames: Mapping[str, Seen]) -> dict[str, Clip]:
    """Return {sequence: clip} of those that have both; raises UsageError listing names if none."""
    common = [name for name in truths if name in frames]
    if not common:
        raise UsageError(
            "no sequence has both truth and detections: "
            f"truth of {', '.join(truths)}; detections of {', '.join(frames)}"
        )
    return {name: Clip(truths[name], frames[name]) for name in common}


def split(clips: Clips, held_out: Collection[str] | None = None) -> tuple[Clips, Clips]:
    """Return (clips to tune on, clips held out): the named ones, else every other one by name.

    A single clip is cut in the middle: the first half is tuned on, the second held out.
    """
    if held_out:
        if unknown := sorted(set(held_out) - set(clips)):
            raise UsageError(f"--held-out: no clip '{unknown[0]}' (there are: {', '.join(clips)})")
        if len(set(held_out)) == len(clips):
            raise UsageError("--held-out: names all clips; at least one is needed to tune on")
        chosen = set(held_out)
    elif len(clips) > 1:
        chosen = set(sorted(clips)[1::2])
    else:
        ((name, clip),) = clips.items()
        middle = len(clip.seen) // 2
        if middle < _MIN_FRAMES:
            raise UsageError(f"{name}: {len(clip.seen)} frames are too few to tune on a half")
        first, second = _cut(clip, 0, middle), _cut(clip, middle, len(clip.seen))
        return {f"{name} 1st half": first}, {f"{name} 2nd half": second}
    tuning = {name: clip for name, clip in clips.items() if name not in chosen}
    return tuning, {name: clip for name, clip in clips.items() if name in chosen}


def hota_of(new_tracker: Callable[[], Tracker], clips: Clips) -> float:
    """Return the combined HOTA in percent of fresh trackers, one per clip."""
    tracks = {name: follow(new_tracker(), clip.seen) for name, clip in clips.items()}
    return combined_hota({name: clip.truth for name, clip in clips.items()}, tracks)


def _cut(clip: Clip, first: int, last: int) -> Clip:
    """Return the frames from `first` to before `last`, counted from 0 again."""
    truth, seen = clip.truth, clip.seen[first:last]
    inside = (truth.frame >= first) & (truth.frame < last)
    ignored_frame, regions = truth.ignored
    ignored = (ignored_frame >= first) & (ignored_frame < last)
    return Clip(
        replace(
            truth,
            length=last - first,
            frame=truth.frame[inside] - first,
            track_id=truth.track_id[inside],
            class_id=truth.class_id[inside],
            xyxy=truth.xyxy[inside],
            truncation=truth.truncation[inside],
            occlusion=truth.occlusion[inside],
            counts=truth.counts[inside],
            ignored=(ignored_frame[ignored] - first, regions[ignored]),
        ),
        [(frame.moved(index=frame.index - first), found) for frame, found in seen],
    )
