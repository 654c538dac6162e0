"""Weights by name (registry, downloads, cache), and readers of network files."""
