"""Prints what random outages of RTSP cameras do, through real connections and a proxy that fails.

    python -m benchmarks.stream_outages [--outages 30] [--cameras 4]

As `benchmarks.outages`, but each camera is an RTSP server on loopback behind a proxy that refuses
or hangs, and comes back with another picture size, and the program reads it through its source
`stream`. A frame of another camera is lost where a time is missing between two results.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks._paced_camera import READ_TIMEOUT_S
from benchmarks.outages import Run, arguments, measure
from pipeline.core.data import Result
from pipeline.core.malloc import share_arenas
from pipeline.sources import stream

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support import fault_proxy, rtsp_server
from support.live_video import Feed, noise

SIZES = ((360, 640), (480, 640))


class Fault:
    """One way in which the proxy fails, between `set` and `clear`."""

    def __init__(self, proxy: fault_proxy.FaultProxy, name: fault_proxy.Fault) -> None:
        self._proxy = proxy
        self._name: fault_proxy.Fault = name

    def set(self) -> None:
        """Let the proxy fail."""
        self._proxy.set(self._name)

    def clear(self) -> None:
        """Let it pass everything on, if it failed in this way."""
        if self._proxy.fault == self._name:
            self._proxy.set("none")


class FaultyCamera:
    """An RTSP server and the proxy before it; a new `size` holds from the next connection on."""

    def __init__(self, name: str, fps: float, steps: ExitStack) -> None:
        self.name = name
        self.missed = 0
        self._feeds: dict[tuple[int, int], Feed] = {size: noise(fps, size) for size in SIZES}
        self._server = steps.enter_context(rtsp_server.running(rtsp_server.Camera()))
        proxy = steps.enter_context(fault_proxy.proxied(self._server.port))
        self.hung, self.unplugged = Fault(proxy, "hang"), Fault(proxy, "refuse")
        self.size = SIZES[0]
        self.source = stream.build(
            stream.Options(
                url=f"rtsp://127.0.0.1:{proxy.port}/live",  # type: ignore[arg-type]
                name=name,
                open_timeout_s=READ_TIMEOUT_S,
                read_timeout_s=READ_TIMEOUT_S,
            )
        )

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) of what it films."""
        return self._size

    @size.setter
    def size(self, size: tuple[int, int]) -> None:
        self._size = size
        self._server.feed = self._feeds[size]


class StreamRun(Run):
    """A run that also counts the frames which never came, by their times."""

    def __init__(self, cameras: list[FaultyCamera], fps: float) -> None:
        self._by_name = {each.name: each for each in cameras}
        self._fps = fps
        self._times: dict[str, tuple[int, float]] = {}
        super().__init__(cameras, [each.source for each in cameras])

    def _note(self, result: Result) -> None:
        frame = result.frame
        epoch, before = self._times.get(frame.source, (-1, 0.0))
        if epoch == frame.epoch:
            steps = round((frame.pts_s - before) * self._fps)
            not_told = steps - 1 - sum(result.dropped_before.values())
            self._by_name[frame.source].missed += max(0, not_told)
        self._times[frame.source] = frame.epoch, frame.pts_s
        super()._note(result)


def main() -> None:
    """Cause the outages one after the other, and print what came of them."""
    args = arguments(__doc__.partition("\n")[0], outages=30, cameras=4, control=15)
    share_arenas()  # as the command does: each connection has threads of its own
    with ExitStack() as steps:
        cameras = [FaultyCamera(f"cam{n}", args.fps, steps) for n in range(args.cameras)]
        measure(StreamRun(cameras, args.fps), args)


if __name__ == "__main__":
    main()
