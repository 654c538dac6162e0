"""Tracks against ground truth with TrackEval's rules and measures (extra `eval`)."""
