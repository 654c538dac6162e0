"""A stand-in for the part of cv2 that opens windows."""

from __future__ import annotations

from typing import Any


class FakeGui:
    """Keeps what was shown; `keys` are what a person presses, one per look."""

    WINDOW_NORMAL = 0
    WND_PROP_VISIBLE = 4

    class error(Exception):  # noqa: N801, N818 - cv2's name
        pass

    def __init__(self, keys: list[int] | None = None, headless: bool = False) -> None:
        self.keys = list(keys or [])
        self.headless = headless
        self.shown: list[tuple[str, Any]] = []
        self.windows: set[str] = set()

    def namedWindow(self, winname: str, flags: int) -> None:  # noqa: N802
        self.windows.add(winname)

    def resizeWindow(self, winname: str, width: int, height: int) -> None:  # noqa: N802
        assert winname in self.windows

    def imshow(self, winname: str, mat: Any) -> None:
        self.shown.append((winname, mat.copy()))
        self.windows.add(winname)

    def waitKey(self, delay: int) -> int:  # noqa: N802
        if self.headless:
            raise self.error("The function is not implemented")
        return self.keys.pop(0) if self.windows and self.keys else -1

    def getWindowProperty(self, winname: str, prop_id: int) -> float:  # noqa: N802
        return float(winname in self.windows)

    def destroyWindow(self, winname: str) -> None:  # noqa: N802
        if winname not in self.windows:
            raise self.error("Null pointer")
        self.windows.remove(winname)
