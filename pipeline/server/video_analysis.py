"""Analysis of one uploaded video: detected, tracked and tagged; the answer as JSON."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.classifiers._tags.merge import tags_of
from pipeline.config.build import build
from pipeline.config.detection import lowest_score
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.core.data import Detection, Float32, Frame, Result
from pipeline.core.errors import SourceBrokenError, SourceError
from pipeline.core.options import PluginChoice
from pipeline.detectors.common.loaded_model import LoadedModel, SharedDetector
from pipeline.engine import Pipeline, RunOptions
from pipeline.server.short_video import ShortVideo, VideoLimits
from pipeline.server.upload_networks import TAG_CONF, UploadNetworks

MAX_ANSWER_BYTES = 64 * 2**20
"""Maximum size of the JSON: half a million boxes."""
MAX_PAUSE_S = 0.5
"""Maximum wait of a frame for the cameras, so that it proceeds even if they are always behind."""
STOP_TIMEOUT_S = 1.5
_POLL_S = 0.01
_SAMPLES = 12
"""Number of frames to classify, evenly spread over the video."""
_MIN_SAMPLE_S = 0.25
_SOURCE = "video"
ANNOTATED_NAME = f"{_SOURCE}.mp4"


class YieldingDetector(SharedDetector):
    """Detects frame by frame, each when no camera frame is waiting, or after `MAX_PAUSE_S`."""

    def __init__(
        self, model: LoadedModel, conf: float | None, cameras_wait: Callable[[], bool]
    ) -> None:
        super().__init__(model, conf)
        self.batch_size = self.in_flight = 1
        self._cameras_wait = cameras_wait

    def submit(self, frames: Sequence[Frame]) -> None:
        """Start with a frame when the cameras allow it."""
        until = time.monotonic() + MAX_PAUSE_S
        while self._cameras_wait() and time.monotonic() < until:
            time.sleep(_POLL_S)
        super().submit(frames)


def video_pipeline(
    config: Config, path: Path, detector: YieldingDetector, limits: VideoLimits, output: Path | None
) -> Pipeline:
    """Return the run over one video, with the tracker of the cameras.

    The annotated video is written to `ANNOTATED_NAME` in the folder `output`, if given.
    """
    source = {"path": str(path), "name": _SOURCE, "max_megapixels": limits.megapixels}
    own = config.model_copy(
        update={
            "sources": (PluginChoice.model_validate({"kind": "file", **source}),),
            "sinks": () if output is None else (PluginChoice(kind="video"),),
            "zones": None,
            "run": RunOptions(output=output or path.parent, max_frames=limits.frames + 1),
        }
    )
    return build(resolve_config(own), detector=detector, patience_s=STOP_TIMEOUT_S)


@dataclass(slots=True)
class _Track:
    class_names: Counter[tuple[int, str]]
    score: float
    first_s: float
    last_s: float

    def as_json(self, track_id: int) -> dict[str, Any]:
        [((class_id, class_name), _)] = self.class_names.most_common(1)
        return {
            "track_id": track_id,
            "class_name": class_name,
            "class_id": class_id,
            "score": self.score,
            "first_s": self.first_s,
            "last_s": self.last_s,
            "frames": self.class_names.total(),
        }


@dataclass(slots=True)
class VideoAnalysis:
    """State of one video's analysis while its results come; `answer` is the JSON at the end.

    `on_progress` gets the seconds analysed so far. Raises SourceError if the video turns out to
    exceed the limits, and everything that a run raises.
    """

    name: str
    about: ShortVideo
    limits: VideoLimits
    networks: UploadNetworks | None
    """None where no tags are wanted."""
    on_progress: Callable[[float], None]
    _frames: list[str] = field(default_factory=list)
    _bytes: int = 0
    _tracks: dict[int, _Track] = field(default_factory=dict)
    _best: dict[str, Detection] = field(default_factory=dict)
    _scores: list[Float32] = field(default_factory=list)
    _last_s: float = 0.0

    def follow(self, pipeline: Pipeline) -> str | None:
        """Process all results; return in one line where the video breaks off, None if it is whole.

        Ends early, in order, if the pipeline is stopped.
        """
        try:
            with closing(pipeline.results()) as results:
                for result in results:
                    self._add(result, pipeline.source_infos[_SOURCE].start_s)
        except SourceBrokenError as error:
            if not self._frames:
                raise
            return str(error).rpartition(": ")[2]
        return None

    def answer(self, problem: str | None) -> bytes:
        """Return a VideoAnswer as JSON."""
        head = {
            "name": self.name,
            "width": self.about.width,
            "height": self.about.height,
            "duration_s": round(self._last_s, 3),
            "tags": self._tags(),
            "tracks": [each.as_json(number) for number, each in sorted(self._tracks.items())],
            "problem": problem,
        }
        text = json.dumps(head, ensure_ascii=False)[:-1]
        return f'{text}, "frames": [{", ".join(self._frames)}]}}'.encode()

    def _add(self, result: Result, start_s: float) -> None:
        at_s = round(result.frame.pts_s + start_s, 3)
        if (why := self.limits.objection(result.frame.pts_s, result.frame.index + 1)) is not None:
            raise SourceError(why)
        rows = _objects(result)
        for each in rows:
            self._note(each, at_s)
        text = json.dumps({"time": at_s, "objects": rows}, ensure_ascii=False)
        self._frames.append(text)
        self._bytes += len(text)
        if self._bytes > MAX_ANSWER_BYTES:
            raise SourceError(
                f"there are more objects in it than fit into {MAX_ANSWER_BYTES} bytes"
            )
        every_s = max(self.about.duration_s / _SAMPLES, _MIN_SAMPLE_S)
        if self.networks is not None and result.frame.pts_s >= len(self._scores) * every_s:
            self._scores.append(self.networks.classifier().classify([result.frame.image])[0])
        self._last_s = at_s
        self.on_progress(at_s)

    def _note(self, row: Mapping[str, Any], at_s: float) -> None:
        name, number, score = row["class_name"], row["class_id"], row["score"]
        if score > TAG_CONF and (name not in self._best or score > self._best[name].score):
            self._best[name] = Detection(row["xyxy"], score, number, name)
        if not row["track_id"]:
            return  # the tracker `none`
        track = self._tracks.get(row["track_id"])
        if track is None:
            track = self._tracks[row["track_id"]] = _Track(Counter(), score, at_s, at_s)
        track.class_names[number, name] += 1
        track.score, track.last_s = max(track.score, score), at_s

    def _tags(self) -> dict[str, float] | None:
        if self.networks is None:
            return None
        names = self.networks.classifier().class_names
        # The better half of each class's scores: one frame may be a mistake, and what passes
        # through is not in all of them.
        rows = np.sort(np.array(self._scores), axis=0)
        best = rows[len(rows) // 2 :].mean(axis=0)
        return tags_of(names, best.tolist(), self._best.values())


def yielding_detector(
    networks: UploadNetworks, config: Config, cameras_wait: Callable[[], bool]
) -> YieldingDetector:
    """Return the detector for one video, with the scores that the tracker can use."""
    return YieldingDetector(networks.detector(), lowest_score(config), cameras_wait)


def _objects(result: Result) -> list[dict[str, Any]]:
    """Return the boxes of a frame as JSON, including predicted ones."""
    tracks, names = result.tracks, result.class_names
    columns = zip(
        tracks.track_id.tolist(),
        tracks.class_id.tolist(),
        tracks.score.tolist(),
        tracks.xyxy.tolist(),
        (tracks.detection < 0).tolist(),
        strict=True,
    )
    return [
        {
            "track_id": track_id,
            "class_name": names.get(class_id, str(class_id)),
            "class_id": class_id,
            "score": round(score, 4),
            "xyxy": [round(each, 1) for each in xyxy],
            "coasting": coasting,
        }
        for track_id, class_id, score, xyxy, coasting in columns
    ]
