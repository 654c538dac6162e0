"""Detectors, one file per kind; the folders hold their helpers."""
