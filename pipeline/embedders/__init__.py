"""Embedders: one plug-in per file, from boxes in a picture to vectors that say how each looks."""
