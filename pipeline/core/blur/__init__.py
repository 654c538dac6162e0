"""Blurring of persons, vehicles and faces: where they are, over missed frames too, and the blur."""
