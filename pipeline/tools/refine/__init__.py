"""Recorded tracks made better with what came later: joined, filled, smoothed (extra `refine`)."""
