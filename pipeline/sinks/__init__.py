"""Sinks for results, one file per kind of output."""
