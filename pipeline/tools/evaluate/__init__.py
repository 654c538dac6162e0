"""Tracks against ground truth with TrackEval's measures (extra `eval`)."""
