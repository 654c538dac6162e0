"""Source: a video file of any container and codec that FFmpeg supports, read with PyAV."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from pipeline.core.cpu_count import cores
from pipeline.core.data import Frame
from pipeline.core.errors import SourceBrokenError, SourceError
from pipeline.core.frame_pool import FramePool
from pipeline.core.media_file import open_media
from pipeline.core.options import Needs, OptionsModel
from pipeline.core.paths import home_path
from pipeline.core.run_info import ONCE, SourceInfo
from pipeline.sources._file.damage import DamageLog, duration_s
from pipeline.sources._file.decoding import (
    is_damage,
    is_key,
    pictures_of,
    time_base_of,
    timed_pictures,
)
from pipeline.sources._file.heif import HeifHeader, heif_header
from pipeline.sources._file.hwaccel import Decode, accelerator, came_from_gpu
from pipeline.sources._file.packet_choice import PacketChooser
from pipeline.sources._file.picture_size import MAX_MEGAPIXELS, decoder_limit, too_large
from pipeline.sources._file.recording_start import recording_start, zone_of
from pipeline.sources._file.times import PresentationClock, file_clock, nominal_rate, says_times

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

log = logging.getLogger("trackline")

_SMALL_PIXELS, _LARGE_PIXELS = 1_000_000, 6_000_000
_MIN_THREADS, _THREADS_BYTES = 2, 2**26
_STILL_BRANDS = frozenset({"avif", "heic", "heim", "heis", "heix", "mif1"})  # of ISO/IEC 23008-12
_HEADER_BYTES = 1 << 16


class Options(OptionsModel):
    """One video file."""

    needs: ClassVar[tuple[Needs, ...]] = (
        Needs(("threads",), "decode", lambda decode: decode != "cuda", "decode: auto or cpu"),
    )

    path: Path
    """The video file."""
    name: str | None = Field(None, min_length=1)
    """Name in the outputs; null for the file's name without its suffix."""
    fps: float | None = Field(None, gt=0, le=1000)
    """Constant frame rate to assume, whatever the file says; null for its own times, and for raw
    streams (.h264, .mjpeg), which have none, the codec's rate, or 25."""
    max_fps: float | None = Field(None, gt=0, le=1000)
    """Maximum pictures per second to analyse; the others are skipped, and not decoded if possible.
    Analysed pictures keep their times and numbers in the file."""
    keyframes_only: bool = False
    """Decode and analyse key frames only: one every 0.5 to 10 s, with true times."""
    max_megapixels: float = Field(MAX_MEGAPIXELS, gt=0)
    """Maximum size of a picture; a video with larger ones is refused."""
    start: datetime | None = None
    """When the recording began, as in 2024-01-31T14:25:01+01:00; null for the time in its name or
    its container."""
    timezone: str | None = None
    """Time zone of times without one, such as Europe/Berlin or +01:00; null for this machine's."""
    threads: int = Field(0, ge=0, le=64)
    """Decoder threads; 0: one up to a megapixel, above that one per processor, but no more than
    hold 64 MB of pictures. In 4K one fewer than processors, 5 at most."""
    decode: Decode = "auto"
    """auto, cpu or cuda. What the GPU cannot decode, the CPU does; auto uses a GPU if there is
    one."""

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None:
            zone_of(name)
        return name


def build(options: Options) -> FileSource:
    """Return the source, not yet opened."""
    return FileSource(options)


