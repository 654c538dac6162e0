"""Weights by name (registry, downloads, cache), and what reads the files of every network."""
