"""Detection options of single sources: their own scores, classes, rates and input sizes.

All sources share one detector, which reports what any of them asks for; each source keeps what it
wants here.
"""

from __future__ import annotations

import logging

import numpy as np
from pydantic import Field, field_validator

from pipeline.core.class_ids import wanted_ids
from pipeline.core.data import ClassNames, Detections, Int32
from pipeline.core.errors import ConfigError, ModelError
from pipeline.core.options import OptionsModel, several_names

log = logging.getLogger("trackline")


class DetectOptions(OptionsModel):
    """Detection options of one source, where they differ from the section `detector`."""

    conf: float | None = Field(None, ge=0, lt=1)
    """Boxes with a score up to this one are dropped."""
    classes: tuple[int | str, ...] | None = Field(None, min_length=1)
    """Names or ids of the classes to keep."""
    imgsz: int | None = Field(None, ge=32, le=8192)
    """Longest side of the network's input in pixels, if the network leaves it open and runs on the
    CPU: larger finds smaller objects, and takes longer."""
    fps: float | None = Field(None, ge=1, le=1000)
    """Maximum frames per second to detect on; the frames between get interpolated boxes. At least
    every 30th frame is detected on."""

    @field_validator("classes", mode="before")
    @classmethod
    def _from_one(cls, value: object) -> object:
        """Split `person,car` and a single name or id as given on a command line."""
        return several_names(value)


class SourceDetection:
    """Options of each source that has its own; for the inference thread, or under its lock."""

    def __init__(self) -> None:
        # Options with their class ids, replaced together: frames are filtered at the same time.
        self._own: dict[str, tuple[DetectOptions, Int32 | None]] = {}
        self._names: ClassNames = {}

    def set(self, source: str, options: DetectOptions | None) -> None:
        """Set the options of a source; None removes them.

        Classes unknown to the current detector are ignored with a warning: another detector may be
        on its way.
        """
        if options is None or options == DetectOptions():
            self._own.pop(source, None)
            return
        wanted = None
        if self._names:
            try:
                wanted = wanted_of(source, options, self._names)
            except ConfigError as error:
                log.warning("%s", error)
                wanted = _known_of(options, self._names)
        self._own[source] = options, wanted

    def use(self, class_names: ClassNames) -> None:
        """Look up all classes in those of another detector; raises ConfigError."""
        self._own = {
            name: (options, wanted_of(name, options, class_names))
            for name, (options, _) in self._own.items()
        }
        self._names = class_names

    @property
    def sizes(self) -> dict[str, int]:
        """Return the longest side of the network's input, by source."""
        sizes = {name: options.imgsz for name, (options, _) in self._own.items()}
        return {name: imgsz for name, imgsz in sizes.items() if imgsz is not None}

    def fps(self, source: str) -> float | None:
        """Return the maximum detection rate of a source."""
        own = self._own.get(source)
        return None if own is None else own[0].fps

    def kept(self, source: str, found: Detections, class_names: ClassNames) -> Detections:
        """Return the detections that this source keeps; `class_names` are their detector's.

        That may still be the previous detector, whose last batches arrive after its replacement.
        """
        own = self._own.get(source)
        if own is None or not len(found):
            return found
        options, wanted = own
        if wanted is not None and class_names is not self._names:
            wanted = _known_of(options, class_names)
        keep = np.ones(len(found), np.bool_)
        if options.conf is not None:
            keep &= found.score > np.float32(options.conf)
        if wanted is not None:
            keep &= np.isin(found.class_id, wanted)
        return found if keep.all() else found[keep]


def wanted_of(source: str, options: DetectOptions, names: ClassNames) -> Int32 | None:
    """Return the ids of the classes a source keeps, None for all; raises ConfigError."""
    if options.classes is None:
        return None
    try:
        return np.array(wanted_ids(options.classes, names), np.int32)
    except ModelError as error:
        raise ConfigError(f"source {source}: detect.{error}") from None


def _known_of(options: DetectOptions, names: ClassNames) -> Int32 | None:
    """Return the ids of those of a source's classes that are among `names`, None for all."""
    if options.classes is None:
        return None
    known = {name.casefold() for name in names.values()} | {*names}
    left = [each for each in options.classes if _key(each) in known]
    return np.array(wanted_ids(left, names), np.int32)


def _key(name: int | str) -> int | str:
    return name.strip().casefold() if isinstance(name, str) else name
