"""Track any number of recorded videos into one dataset; running it again resumes.

Recordings are grouped by camera and put in order; ids continue from one to the next. Nothing is
done twice and nothing is lost, not even by Ctrl-C or a power cut.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn

from pipeline.archive.batch.job import plan_job, run_job
from pipeline.archive.batch.options import DEFAULT_MAX_SEAM_S, BatchOptions, saved_kinds
from pipeline.archive.batch.progress import JobProgress, Report, Update, hours
from pipeline.archive.remote import place_of
from pipeline.cli._console import stderr_console
from pipeline.cli._detecting import add_detecting_arguments, detecting_changes
from pipeline.cli._signals import StopSignals
from pipeline.config.schema import load_config
from pipeline.core.parquet_file import keep_pandas_out

HELP = "track recorded videos of any number into one dataset, resumable"
LINE_EVERY_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="videos, folders (with subfolders), s3://... and other stores",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="DATASET",
        help="folder of the dataset, or its address: s3://bucket/name",
    )
    parser.add_argument(
        "--group-by", default="folder", metavar="folder|REGEX",
        help="how to tell cameras apart: by folders and names, or a pattern with (?P<camera>...) "
        "and perhaps (?P<time>...)",
    )  # fmt: skip
    parser.add_argument(
        "--max-seam", type=float, default=DEFAULT_MAX_SEAM_S, metavar="SECONDS",
        help="longest gap between two recordings over which ids continue (%(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--timezone",
        metavar="ZONE",
        help="time zone of times in names: Europe/Berlin, +01:00 (default: this machine's)",
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes; each takes a camera"
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="on a Ray cluster: auto (the one this machine is in), HOST:PORT, or local",
    )
    parser.add_argument(
        "--task-cpus", type=int, metavar="N", help="cores per camera in progress (with --ray)"
    )
    parser.add_argument(
        "--task-gpus",
        type=float,
        metavar="N",
        help="GPUs per camera in progress, may be a fraction (with --ray)",
    )
    parser.add_argument("--save", metavar="video", help="also write annotated videos")
    parser.add_argument(
        "--fresh", action="store_true", help="start over and discard previous results"
    )
    add_detecting_arguments(parser)


def execute(args: argparse.Namespace) -> int:
    """Run the job; return 1 if this run found a recording that is unreadable or breaks off."""
    options = BatchOptions(
        paths=tuple(args.paths),
        dataset=place_of(args.output),
        group_by=args.group_by,
        max_seam_s=args.max_seam,
        timezone=args.timezone,
        workers=args.workers,
        ray=args.ray,
        task_cpus=args.task_cpus,
        task_gpus=args.task_gpus,
        save_video=saved_kinds(args.save),
        fresh=args.fresh,
    )
    config = load_config(args.config, detecting_changes(args))
    keep_pandas_out()
    signals = StopSignals()
    job = plan_job(options, config)
    progress = job.progress()
    began = time.monotonic()
    try:
        with signals, _display(progress) as report:
            run_job(job, report, lambda: signals.is_stopped)
    finally:
        _summarise(progress, time.monotonic() - began, options.dataset)
        if signals.is_stopped:
            sys.stderr.write("interrupted: run the same command again to resume\n")
    return signals.exit_code or int(bool(progress.failures))


@contextmanager
def _display(progress: JobProgress) -> Iterator[Report]:
    """Yield a function that shows updates: a bar on a terminal, otherwise a line now and then."""
    console = stderr_console()
    began = time.monotonic()
    if not console.is_terminal:
        next_line = began + LINE_EVERY_S

        def write(update: Update) -> None:
            nonlocal next_line
            progress.add(update)
            now = time.monotonic()
            if now >= next_line:
                next_line = now + LINE_EVERY_S
                console.print(progress.line(now - began), highlight=False, soft_wrap=True)

        yield write
        return
    columns = (
        TextColumn("{task.fields[files]} files"),
        BarColumn(),
        TextColumn("{task.fields[hours]}  {task.fields[speed]:.1f} x real time"),
        TextColumn("{task.fields[left]}"),
        TextColumn("[red]{task.fields[failed]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("batch", total=max(progress.total_s, 1e-9), **_fields(progress, 0.0))

        def draw(update: Update) -> None:
            progress.add(update)
            fields = _fields(progress, time.monotonic() - began)
            bar.update(task, completed=progress.done_s, **fields)

        yield draw


def _fields(progress: JobProgress, elapsed_s: float) -> dict[str, Any]:
    left_s = progress.left_s(elapsed_s)
    return {
        "files": f"{progress.files_done}/{progress.files}",
        "hours": f"{hours(progress.done_s)}/{hours(progress.total_s)}",
        "speed": progress.speed(elapsed_s),
        "left": "" if left_s is None else f"{hours(left_s)} left",
        "failed": f"{len(progress.failures)} failed" if progress.failures else "",
    }


def _summarise(progress: JobProgress, elapsed_s: float, dataset: Path) -> None:
    """Print a summary on stdout; unreadable recordings were reported when they were found."""
    if not progress.files_done and not progress.frames:
        return
    before = progress.failed_before
    aside = f"{before} {'file' if before == 1 else 'files'} set aside earlier"
    if progress.files_kept == progress.files:
        more = f"; {aside}: see its table videos" if before else ""
        sys.stdout.write(f"nothing new: {progress.files} files are in {dataset}{more}\n")
        return
    kept = f", {progress.files_kept} of them before" if progress.files_kept else ""
    failed = f", {len(progress.failures)} failed" if progress.failures else ""
    earlier = f", {aside}" if before else ""
    speed = progress.speed(elapsed_s)
    sys.stdout.write(
        f"{progress.files_done} of {progress.files} files{kept}{failed}{earlier}; "
        f"{progress.frames} frames in {hours(elapsed_s)}"
        f"{f', {speed:.1f} x real time' if speed else ''}; written to {dataset}\n"
    )
