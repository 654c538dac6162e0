"""One embedder for the trackers of all sources: loaded with the first, released with the last."""

from __future__ import annotations

from pipeline.core.data import Float32, Image
from pipeline.core.interfaces import Embedder


class SharedEmbedder:
    """What each tracker is given in place of the embedder itself, and opens and closes."""

    def __init__(self, holders: EmbedderHolders) -> None:
        self.min_similarity = holders.embedder.min_similarity
        self._holders = holders

    def open(self) -> None:
        """Load the embedder unless another one has; raises ModelError."""
        self._holders.add(self)

    def embed(self, image: Image, xyxy: Float32) -> Float32:
        """Return a unit vector f32[N,D] for each box f32[N,4] of a picture BGR u8[H,W,3]."""
        return self._holders.embedder.embed(image, xyxy)

    def close(self) -> None:
        """Let go of the embedder; safe to call twice and when never opened."""
        self._holders.remove(self)


class EmbedderHolders:
    """Those that have an embedder open now."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._open: list[SharedEmbedder] = []

    def add(self, holder: SharedEmbedder) -> None:
        """Open the embedder for the first one; raises ModelError."""
        if holder not in self._open:
            if not self._open:
                self.embedder.open()
            self._open.append(holder)

    def remove(self, holder: SharedEmbedder) -> None:
        """Close the embedder behind the last one."""
        if holder in self._open:
            self._open.remove(holder)
            if not self._open:
                self.embedder.close()
