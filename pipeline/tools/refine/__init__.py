"""Offline refinement of recorded tracks: joined, filled, smoothed (extra `refine`)."""
