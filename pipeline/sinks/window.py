"""Sink: a window per source that shows the pictures with boxes as they are processed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipeline.core.data import Image, Result
from pipeline.core.errors import OutputError
from pipeline.core.install_hints import broken_opencv, gui_toolkit, window_command
from pipeline.core.run_info import RunInfo
from pipeline.sinks._drawing_options import PictureDrawingOptions

if TYPE_CHECKING:
    from pipeline.core.drawing import Annotator

_END_KEYS = (ord("q"), 27)  # 27 is Esc


class Options(PictureDrawingOptions):
    """Options of the window."""


class Gui(Protocol):
    """The part of cv2 that a window needs."""

    error: type[Exception]
    WINDOW_NORMAL: int
    WND_PROP_VISIBLE: int

    def namedWindow(self, winname: str, flags: int) -> None: ...  # noqa: N802, D102
    def resizeWindow(self, winname: str, width: int, height: int) -> None: ...  # noqa: N802, D102
    def imshow(self, winname: str, mat: Image) -> None: ...  # noqa: D102
    def waitKey(self, delay: int) -> int: ...  # noqa: N802, D102
    def getWindowProperty(self, winname: str, prop_id: int) -> float: ...  # noqa: N802, D102
    def destroyWindow(self, winname: str) -> None: ...  # noqa: N802, D102


def build(options: Options) -> WindowSink:
    """Return the sink; nothing is opened yet."""
    return WindowSink(options)


class WindowSink:
    """Sink that shows each result; `stop_requested` is true after q, Esc or the close button.

    `gui` replaces cv2 in tests.
    """

    own_thread = False

    def __init__(self, options: Options, gui: Gui | None = None) -> None:
        self._options = options
        self._gui = gui
        self._painter: Annotator | None = None
        self._titles: dict[str, str] = {}
        self._canvas: Image = np.empty((0, 0, 3), np.uint8)
        self.stop_requested = False
        self.stage_ms: Mapping[str, float] = {}

    def open(self, run: RunInfo) -> None:
        """Check that windows can be shown; raises OutputError."""
        if self._gui is None:
            self._gui = _cv2_gui()
        try:
            self._gui.waitKey(1)
        except self._gui.error:
            raise _without_windows() from None
        self._painter = self._options.annotator(run)

    def write(self, result: Result) -> None:
        """Show the result and read the keyboard; does nothing once a stop was requested."""
        if self._gui is None or self._painter is None:
            raise ValueError("WindowSink.write: open() comes first")
        if self.stop_requested:
            return
        began = time.perf_counter()
        frame = result.frame
        if self._canvas.shape != frame.shape:
            self._canvas = np.empty_like(frame.image)
        np.copyto(self._canvas, frame.image)
        self._painter.paint(self._canvas, result)
        drawn = time.perf_counter()
        self._show(self._gui, frame.source)
        shown = time.perf_counter()
        self.stage_ms = {"draw": (drawn - began) * 1e3, "write": (shown - drawn) * 1e3}

    def close(self) -> None:
        """Close the windows."""
        titles, self._titles = self._titles, {}
        if self._gui is None:
            return
        for title in titles.values():
            if self._visible(self._gui, title):
                self._gui.destroyWindow(title)

    def _show(self, gui: Gui, source: str) -> None:
        title = self._titles.get(source)
        if title is None:
            title = self._titles[source] = f"Trackline: {source}"
            height, width = self._canvas.shape[:2]
            gui.namedWindow(title, gui.WINDOW_NORMAL)
            scale = min(1.0, 1280 / width, 720 / height)
            gui.resizeWindow(title, max(1, round(width * scale)), max(1, round(height * scale)))
        elif not self._visible(gui, title):
            self.stop_requested = True  # showing would open the window again
            return
        gui.imshow(title, self._canvas)
        if gui.waitKey(1) & 0xFF in _END_KEYS:
            self.stop_requested = True

    def _visible(self, gui: Gui, title: str) -> bool:
        try:
            return gui.getWindowProperty(title, gui.WND_PROP_VISIBLE) >= 1
        except gui.error:  # what some toolkits say of a window that is gone
            return False


def _cv2_gui() -> Any:
    """Return cv2; raises OutputError if a window would abort the process (Qt without display).

    Qt ends the whole program when it finds no display, so this has to be checked first.
    """
    try:
        import cv2
    except ImportError as error:
        raise OutputError(f"window: {broken_opencv(error)}") from error
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    blind = sys.platform.startswith("linux") and not any(os.environ.get(name) for name in displays)
    no_display = "no display here (DISPLAY is not set); leave 'window' out"
    if gui_toolkit(cv2.getBuildInformation()) is None:
        raise _without_windows(f"; {no_display}" if blind else "")
    if blind:
        raise OutputError(f"window: {no_display}")
    return cv2


def _without_windows(besides: str = "") -> OutputError:
    return OutputError(f"window: this OpenCV is built without windows: {window_command()}{besides}")
