"""Blurring of people, vehicles and faces: which regions, missed frames included, and how."""
