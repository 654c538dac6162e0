"""Annotated video of one segment: DATASET/annotated/camera=NAME/date=DAY/SEGMENT.mp4.

It is written in the dataset's work folder and moved into place once the segment is complete.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Self

from pipeline.archive.batch.options import video_options
from pipeline.archive.dataset.files import move_into_place, work_root
from pipeline.archive.dataset.layout import ANNOTATED
from pipeline.archive.dataset.schema import Segment
from pipeline.config.build import make_sinks
from pipeline.config.schema import Config
from pipeline.core.data import Result
from pipeline.core.errors import WriteError
from pipeline.core.interfaces import Sink
from pipeline.core.run_info import RunInfo, SourceInfo
from pipeline.events.zones.schema import CameraZones, ZonesFile, plain


class AnnotatedVideo:
    """Draws and encodes a segment with the sink `video`; without `finish` it is discarded."""

    def __init__(
        self, config: Config, dataset: Path, segment: Segment, zones: CameraZones | None
    ) -> None:
        self._config = config.model_copy(update={"sinks": (video_options(config),)})
        self._segment = segment
        self._zones = zones
        self._work = work_root(dataset) / f"{segment.name}.video"
        self._target = dataset / ANNOTATED / segment.folder
        self._sink: Sink | None = None

    def __enter__(self) -> Self:
        shutil.rmtree(self._work, ignore_errors=True)
        return self

    def __exit__(self, *problem: object) -> None:
        try:
            self._close()
        finally:
            shutil.rmtree(self._work, ignore_errors=True)

    def write(self, result: Result, info: SourceInfo | None) -> None:
        """Append a frame with its boxes; `info` has the facts about the file."""
        if self._sink is None:
            self._sink = self._open(info)
        self._sink.write(result)

    def finish(self) -> None:
        """Close the video and move it into place."""
        self._close()
        try:
            files = sorted(self._work.glob("*.mp4")) if self._work.is_dir() else []
            for number, file in enumerate(files, 1):
                part = f".{number}" if number > 1 else ""
                move_into_place(file, self._target / f"{self._segment.name}{part}.mp4")
        except OSError as error:
            raise WriteError(f"{self._target}: cannot be written: {error.strerror}") from None

    def _open(self, info: SourceInfo | None) -> Sink:
        camera = self._segment.camera
        areas = {}
        if self._zones is not None:
            areas = plain(ZonesFile(cameras={camera: self._zones}))["cameras"]
        # Not the file's name: that would log once per segment that its sound is lost.
        known = {} if info is None else {camera: replace(info, has_sound=False)}
        sink: Sink = make_sinks(self._config)["video"]
        sink.open(RunInfo(self._work, {}, known, 0.0, {"areas": areas}, only_files=True))
        return sink

    def _close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()
