"""Trackline: cameras and video files in, tracked objects out."""

__version__ = "0.1.0"
