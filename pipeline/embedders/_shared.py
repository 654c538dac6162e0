"""One embedder shared by the trackers of all sources: loaded by the first, released by the last."""

from __future__ import annotations

from pipeline.core.data import Float32, Image
from pipeline.core.interfaces import Embedder


class SharedEmbedder:
    """Handle that a tracker opens and closes instead of the embedder itself."""

    def __init__(self, holders: EmbedderHolders) -> None:
        self.min_similarity = holders.embedder.min_similarity
        self._holders = holders

    def open(self) -> None:
        """Load the embedder unless another tracker has; raises ModelError."""
        self._holders.add(self)

    def embed(self, image: Image, xyxy: Float32) -> Float32:
        """Return a unit vector f32[N,D] for each box f32[N,4] of a picture BGR u8[H,W,3]."""
        return self._holders.embedder.embed(image, xyxy)

    def close(self) -> None:
        """Release the embedder; safe to call twice and if never opened."""
        self._holders.remove(self)


class EmbedderHolders:
    """Handles of an embedder that are open now."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._open: list[SharedEmbedder] = []

    def add(self, holder: SharedEmbedder) -> None:
        """Add a handle, and load the embedder for the first one; raises ModelError."""
        if holder not in self._open:
            if not self._open:
                self.embedder.open()
            self._open.append(holder)

    def remove(self, holder: SharedEmbedder) -> None:
        """Remove a handle, and close the embedder after the last one."""
        if holder in self._open:
            self._open.remove(holder)
            if not self._open:
                self.embedder.close()
