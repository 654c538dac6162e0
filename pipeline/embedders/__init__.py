"""Embedders: one plug-in per file, which turn boxes in a picture into appearance vectors."""
