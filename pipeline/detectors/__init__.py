"""Frames to boxes: one file per detector; a leading underscore marks a helper."""
