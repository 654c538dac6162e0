"""Trackers, one file each; a leading underscore marks a shared helper."""
