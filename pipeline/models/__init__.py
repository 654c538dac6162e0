"""Weights by name: a registry of published networks, downloads, and their cache."""
