"""Weights into other formats, and what that costs and gains; above the detectors, as `build` is."""
