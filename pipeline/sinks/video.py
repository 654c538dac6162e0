"""Sink: annotated videos OUT/<source>.mp4 (H.264, true times), or pictures OUT/<source>/<name>.

Boxes, labels, trails, zones and lines are drawn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from pipeline.core.blur.regions import BlurGroup, BlurShape
from pipeline.core.cpu_count import cores
from pipeline.core.data import Image, Result
from pipeline.core.options import Needs
from pipeline.core.run_info import RunInfo, SourceInfo
from pipeline.core.video_encoders import CODECS, Encoder, choose, fits, gpu_options
from pipeline.sinks._drawing_options import PictureDrawingOptions
from pipeline.sinks._files import OutputFolder, close_all
from pipeline.sinks._pictures import PictureFolder

if TYPE_CHECKING:  # PyAV and OpenCV are loaded when the sink opens
    from pipeline.core.blur.blurrer import Blurrer
    from pipeline.core.canvas import Canvas
    from pipeline.core.drawing import Annotator
    from pipeline.core.yuv import YuvImage
    from pipeline.sinks._mp4 import Mp4Writer

log = logging.getLogger("trackline")

SUFFIX = ".mp4"
PIXELS_PER_THREAD = 2_000_000
# What the fastest preset leaves out, but is worth its time: without the deblocking filter flat
# areas show squares, and whole-pixel motion takes up to 15 % more bytes. In 4K that search takes
# another sixth of the time and 46 MB, and the encoder is what the other stages wait for.
_DEBLOCK, _SUBPIXEL = "no-deblock=0:deblock=0,0", ":subme=1"
_REFINED = "ultrafast"
LARGE_PIXELS = 4_000_000
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]


class Options(PictureDrawingOptions):
    """Options of the annotated video."""

    needs: ClassVar[tuple[Needs, ...]] = (Needs(("blur_shape",), "blur", bool, "blur"),)

    encoder: Encoder = "x264"
    """x264 on the CPU, nvenc, qsv or vaapi on a GPU; auto for the first working GPU encoder, else
    x264 (`trackline doctor` says which work). crf means about the same quality for each."""
    crf: int = Field(23, ge=0, le=51)
    """Quality: 0 is lossless, 18 looks like the original, 23 is usual, 30 gives small files."""
    preset: Preset = "ultrafast"
    """Effort of x264: veryfast gives the same quality in 10 to 40 % fewer bytes, for two to three
    times the CPU time."""
    threads: int = Field(0, ge=0)
    """Threads of the encoder; 0: one per two megapixels, up to the number of processors, one of
    which ultrafast leaves to the detector."""
    max_height: int | None = Field(None, ge=16)
    """Maximum rows of the video: larger pictures are scaled down after drawing; null for their own
    size. A 4K picture in 1080 rows takes a quarter of the encoder's time."""
    boxes: bool = True
    """Draw boxes, labels, trails and zones; false for a video that is only blurred."""
    blur: tuple[BlurGroup, ...] = ()
    """What to blur: person, vehicle, face (see docs/render.md)."""
    blur_shape: BlurShape = "box"
    """box, or mask: by outline if the network gives masks, otherwise by box."""


def build(options: Options) -> VideoSink:
    """Return the sink; nothing is opened yet."""
    return VideoSink(options)


