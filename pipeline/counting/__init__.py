"""Zones and lines in the picture: their file, who enters, leaves, stays and crosses, and counts."""
