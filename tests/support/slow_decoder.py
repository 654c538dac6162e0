"""A camera that sends a recorded video, and a decoder of any speed, on a clock of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from support.tiny_videos import FPS

from pipeline.core.frame_pool import FramePool
from pipeline.core.packet_tap import PacketTap
from pipeline.sources._stream import clock, decoder
from pipeline.sources._stream.backlog import Backlog
from pipeline.sources._stream.certificates import Trust


class SlowDecoder:
    """A stream decoder whose every packet takes `decode_s(now)` seconds.

    `arrivals` are (time of presentation, when it arrived) of its packets, whose own times `stamp`
    may then change.
    """

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        decode_s: Callable[[float], float],
        stamp: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self.now = 0.0
        self.arrivals: list[tuple[int, float]] = []
        self._decode_s = decode_s
        real_packets, real_decode = decoder.packets_of, decoder.decode_step

        def packets_of(container: Any) -> Iterator[Any]:
            for n, packet in enumerate(real_packets(container)):
                self.now = max(self.now, n / FPS)
                if packet.size:
                    self.arrivals.append((packet.pts, self.now))
                    stamp(packet)
                yield packet

        def decode_step(context: Any, step: Any) -> list[Any]:
            self.now += self._decode_s(self.now)
            return real_decode(context, step)

        patch.setattr(decoder, "packets_of", packets_of)
        patch.setattr(decoder, "decode_step", decode_step)
        for module in decoder, clock:
            patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))

    def pictures(self, path: Path, **options: float) -> tuple[list[decoder.Picture], Backlog]:
        """Return what comes of the video; options are those of a Connection."""
        trust = Trust(verify=True, ca_file=None, name=None)
        connection = decoder.Connection("source a", "tcp://a", "tcp", 1, 5, 5, trust, **options)
        warnings: list[str] = []
        with av.open(str(path)) as container:
            reader = decoder.StreamDecoder(
                connection, container, warnings.append, lambda _: None, lambda: False
            )
            found = list(reader.pictures(FramePool(), PacketTap()))
        assert len(warnings) == min(1, reader.backlog.episodes)
        assert reader.damaged == 0
        return found, reader.backlog
