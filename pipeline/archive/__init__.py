"""Recorded video at any length: batch jobs, the dataset they write, exports to other tools."""
