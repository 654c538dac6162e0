"""Clips that a killed program was recording: finished at the next start, or forgotten."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import av

from pipeline.events.store import EventStore
from pipeline.sinks._mp4 import Mp4Writer, copy_packets


def rescue_all(store: EventStore) -> None:
    """Finish, or forget, every clip that the store knows as being recorded."""
    for path in store.unfinished_clips():
        file = store.clip_file(path)
        size = None if file is None else rescue(file)
        if size is None:
            store.forget_clip(path)
        else:
            store.finish_clip(path, size)


def rescue(file: Path) -> int | None:
    """Give a recording its index at the front; return its size, None if nothing can be seen."""
    part = file.with_name(f".{file.name}.part")
    try:
        copy_packets(file, part, Mp4Writer.patience_s)
        part.replace(file)
        return file.stat().st_size
    except (av.FFmpegError, OSError, ValueError, IndexError):
        with suppress(OSError):
            part.unlink(missing_ok=True)
        return None