class VideoSink:
    """Sink that encodes an annotated video per source, or a picture per frame if unrelated.

    A source whose picture size changes continues in `<source>.2.mp4`. Each file's time starts at 0
    with its first frame. `stage_ms` has the last frame's "draw" and "write" times.
    """

    own_thread = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._folder: OutputFolder | None = None
        self._painter: Annotator | None = None
        self._blurrer: Blurrer | None = None
        self._chosen = "x264"
        self._writers: dict[str, Mp4Writer] = {}
        self._parts: dict[str, int] = {}
        self._pictures: dict[str, PictureFolder] = {}
        self._sources: Mapping[str, SourceInfo] = {}
        self.stage_ms: Mapping[str, float] = {}

    def open(self, run: RunInfo) -> None:
        """Check that videos can be written; raises OutputError and leaves nothing behind."""
        self._chosen = choose(self._options.encoder)
        if self._chosen != "x264":
            log.info("video: encoded by %s", self._chosen)
        if self._options.blur:
            from pipeline.core.blur.blurrer import Blurrer

            self._blurrer = Blurrer(
                self._options.blur, run.class_names, "video.blur", self._options.blur_shape
            )
        self._folder = OutputFolder(run)
        self._folder.make()
        for source, info in run.sources.items():
            if info.unrelated:
                self._pictures[source] = PictureFolder(self._folder, source, info.file)
            else:
                self._folder.check(self._folder.path_of(source, SUFFIX))
        self._sources = run.sources
        _log_lost_sound([info.file for info in run.sources.values() if info.has_sound])
        self._painter = self._options.annotator(run)

    def write(self, result: Result) -> None:
        """Draw the result and append it to its source's video; raises WriteError."""
        if self._painter is None:
            raise ValueError("VideoSink.write: open() comes first")
        if (pictures := self._pictures.get(result.frame.source)) is not None:
            self._write_picture(pictures, self._painter, result)
            return
        began = time.perf_counter()
        writer = self._writer(result)
        canvas = writer.canvas(self._picture(result))
        self._draw(self._painter, canvas, result)
        drawn = time.perf_counter()
        writer.encode(result.frame)
        written = time.perf_counter()
        self.stage_ms = {"draw": (drawn - began) * 1e3, "write": (written - drawn) * 1e3}

    def _write_picture(self, folder: PictureFolder, painter: Annotator, result: Result) -> None:
        """Draw on an unrelated picture, and write it to a file of its own."""
        began = time.perf_counter()
        canvas = result.frame.image.copy()
        if self._blurrer is not None:
            self._blurrer.forget(result.frame.source)
        self._draw(painter, canvas, result)
        drawn = time.perf_counter()
        folder.write(result.frame, canvas)
        written = time.perf_counter()
        self.stage_ms = {"draw": (drawn - began) * 1e3, "write": (written - drawn) * 1e3}

    def _picture(self, result: Result) -> Image | YuvImage:
        """Return the picture to draw on: blurring needs BGR."""
        return result.frame.picture if self._blurrer is None else result.frame.image

    def _draw(self, painter: Annotator, canvas: Image | Canvas, result: Result) -> None:
        if self._blurrer is not None:
            assert isinstance(canvas, np.ndarray)
            self._blurrer.blur(canvas, result)
        if self._options.boxes:
            painter.paint(canvas, result)

    def source_ended(self, source: str) -> None:
        """Finish a source's video, so that not every file of a large folder holds an encoder."""
        if self._painter is not None:
            self._painter.forget(source)
        if self._blurrer is not None:
            self._blurrer.forget(source)
        writer = self._writers.pop(source, None)
        if writer is not None:
            writer.close()

    def close(self) -> None:
        """Finish all files."""
        writers, self._writers = self._writers, {}
        close_all(self._folder, [writer.close for writer in writers.values()])

    def _writer(self, result: Result) -> Mp4Writer:
        """Return the source's open file; a new one for the first frame and for each new size."""
        from pipeline.sinks._mp4 import Mp4Writer, encodable_size

        source, image = result.frame.source, self._picture(result)
        writer = self._writers.get(source)
        if writer is not None and writer.size == image.shape[:2]:
            return writer
        if writer is not None:
            del self._writers[source]
            writer.close()
        if self._folder is None:
            raise ValueError("VideoSink.write: open() comes first")
        part = self._parts[source] = self._parts.get(source, 0) + 1
        path = self._folder.path_of(source, SUFFIX if part == 1 else f".{part}{SUFFIX}")
        self._folder.begin(path)
        limit = self._options.max_height
        height, width = encodable_size(image.shape[0], image.shape[1], limit)
        chosen = self._chosen if fits(self._chosen, height, width) else "x264"
        if chosen != self._chosen:
            log.info("%s: %dx%d, encoded by x264", path, width, height)
        if chosen == "x264":
            encoder, threads = self._x264(height * width), self._threads(height, width)
        else:
            encoder, threads = gpu_options(chosen, self._options.crf), 1
        writer = Mp4Writer(path, image, encoder, threads, limit, CODECS[chosen])
        if (info := self._sources.get(source)) is not None and info.sample_aspect is not None:
            writer.show_pixels(*info.sample_aspect)
        self._writers[source] = writer
        return writer

    def _x264(self, pixels: int) -> dict[str, object]:
        """Return x264's options for pictures of so many pixels."""
        preset = self._options.preset
        encoder: dict[str, object] = {
            "crf": str(self._options.crf),
            "preset": preset,
            "tune": "zerolatency",  # nothing waits inside x264, so a kill loses nothing of it
            "forced-idr": "1",
        }
        if preset == _REFINED:
            encoder["x264-params"] = _DEBLOCK + (_SUBPIXEL if pixels < LARGE_PIXELS else "")
        return encoder

    def _threads(self, height: int, width: int) -> int:
        """Return the encoder's thread count: as few as keep up, for slice borders cost quality."""
        fitting = -(-height * width // PIXELS_PER_THREAD)
        # The fastest preset keeps up without the processor that the detector works on.
        spare = 1 if self._options.preset == _REFINED else 0
        return self._options.threads or min(fitting, max(1, cores().threads - spare))


def _log_lost_sound(files: list[str]) -> None:
    """Log in one line that the sound of these files is not copied."""
    if len(files) == 1:
        log.warning("%s: its sound is not copied", Path(files[0]).name)
    elif files:
        first = Path(files[0]).name
        log.warning("%s and %d more: their sound is not copied", first, len(files) - 1)
