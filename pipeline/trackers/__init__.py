"""Boxes to tracks: one file per tracker; a leading underscore marks a helper."""
