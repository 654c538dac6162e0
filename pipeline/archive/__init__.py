"""Recorded video at any length: batch jobs and the dataset they write."""