class FileSource:
    """Decodes every frame once, in presentation order, into pooled memory.

    Damage does not end the reading: what cannot be decoded is skipped, the rest is delivered, and
    SourceBrokenError is raised instead of the end, naming the frame and time where it begins. A
    file that is shorter than its own container, index or duration declares counts as broken off.
    """

    live = False

    def __init__(self, options: Options) -> None:
        self._path = home_path(options.path)
        self.name = options.name or self._path.stem
        self._threads = options.threads
        self._decode_on = options.decode
        self._fps = options.fps
        self._max_fps, self._keyframes_only = options.max_fps, options.keyframes_only
        self._max_megapixels = options.max_megapixels
        self._start = options.start
        self._zone = zone_of(options.timezone) if options.timezone else None
        self.notes: list[str] = []
        self.doubts: list[str] = []
        self._given = 0
        self.unwanted = 0
        """Frames left out so far because of `max_fps` or `keyframes_only`."""
        self._pool = FramePool()
        self._container: InputContainer | None = None
        self._frames: Iterator[Frame] = iter(())
        self._clock: PresentationClock | None = None

    def open(self) -> SourceInfo:
        """Return the file's properties; raises SourceError, one line, if it is not a video."""
        self.close()
        self.notes.clear()
        self.doubts.clear()
        self._given = self.unwanted = 0
        self._first_wanted = 0
        self._check_path()
        gpu = accelerator(self._decode_on)
        try:
            return self._open(gpu)
        except SourceError as error:
            if gpu is None:
                raise
            info = self._open(None)  # or it is not a video at all, and the GPU was not the reason
            why = str(error).rpartition(": ")[2]
            log.warning("%s: decoded on the CPU, the GPU cannot: %s", self._path, why, extra=ONCE)
            return info

    def _open(self, gpu: HWAccel | None) -> SourceInfo:
        """Open, on the GPU's decoder if one is given."""
        from av import FFmpegError

        from pipeline.sources._file.picture import picture_stream

        limit = decoder_limit(self._max_megapixels)
        try:
            container = open_media(self._path, hwaccel=gpu, options=limit)
        except (FFmpegError, OSError) as error:
            raise self._not_a_video(error.strerror or str(error)) from None
        self._container = container
        self._on_gpu = gpu is not None
        stream = picture_stream(container)
        if stream is None:
            raise self._not_a_video("it holds no video stream that can be decoded")
        why = too_large(stream.width, stream.height, self._max_megapixels)
        if why is not None:
            self.close()
            raise SourceError(f"{self._path}: {why}")
        stream.codec_context.options = limit
        self._note_tracks(container, stream)
        frames = self._decode(container, stream)
        try:
            # Decode one picture now: to learn whether it is turned, and whether any can be decoded.
            first = next(frames)
        except (StopIteration, SourceBrokenError) as error:
            limited = f", none within max_megapixels: {self._max_megapixels:g}"
            reason = limited if "max_megapixels" in str(error) else ""
            what = "key frame" if self._keyframes_only else "picture"
            raise self._not_a_video(f"no {what} in it can be decoded{reason}") from None
        height, width = first.shape[:2]
        # The iterator of a list that is used up lets go of it, a tuple in the chain would stay.
        self._frames = chain(iter([first]), frames)
        rate = self._fps or nominal_rate(container, stream)
        if rate is None and not says_times(container):
            self.notes.append("says no rate, taken as 25 pictures per second; see option fps")
            log.warning("%s: %s", self._path, self.notes[-1], extra=ONCE)
        began = recording_start(
            self._path,
            (container.metadata, stream.metadata),
            duration_s(stream),
            self._start,
            self._zone,
        )
        if began is not None:
            moment = datetime.fromtimestamp(began.unix_s, UTC).isoformat(timespec="milliseconds")
            self.notes.append(f"began {moment.replace('+00:00', 'Z')} by {began.origin}")
        return SourceInfo(
            width=width,
            height=height,
            fps=rate,
            frame_count=stream.frames or round(duration_s(stream) * (rate or 0)) or None,
            description=f"{stream.codec_context.name} in {container.format.name.split(',')[0]}",
            sample_aspect=_sample_aspect(stream, turned=width != stream.width),
            file=str(self._path),
            has_sound=bool(container.streams.audio),
            start_utc=None if began is None else began.unix_s,
            unrelated=_is_still(container),
            start_s=self._start_s(container),
        )

    def read(self) -> Frame | None:
        """Return the next frame, None at the end; raises SourceBrokenError once if damaged."""
        return next(self._frames, None)

    def skip_to(self, index: int) -> None:
        """Skip the frames before `index`: they are decoded, so that counts and times stay exact.

        For an open file of which nothing was read yet.
        """
        self._first_wanted = index
        self._given = min(self._given, 1 if index == 0 else 0)
        self._frames = (frame for frame in self._frames if frame.index >= index)

    def close(self) -> None:
        """Release the file and the memory of its pictures."""
        self._frames = iter(())
        self._pool.clear()
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _start_s(self, container: InputContainer) -> float:
        """Return when the first picture is shown, counted from the beginning of the file."""
        if self._fps or self._clock is None or not says_times(container):
            return 0.0
        began_s = (container.start_time or 0) / 1e6  # FFmpeg's AV_TIME_BASE
        return max(0.0, (self._clock.start_s or 0.0) - began_s)

    def _start_clock(self, container: InputContainer, stream: VideoStream) -> PresentationClock:
        """Create the clock with the first picture: some codecs carry their rate with it."""
        self._clock = file_clock(container, stream, self._fps)
        return self._clock

    def _chooser(self, container: InputContainer, stream: VideoStream) -> PacketChooser | None:
        """Return the packet chooser, None if every picture is wanted."""
        if self._max_fps is None and not self._keyframes_only:
            return None
        return PacketChooser(
            stream,
            partial(file_clock, container, stream, self._fps),
            self._max_fps,
            keyframes_only=self._keyframes_only,
            may_wait=True,
        )

    def _count_unwanted(self, chooser: PacketChooser | None, frames: int) -> None:
        """Record how many of the first `frames` were left out, without those before `skip_to`."""
        if chooser is not None:
            self.unwanted = max(0, frames - self._first_wanted) - self._given

    def _note_tracks(self, container: InputContainer, stream: VideoStream) -> None:
        """Note the video tracks that are not read."""
        from av.stream import Disposition

        still = Disposition.attached_pic | Disposition.timed_thumbnails
        more = [each for each in container.streams.video if not each.disposition & still]
        if len(more) > 1 and stream in more:
            self.notes.append(f"holds {len(more)} video tracks, of which the first is read")
            log.warning("%s: %s", self._path, self.notes[-1], extra=ONCE)

    def _check_path(self) -> None:
        path = self._path
        if not path.exists():
            raise SourceError(f"{path}: no such file")
        if path.is_dir():
            raise SourceError(f"{path}: is a folder, want a video file")
        if path.is_file() and path.stat().st_size == 0:
            raise SourceError(f"{path}: the file is empty")
        if path.is_file() and (header := _heif_header(path)) is not None:
            if header.is_tiled:
                raise SourceError(
                    f"{path}: is made of tiles, of which one would be read; convert it to JPEG, "
                    "for instance with heif-convert"
                )
            if (why := too_large(header.width, header.height, self._max_megapixels)) is not None:
                raise SourceError(f"{path}: {why}")

    def _not_a_video(self, why: str) -> SourceError:
        self.close()
        return SourceError(f"{self._path}: not a video: {why}")

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[Frame]:
        """Yield every decodable frame; raises SourceBrokenError after the last."""
        from av.codec.context import ThreadType

        from pipeline.sources._file.picture import UprightConverter

        context = stream.codec_context
        context.thread_type = ThreadType.AUTO
        context.thread_count = 1 if self._on_gpu else self._threads or _threads_for(context)
        self._clock = None
        upright = UprightConverter(self._pool, may_mirror=True)
        damage, chooser = DamageLog(), self._chooser(container, stream)
        pictures = pictures_of(container, stream, damage, self._max_megapixels, chooser)
        for picture, seconds, is_wanted in timed_pictures(
            pictures, partial(self._start_clock, container, stream), damage, stream, chooser
        ):
            if self._on_gpu and not came_from_gpu(picture):
                self._on_gpu = False
                log.warning(
                    "%s: decoded on the CPU, the GPU cannot: its format", self._path, extra=ONCE
                )
            index, file = damage.frames, str(self._path)
            if picture.is_corrupt and (is_damage(stream, damage) or is_key(picture, damage)):
                damage.bad(index, seconds)
            if index < self._first_wanted or not is_wanted:
                damage.good(seconds, float(picture.duration * time_base_of(stream)))
                del picture  # it is not held while the next is decoded
                continue
            image = upright(picture)
            frame = Frame(image, self.name, index, seconds, time.monotonic(), file=file)
            damage.good(seconds, float(picture.duration * time_base_of(stream)))
            self._count_unwanted(chooser, index)
            self._given += 1
            # Nothing here may keep the memory while the consumer has it: it is pooled.
            del image, picture
            yield frame
            del frame
        self._count_unwanted(chooser, damage.frames)
        if damage.joins:
            self.notes.append(f"its packets' counters begin anew at {damage.joins} key frames")
        if (verdict := damage.verdict(self._path, stream, timed=self._fps is None)) is not None:
            raise SourceBrokenError(f"{self._path}: {verdict}")
        if self._fps is None and says_times(container):
            back = None if self._clock is None else self._clock.back
            self.doubts += damage.doubts(self._path, stream, back)
        for doubt in self.doubts:
            self.notes.append(doubt)
            log.warning("%s: %s", self._path, doubt, extra=ONCE)


