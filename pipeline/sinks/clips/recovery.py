"""Clips and the store: it is told what becomes of them, also of those that a kill left."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import av

from pipeline.core.atomic_file import replacing
from pipeline.events.store.clip_cleaning import seems_absent
from pipeline.events.store.store import EventStore
from pipeline.events.store.writer import StoreWriter
from pipeline.sinks._mp4 import Mp4Writer, copy_packets
from pipeline.sinks.clips.pre_roll import ClipOptions
from pipeline.sinks.clips.recorder import ClipCallbacks, ClipRecorder


def recorder(store: EventStore, writer: StoreWriter, wanted: ClipOptions) -> ClipRecorder:
    """Return what records clips for the store; those a killed program left are put right first."""
    writer.do(partial(rescue_all, store))
    callbacks = ClipCallbacks(
        lambda path, began, uids: writer.do(partial(store.link_clip, path, began, uids)),
        lambda path, size: writer.do(partial(store.finish_clip, path, size)),
        lambda path: writer.do(partial(store.forget_clip, path)),
    )
    return ClipRecorder(wanted, store.clips_folder, callbacks)


def rescue_all(store: EventStore) -> None:
    """Finish, or forget, every clip that the store knows as being recorded.

    Not while most of what it knows is away: the disk may not be mounted, and a clip is no less
    there for that.
    """
    unfinished = store.unfinished_clips()
    if not unfinished or seems_absent(store):
        return
    for path in unfinished:
        file = store.clip_file(path)
        size = None if file is None else rescue(file)
        if size is None:
            store.forget_clip(path)
        else:
            store.finish_clip(path, size)


def rescue(file: Path) -> int | None:
    """Give a recording its index at the front; return its size, None if nothing can be seen."""
    try:
        with replacing(file) as rewritten:
            copy_packets(file, rewritten, Mp4Writer.patience_s)
        return file.stat().st_size
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return None
