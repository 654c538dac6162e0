"""Formats that tracks are exported to; the file's name is the format's name."""
