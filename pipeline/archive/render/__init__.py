"""Tracks from a file drawn on their video, without the model: boxes, blur, heat maps, clips."""
