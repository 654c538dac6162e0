"""Tracks of recorded video made better with what came later (extra `refine`)."""
