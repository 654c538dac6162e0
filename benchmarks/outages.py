"""Prints what random outages do to the camera they strike and to all the others.

    python -m benchmarks.outages [--outages 50] [--cameras 8]

Cameras are stand-ins in this process: unplugged (refused and reset), hung (a read times out after
a second), or changed to another picture size while away. Measured are how long each took to give
results again beyond its outage and back-off, which frames the others lost, and memory.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from benchmarks._paced_camera import (
    READ_TIMEOUT_S,
    NoTracker,
    PacedCamera,
    PacedDetector,
    megabytes,
)
from pipeline.core.data import Result
from pipeline.core.interfaces import Source
from pipeline.engine import Pipeline, RunOptions
from pipeline.engine.camera_monitor import CameraStatus

T = TypeVar("T")
SLACK_S = 2.0
MAX_BACKOFF_S = 4.0
KINDS = ("kill", "hang", "size")


class Switch(Protocol):
    """A fault that is there between `set` and `clear`."""

    def set(self) -> None:
        """Let it begin."""

    def clear(self) -> None:
        """Let it end."""


class Struck(Protocol):
    """A camera that outages can be made for; `missed` counts frames nobody came to read."""

    name: str
    size: tuple[int, int]
    missed: int

    @property
    def hung(self) -> Switch:
        """Return what makes it hang."""

    @property
    def unplugged(self) -> Switch:
        """Return what pulls its plug."""


class Run:
    """A pipeline in the background, and when each camera last gave a result."""

    def __init__(self, cameras: Sequence[Struck], sources: Sequence[Source]) -> None:
        self.cameras = cameras
        self.last: dict[str, float] = defaultdict(float)
        self.gaps: dict[str, int] = defaultdict(int)
        options = RunOptions(retry_longest_s=MAX_BACKOFF_S, wait_for_sources=True)
        # Fast enough for all of them: whatever is lost is lost to an outage.
        self.pipeline = Pipeline(sources, PacedDetector(1, 8), NoTracker, options=options)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.wait_all()

    def _run(self) -> None:
        for result in self.pipeline.results():
            self._note(result)

    def _note(self, result: Result) -> None:
        name = result.frame.source
        self.last[name] = time.monotonic()
        self.gaps[name] += sum(result.dropped_before.values())

    def losses(self, cameras: Sequence[Struck]) -> tuple[int, int]:
        """Return how many frames of these were dropped, and how many nobody came to read."""
        dropped = sum(self.gaps[each.name] for each in cameras)
        return dropped, sum(each.missed for each in cameras)

    def status(self, name: str) -> CameraStatus:
        """Return how a camera fares."""
        return self.pipeline.cameras()[name]

    def wait_all(self) -> None:
        """Wait until every camera is live and gave a result just now."""
        while any(self.last[each.name] < time.monotonic() - 0.5 for each in self.cameras):
            time.sleep(0.01)

    def end(self) -> bool:
        """Stop; return whether all books balance."""
        self.pipeline.stop()
        self._thread.join()
        books = self.pipeline.stats.sources.values()
        return all(b.grabbed == b.delivered + sum(b.drops().values()) for b in books)


def strike(run: Run, camera: Struck, kind: str, seconds: float) -> float:
    """Cause an outage and wait for its end; return the seconds beyond outage and back-off."""
    (camera.hung if kind == "hang" else camera.unplugged).set()
    time.sleep(seconds)
    if kind == "size":
        camera.size = (480, 640) if camera.size[0] == 360 else (360, 640)
    restored = time.monotonic()
    camera.hung.clear()
    camera.unplugged.clear()
    back_off_s, next_try = 0.0, 0.0
    while run.last[camera.name] < restored or run.status(camera.name).state != "live":
        now = run.status(camera.name)
        # What a try that was under way in the outage is followed by is its back-off, too.
        if now.next_try is not None and abs(now.next_try - next_try) > 0.1:
            next_try = now.next_try
            back_off_s += max(0.0, next_try - time.time())
        time.sleep(0.005)
        if time.monotonic() - restored > 60:
            raise SystemExit(f"{camera.name} never came back after {kind} of {seconds:.1f} s")
    return time.monotonic() - restored - back_off_s


def losses_in(
    run: Run, cameras: Sequence[Struck], work: Callable[[], T]
) -> tuple[T, tuple[int, int]]:
    """Return what `work` returns, and what these cameras lost while it was done."""
    before = run.losses(cameras)
    done = work()
    after = run.losses(cameras)
    return done, (after[0] - before[0], after[1] - before[1])


def main() -> None:
    """Cause the outages one after the other, and print what came of them."""
    args = arguments(__doc__.partition("\n")[0], outages=50, cameras=8, control=60)
    cameras = [PacedCamera(f"cam{n}", args.fps) for n in range(args.cameras)]
    measure(Run(cameras, cameras), args)


def arguments(about: str, **defaults: int) -> argparse.Namespace:
    """Return what the command line says: outages, cameras, fps, and seconds without outages."""
    parser = argparse.ArgumentParser(description=about)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--fps", type=float, default=10)
    return parser.parse_args()


def measure(run: Run, args: argparse.Namespace) -> None:
    """Cause the outages one after the other, and print what came of them."""
    rng, cameras = random.Random(0), run.cameras
    late: dict[str, list[float]] = defaultdict(list)
    _, control = losses_in(run, cameras, lambda: time.sleep(args.control))
    lost, memory, began = (0, 0), [megabytes()], time.monotonic()
    for _ in range(args.outages):
        camera, kind = rng.choice(cameras), rng.choice(KINDS)
        others = [each for each in cameras if each is not camera]
        seconds = rng.uniform(0.3, 2.5 * READ_TIMEOUT_S)
        strike_now = partial(strike, run, camera, kind, seconds)
        late_s, more = losses_in(run, others, strike_now)
        late[kind].append(late_s)
        run.wait_all()
        lost = (lost[0] + more[0], lost[1] + more[1])
        memory.append(megabytes())
    took_s = time.monotonic() - began
    stable = all(each.state == "live" for each in run.pipeline.cameras().values())
    reconnects = sum(each.reconnects for each in run.pipeline.cameras().values())
    balanced = run.end()
    for kind, seconds in late.items():
        print(f"{kind}: {len(seconds)} outages, back at most {max(seconds):.2f} s after back-off")
    worst = max(max(seconds) for seconds in late.values())
    quarters = [f"{memory[int(part * (len(memory) - 1))]:.0f}" for part in (0, 0.25, 0.5, 0.75, 1)]
    print(f"every camera back within its back-off + {SLACK_S:.0f} s: {worst <= SLACK_S}")
    print(f"all live at the end: {stable}; {reconnects} reconnects; books balance: {balanced}")
    # A busy machine delays whom it will: without any outage, frames are lost too.
    given = args.fps * len(cameras)
    print(
        f"the others meanwhile: {lost[0]} frames dropped, {lost[1]} not read in time, in "
        f"{took_s:.0f} s; all cameras without outages: {control[0]} and {control[1]} in "
        f"{args.control:.0f} s, of {given:.0f} a second"
    )
    print(f"memory: {', '.join(quarters)} MB at each quarter")


if __name__ == "__main__":
    main()
