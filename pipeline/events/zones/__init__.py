"""Zones and lines: their file, geometry, the state of each track, crossings, counts, replay."""
