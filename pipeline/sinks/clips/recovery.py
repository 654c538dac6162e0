"""The clip recorder of a store, and recovery of clips that a killed program left unfinished."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import av

from pipeline.core.atomic_file import replacing
from pipeline.core.packet_tap import PacketTap
from pipeline.events.store.clip_cleaning import seems_absent
from pipeline.events.store.store import EventStore
from pipeline.events.store.writer import StoreWriter
from pipeline.sinks._mp4 import Mp4Writer, copy_packets
from pipeline.sinks.clips.pre_roll import ClipOptions
from pipeline.sinks.clips.recorder import ClipCallbacks, ClipRecorder
from pipeline.sinks.clips.thumbnails import OnMade, Thumbnail, ThumbnailMaker


def make_recorder(
    store: EventStore,
    writer: StoreWriter,
    wanted: ClipOptions,
    on_thumbnail: OnMade,
    packets: Callable[[str], PacketTap | None],
) -> ClipRecorder:
    """Return a recorder that stores its clips; first recovers unfinished ones of a killed program.

    `on_thumbnail` gets each thumbnail too; `packets` is the recorder's.
    """
    writer.enqueue(partial(recover_clips, store))
    callbacks = ClipCallbacks(
        lambda path, began, uids: writer.enqueue(partial(store.link_clip, path, began, uids)),
        lambda path, size, boxes: writer.enqueue(partial(store.finish_clip, path, size, boxes)),
        lambda path: writer.enqueue(partial(store.forget_clip, path)),
    )

    def on_made(one: Thumbnail) -> None:
        writer.enqueue(partial(store.set_thumbnail, one.visit, one.path, len(one.jpeg)))
        on_thumbnail(one)

    thumbnails = ThumbnailMaker(store.clips_folder, on_made)
    return ClipRecorder(wanted, store.clips_folder, callbacks, thumbnails, packets)


def recover_clips(store: EventStore) -> None:
    """Finish, or forget, every clip that the store lists as being recorded.

    Not while most of its clips are missing: the disk may not be mounted, and a clip still exists
    then.
    """
    unfinished = store.unfinished_clips()
    if not unfinished or seems_absent(store):
        return
    for path in unfinished:
        file = store.clip_file(path)
        size = None if file is None else recover(file)
        if size is None:
            store.forget_clip(path)
        else:
            store.finish_clip(path, size)


def recover(file: Path) -> int | None:
    """Move a recording's index to the front; return its size, None if nothing can be played."""
    try:
        with replacing(file) as rewritten:
            copy_packets(file, rewritten, Mp4Writer.patience_s)
        return file.stat().st_size
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return None
