"""Clips made from a camera's own packets: copied, with nothing decoded or drawn.

The pictures that were analysed come from another stream of the camera. Both are put in step by when
they arrived; what a clip's boxes are stored for is its own larger picture.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.core.atomic_file import replacing
from pipeline.core.data import Tracks
from pipeline.core.own_video import OWN_TAG
from pipeline.core.packet_tap import PacketTap, StreamPacket
from pipeline.core.paths import ffmpeg_path
from pipeline.sinks._mp4 import RECORDING, Mp4Writer, copy_packets, unwritable

STALE_S = 2.0
"""Seconds without a packet after which a stream is lost: clips then use the analysed pictures."""
_CLOCK = Fraction(1, 1_000_000)


class PacketCursor:
    """The packets of one clip, from the key frame before its beginning on."""

    def __init__(self, tap: PacketTap, first: Sequence[StreamPacket]) -> None:
        self._tap = tap
        self._first: Sequence[StreamPacket] = first
        self._last = first[-1]
        self.began_at = first[0].arrived_at
        """When the first one arrived (monotonic)."""

    @classmethod
    def at(cls, tap: PacketTap | None, began_at: float, now: float) -> PacketCursor | None:
        """Return the cursor of a clip that begins at `began_at`, None if packets are missing."""
        found = [] if tap is None else tap.since(began_at)
        if tap is None or not found or found[-1].arrived_at < now - STALE_S:
            return None
        # MP4 wants both orders where they differ (B-frames), and only one is known; and an Annex B
        # stream, whose parameter sets are in it and stay the same.
        times = [one.pts_us for one in found]
        is_plain = all(one.format is found[0].format for one in found)
        is_plain = is_plain and found[0].format.description is None
        return cls(tap, found) if is_plain and times == sorted(set(times)) else None

    def take(self) -> Sequence[StreamPacket]:
        """Return the packets that came since the last call."""
        if self._first:
            found, self._first = self._first, ()
            return found
        found = self._tap.between(self._last.number, sys.maxsize)
        if not found or found[0].number != self._last.number + 1:
            return ()
        followed = []
        for packet in found:
            if packet.format is not self._last.format or packet.pts_us <= self._last.pts_us:
                break
            followed.append(packet)
            self._last = packet
        return followed

    def is_lost(self, now: float) -> bool:
        """Return whether nothing has followed for long, at `now` (monotonic)."""
        return self._last.arrived_at < now - STALE_S


class PacketClipWriter:
    """MP4 file of copied packets.

    Raises WriteError if the disk is full, or they do not fit a file.
    """

    def __init__(self, path: Path, first: StreamPacket) -> None:
        self.path = path
        self._first_us = first.pts_us
        format_name = "h264" if first.format.codec.startswith("avc1") else "hevc"
        try:
            with av.open(io.BytesIO(first.data), format=format_name) as key_frame:
                template = key_frame.streams.video[0]
                self.width, self.height = template.width, template.height
                self._container = av.open(
                    ffmpeg_path(path), "w", format="mp4", container_options=RECORDING
                )
                self._container.metadata.update(OWN_TAG)
                self._stream = self._container.add_stream_from_template(template)
        except (av.FFmpegError, IndexError) as error:
            raise unwritable(path, error) from error

    def write(self, packets: Sequence[StreamPacket]) -> None:
        """Append packets, in order."""
        try:
            for one in packets:
                packet = av.Packet(one.data)
                packet.pts = packet.dts = one.pts_us - self._first_us
                packet.time_base = _CLOCK
                packet.is_keyframe = one.is_key
                packet.stream = self._stream
                self._container.mux(packet)
        except av.FFmpegError as error:
            raise unwritable(self.path, error) from error

    def scaled(self, tracks: Tracks, width: int, height: int) -> Tracks:
        """Return the tracks of a picture of that size in pixels of the clip."""
        across, down = self.width / width, self.height / height
        scale = np.array([across, down, across, down], np.float32)
        return replace(tracks, xyxy=tracks.xyxy * scale)

    def close(self) -> None:
        """Finish the file: its index at the front."""
        try:
            self._container.close()
            with replacing(self.path) as partial:
                copy_packets(self.path, partial, Mp4Writer.patience_s)
        except (av.FFmpegError, OSError) as error:
            with suppress(OSError):
                self._container.close()
            raise unwritable(self.path, error) from error
