"""Embedders, one plug-in per file: they turn boxes in a picture into appearance vectors."""
