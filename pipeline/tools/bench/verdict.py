"""The verdict of a benchmark in words: which stage limits, and what to change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.tools.bench.rounds import Row

WORTH = 1.1
"""Changes that gain less than this are not worth a sentence."""
STEADY = 1.5
"""Rounds of one case that differ by more were measured beside something else."""
CAMERA_FPS = 25


def verdict(rows: Sequence[Row], usable_cores: float) -> list[str]:
    """Return sentences about rows of which the first is the one others are compared with."""
    ours = [row for row in rows if row.side == "ours"]
    return [
        *_doubt(rows),
        *_limit(ours[0], usable_cores),
        *_advice(ours[0]),
        *_changes(ours),
        *_beside_others(rows),
    ]


def _doubt(rows: Sequence[Row]) -> Iterator[str]:
    """Warn that the figures are unreliable if rounds of the same case differ much."""
    spread = max(row.highest_fps / max(row.lowest_fps, 1e-9) for row in rows)
    if spread > STEADY:
        yield (
            f"Rounds differ by up to {spread:.1f}x: something else uses this machine, and what "
            "follows may be wrong. Measure again when it is quiet."
        )


def _limit(base: Row, usable_cores: float) -> Iterator[str]:
    fps, median = base.median.fps, base.median
    cameras = int(fps // CAMERA_FPS)
    enough = f"enough for {cameras} camera{'s' * (cameras != 1)}" if cameras else "too few for one"
    yield f"{base.case.label}: {fps:.1f} frames a second, {enough} at {CAMERA_FPS} fps."
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in median.stages.items())
    yield f"What limits is {_LIMITS[_limit_of(base)]} Milliseconds a frame: {stages}."
    busy = median.cpu_ms * fps / 1e3
    if usable_cores and busy < 0.7 * usable_cores:
        yield f"Only {busy:.1f} of {usable_cores:g} cores were busy: something waits."


def _limit_of(base: Row) -> str:
    """Return the stage that set the pace, as the run's report has it."""
    return str(base.median.report.get("limited_by", "infer"))


_LIMITS = {
    "infer": "the network.",
    "track": "following objects from frame to frame.",
    "decode": "decoding the video.",
    "camera": "the camera: every frame it gives is processed in time.",
    "sinks": "what is written (drawing and encoding).",
}


def _advice(base: Row) -> Iterator[str]:
    """Say what to try for a limit that the measured changes do not touch."""
    kind = _limit_of(base)
    if kind == "decode":
        yield "Decode less: a lower resolution at the source, or decode: cuda where there is a GPU."
    if kind == "track":
        yield "A tracker that does not look at the picture is faster: --tracker bytetrack."
    if kind == "sinks":
        yield "Write less: --save csv, or a faster sinks.video.preset."


def _changes(ours: Sequence[Row]) -> Iterator[str]:
    """Say what each measured change gains or costs."""
    base = ours[0]
    for row in ours[1:]:
        gain = row.median.fps / base.median.fps
        if row.case.save != base.case.save:
            if gain < 1 / WORTH:
                yield f"Saving video costs {100 * (1 - gain):.0f} % of that; --save csv does not."
            else:
                yield "Saving video costs next to nothing."
        elif gain >= WORTH:
            yield f"{row.case.label} is {gain:.2f}x as fast{_price(row, base)}."
        elif gain <= 1 / WORTH and row.case.precision != base.case.precision:
            yield f"{row.case.label} takes {1 / gain:.2f}x as long."


def _price(row: Row, base: Row) -> str:
    """Return what a faster setting loses."""
    smaller = (row.case.imgsz or 0) < (base.case.imgsz or 0)
    return "; small and distant objects may be lost" if smaller else ""


def _beside_others(rows: Sequence[Row]) -> Iterator[str]:
    """Say how much faster than the other program, for each case measured on both sides."""
    theirs = {row.case: row for row in rows if row.side == "theirs"}
    for row in rows:
        if row.side == "ours" and (other := theirs.get(row.case)) is not None:
            ratio = row.median.fps / max(other.median.fps, 1e-9)
            memory = row.median.peak_mb / max(other.median.peak_mb, 1e-9)
            yield (
                f"{ratio:.2f}x ultralytics track ({row.case.label}), "
                f"with {100 * memory:.0f} % of its memory."
            )
    if theirs:
        yield "Each program ran as it does by default; ours in bf16 or fp16 where that is faster."
