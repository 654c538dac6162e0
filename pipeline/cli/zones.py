"""Draw zones and lines on a frame of a video, picture or camera, in the browser.

Opens the live page's editor on that frame and writes zones.yaml, which run, count and live read.
Ends with the page's button "Done", or with Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from pipeline.archive.single_frame import read_still
from pipeline.cli._arguments import add_at_argument
from pipeline.cli._signals import StopSignals
from pipeline.core.data import Frame
from pipeline.core.errors import ConfigError, SourceError, UsageError
from pipeline.core.options import listed, validated
from pipeline.core.paths import home_path
from pipeline.core.sequences import find_files
from pipeline.core.track_files import read_recording
from pipeline.events.zones.replay import VideoInfo, recount
from pipeline.events.zones.schema import CameraZones, ZonesFile

if TYPE_CHECKING:  # it needs the extra `live`
    from pipeline.archive.frame_picker import FramePicker
    from pipeline.server.schemas import ZonePreview
    from pipeline.server.zones_page import Still

HELP = "draw zones and lines on a frame, in the browser"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("source", metavar="VIDEO", help="a video, picture or camera")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("zones.yaml"), metavar="FILE",
        help="file to write (default: %(default)s); its zones are shown, other cameras' are kept",
    )  # fmt: skip
    add_at_argument(parser)
    parser.add_argument(
        "--camera",
        metavar="NAME",
        help="camera name in the file (default: the name that run gives the source)",
    )
    parser.add_argument(
        "--tracks", type=Path, metavar="FILE|OUT",
        help="recorded tracks of the source, to show in the editor what zones and lines count",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, default=0, metavar="N", help="port to listen on (default: a free one)"
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def execute(args: argparse.Namespace) -> int:
    """Serve the editor until the user is done; return 0, or the exit code after a signal."""
    from pipeline.server.live.run import check_extra

    check_extra("trackline zones")
    from pipeline.server.live.zone_editor import ZoneEditor
    from pipeline.server.zones_page import Still, StillBackend, StillPage, misfit

    if args.output.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"{args.output}: want a file called .yaml")
    if not 0 <= args.port <= 65535:
        raise UsageError(f"--port: want 0 to 65535, got {args.port}")
    editor = ZoneEditor(args.output)
    frame = read_still(args.source, args.at)
    still = Still(*_named(frame, args.camera))
    if problem := misfit(editor.zones(still.camera), still.size):
        _say(f"trackline: {args.output}: zones of '{still.camera}': {problem}", sys.stderr)
    over = None if args.tracks is None else _recounting(args.tracks, frame.source, still)
    saved: list[CameraZones] = []

    def on_save(zones: CameraZones) -> None:
        saved.append(zones)
        _say(f"{args.output}: {still.camera}: {_counted(zones)} written")

    frames = _other_frames(args.source, still)
    page = StillPage(still, StillBackend(still, editor, on_save, over), args.port, frames)

    def on_start() -> None:
        _say(page.address)
        if not args.no_browser and _has_display():
            webbrowser.open(page.address)

    signals = StopSignals()
    with signals, nullcontext() if frames is None else closing(frames):
        page.serve(lambda: signals.is_stopped, on_start)
    if not saved:
        _say(f"{args.output}: nothing was saved")
    return signals.exit_code


def _named(frame: Frame, name: str | None) -> tuple[Frame, str]:
    """Return the frame and the name of its camera in the file; raises UsageError."""
    name = frame.source if name is None else name
    try:
        validated(ZonesFile, {"cameras": {name: {}}}, "")
    except ConfigError:
        raise UsageError(
            f"'{name}': no valid camera name in a zones file (at most 64 printable characters): "
            "give one with --camera NAME"
        ) from None
    return frame.moved(source=name), name


def _other_frames(source: str, still: Still) -> FramePicker | None:
    """Return a function that reads other frames of a video; None for a picture or camera."""
    from pipeline.archive.frame_picker import FramePicker
    from pipeline.sources._file.listing import VIDEO_SUFFIXES

    path = home_path(Path(source))
    if path.suffix.lower() not in VIDEO_SUFFIXES or not path.is_file():
        return None
    with suppress(SourceError):  # the first frame could be read, which is enough
        picker = FramePicker(path, still.camera)
        if picker.duration_s > 0:
            return picker
        picker.close()
    return None


def _recounting(path: Path, source: str, still: Still) -> Callable[[CameraZones], ZonePreview]:
    """Return a function from zones to their counts over the source's tracks in a file or run.

    Raises UsageError if there are none.
    """
    from pipeline.server.schemas import Count, ZonePreview

    found = [read_recording(file) for file in find_files(path, "tracks.csv")]
    fitting = [each for each in found if source in each.tables]
    if not fitting:
        known = listed({name for each in found for name in each.tables})
        raise UsageError(f"{path}: has no tracks of '{source}' (known: {known})")
    recording = fitting[0]
    times = recording.tables[source].pts_s
    times = times[np.isfinite(times)]
    seconds = round(float(times.max() - times.min()), 1) if len(times) else 0.0

    def recounted(zones: CameraZones) -> ZonePreview:
        rows = recount(recording, source, zones, VideoInfo(None, still.size)).counts
        counts = [Count(camera=still.camera, **row) for row in rows]
        return ZonePreview(seconds=seconds, counts=counts)

    return recounted


def _counted(zones: CameraZones) -> str:
    parts = [(len(zones.zones), "zone"), (len(zones.lines), "line")]
    return " and ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in parts)


def _has_display() -> bool:
    """Return whether a browser can show a window: otherwise a text browser would start."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _say(line: str, file: TextIO | None = None) -> None:
    print(line, file=file or sys.stdout, flush=True)