def _threads_for(context: VideoCodecContext) -> int:
    """Return how many threads decode: each holds pictures of its own.

    For small ones one thread outruns any detector, and for large ones a few take much memory. On
    the CPU the detector and an encoder keep at least one processor busy.
    """
    pixels = context.width * context.height
    if pixels <= _SMALL_PIXELS:
        return 1
    threads = min(cores().threads, max(_MIN_THREADS, _THREADS_BYTES * 2 // (pixels * 3)))
    return threads if pixels < _LARGE_PIXELS else min(threads, max(1, cores().threads - 1))


def _is_still(container: InputContainer) -> bool:
    """Return whether the file is a single picture, such as a phone's HEIC, and not a video."""
    name = container.format.name
    brand = container.metadata.get("major_brand", "").strip()
    return brand in _STILL_BRANDS or name.endswith("_pipe")


def _heif_header(path: Path) -> HeifHeader | None:
    """Return the header of a HEIC or AVIF picture; None for videos."""
    with path.open("rb") as file:
        return heif_header(file.read(_HEADER_BYTES))


def _sample_aspect(stream: VideoStream, *, turned: bool) -> tuple[int, int] | None:
    """Return (width, height) of one pixel as the upright picture is shown, None if square."""
    ratio = stream.sample_aspect_ratio
    if not ratio or ratio == 1:
        return None
    wide, high = ratio.numerator, ratio.denominator
    return (high, wide) if turned else (wide, high)
